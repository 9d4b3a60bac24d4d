"""What CenterNet alone does: the authors' files, which objects learn, boxes in the image."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from weights import reading
from zoo.systems import narrow

from cvzoo.loading import read_state
from cvzoo.parts.heatmap.frame import Frame
from cvzoo.structures import Batch, Sample, Target
from cvzoo.weights.strict import load_state
from cvzoo.zoo import ROWS
from cvzoo.zoo.centernet import weights
from cvzoo.zoo.centernet.model import CenterNet, CenterNetConfig, CenterNetOutput

PLAIN, DCN, HOURGLASS = "centernet_r18_512", "centernet_r18_dcn_512", "centernet_hourglass104_512"
PLACES, BRANCH = {"conv": 0, "norm": 1}, {"conv": 0, "out": 2}
HEADS = {"cls": "hm", "size": "wh", "offset": "reg"}


def as_authors(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The keys of the authors' ResNets: `deconv_layers` is one list of all layers of the neck."""
    blocks = ["convs", "ups"] if any(key.startswith("neck.convs.") for key in state) else ["ups"]

    def theirs(key: str) -> str:
        if neck := re.fullmatch(r"neck\.(convs|ups)\.(\d)\.(conv|norm)\.(.*)", key):
            block, number, part, rest = neck.groups()
            place = 3 * (len(blocks) * int(number) + blocks.index(block)) + PLACES[part]
            return f"deconv_layers.{place}.{rest.replace('offset.', 'conv_offset_mask.')}"
        if head := re.fullmatch(r"head\.(\w+)\.(conv|out)\.(.*)", key):
            branch, part, rest = head.groups()
            return f"{HEADS[branch]}.{BRANCH[part]}.{rest}"
        return key.removeprefix("backbone.")

    return {theirs(key): tensor for key, tensor in state.items()}


def trained(row: str, conv: Literal["none", "deform"], channels: tuple[int, ...]) -> CenterNet:
    """A narrow model whose norms can be told from fresh ones."""
    config = narrow(row).model
    neck = replace(config.neck, conv=conv, conv_bias=conv == "deform", norm="batch", channels=channels)
    return replace(config, backbone=replace(config.backbone, norm="batch"), neck=neck).build()


@pytest.mark.parametrize("row", [PLAIN, DCN, "centernet_r50_512"])
@pytest.mark.parametrize(("conv", "channels"), [("none", (16, 16, 16)), ("deform", (16, 16, 8))])
def test_the_authors_files(row: str, conv: Literal["none", "deform"], channels: tuple[int, ...]) -> None:
    model = trained(row, conv, channels)
    own = model.state_dict()
    assert reading.readers(as_authors(own)) == {("centernet", "xingyizhou/CenterNet")}
    state, config = read_state(as_authors(own), narrow(row), "the file")
    assert config.pixels == weights.AUTHORS.pixels
    assert (config.neck.conv, config.neck.channels) == (conv, channels)
    assert config.gaussian == weights.AUTHORS.gaussian
    load_state(again := config.build(), state, "the file")
    assert reading.equal_states(again, model)


def test_the_authors_deformable_resnet_has_as_many_parameters() -> None:
    config = ROWS[DCN].recipe().model
    with torch.device("meta"):
        model = replace(config, neck=replace(config.neck, conv_bias=True)).build()
    assert sum(p.numel() for p in model.parameters()) == 14_437_349


def as_authors_hourglass(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The keys of the authors' hourglasses: every branch is a list of one of each hourglass."""
    rules = (
        (r"^head\.", "earlier.1."),
        (r"^earlier\.(\d)\.(\w+)\.conv\.", lambda m: f"{HEADS[m[2]]}.{m[1]}.0.conv."),
        (r"^earlier\.(\d)\.(\w+)\.out\.", lambda m: f"{HEADS[m[2]]}.{m[1]}.1."),
        (r"^backbone\.from_(input|output)\.0\.conv", lambda m: f"{'inters_' if m[1] == 'input' else 'cnvs_'}.0.0"),
        (r"^backbone\.from_(input|output)\.0\.norm", lambda m: f"{'inters_' if m[1] == 'input' else 'cnvs_'}.0.1"),
        (r"^backbone\.stem\.", "pre."),
        (r"^backbone\.hourglasses\.", "kps."),
        (r"^backbone\.outputs\.", "cnvs."),
        (r"^backbone\.merged\.", "inters."),
        (r"\bpast\.", "up1."),
        (r"\bdown\.", "low1."),
        (r"\binner\.", "low2."),
        (r"\bup\.", "low3."),
        (r"\.downsample\.", ".skip."),
        (r"\.norm\.", ".bn."),
    )
    found = {}
    for key, tensor in state.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        found[key] = tensor
    return found


def test_the_authors_files_with_hourglasses() -> None:
    config = narrow(HOURGLASS).model
    model = replace(config, backbone=replace(config.backbone, norm="batch")).build()
    own = model.state_dict()
    assert any(key.startswith("earlier.0.cls.") for key in own)
    assert reading.readers(own) == {("centernet", "cvzoo")}
    assert reading.readers(as_authors_hourglass(own)) == {("centernet", "xingyizhou/CenterNet")}
    state, found = read_state(as_authors_hourglass(own), narrow(HOURGLASS), "the file")
    assert found.pixels == weights.AUTHORS.pixels
    assert found.frame == Frame(mask=127)
    load_state(again := found.build(), state, "the file")
    assert reading.equal_states(again, model)


def test_every_hourglass_learns_and_the_last_one_answers() -> None:
    model = narrow(HOURGLASS).model.build()
    images = torch.randn(1, 3, 64, 64)
    assert len(model.train().raw(images).earlier) == 1
    targets = [Target(torch.tensor([[10.0, 10, 30, 30]]), torch.tensor([1]))]
    raw = model.raw(images)
    losses = model.losses(raw, targets, [(64, 64)], (64, 64))
    for name, loss in losses.items():
        parts = [
            model.losses(own, targets, [(64, 64)], (64, 64))[name] for own in (raw._replace(earlier=()), *raw.earlier)
        ]
        torch.testing.assert_close(loss, torch.stack(parts).mean())
    assert model.eval().raw(images).earlier == ()


@pytest.mark.parametrize("row", [PLAIN, HOURGLASS])
def test_hourglasses_have_no_neck_and_others_have(row: str) -> None:
    other = {PLAIN: HOURGLASS, HOURGLASS: PLAIN}[row]
    with pytest.raises(ValueError, match=r"model\.neck"):
        narrow(row, neck=ROWS[other].recipe().model.neck)


def cells_learnt(normaliser: Any) -> list[float]:
    config: CenterNetConfig = narrow(PLAIN, normaliser=normaliser).model
    boxes = torch.tensor([[10.0, 10, 30, 30], [12, 12, 30, 30], [40, 40, 50, 60]])
    with torch.device("meta"):
        model = config.build()
    return model.truth([Target(boxes, torch.tensor([0, 1, 2]))], (64, 64), (16, 16)).counted_O.tolist()


def test_who_learns_where_two_objects_share_a_cell() -> None:
    assert cells_learnt("peaks") == [0, 1, 1]
    assert cells_learnt("objects") == [1, 1, 1]


def test_a_perfect_map_gives_the_boxes_back() -> None:
    model = narrow(PLAIN, detections=3).model.build()
    boxes = torch.tensor([[10.0, 10, 30, 31], [33, 12, 62, 40], [40, 45, 50, 60]])
    truth = model.truth([Target(boxes, torch.tensor([0, 1, 2]))], (64, 64), (16, 16))
    raw = model.raw(torch.zeros(1, 3, 64, 64))
    sizes, offsets = torch.zeros(1, 2, 16, 16), torch.zeros(1, 2, 16, 16)
    x, y = truth.cells_O2.unbind(1)
    sizes[0, :, y, x], offsets[0, :, y, x] = truth.sizes_O2.T, truth.offsets_O2.T
    raw = raw._replace(logits=torch.logit(truth.heat_NKHW, eps=1e-6), sizes=sizes, offsets=offsets)
    (found,) = model.decode(raw, [(64, 64)], [(128, 128)], (64, 64))
    order = found.labels.argsort()
    torch.testing.assert_close(found.boxes[order], 2 * boxes)


def test_the_frame_moves_no_box() -> None:
    """An image of 64 x 96 lies at 16, 16 of a canvas of 96 x 128: 4 cells from its top and left."""
    framed = narrow(PLAIN, frame=Frame(), clip=False).model.build().eval()
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    batch = Batch.collate([Sample(image, original_size=(64, 96))])

    def raw(images: Tensor) -> CenterNetOutput:
        assert images.shape[-2:] == (96, 128)
        logits = torch.full((1, 3, 24, 32), -9.0)
        logits[0, 1, 4 + 8, 4 + 12] = 9.0
        sizes = torch.full((1, 2, 24, 32), 4.0)
        return CenterNetOutput(logits, sizes, torch.zeros_like(sizes))

    framed.raw = raw  # type: ignore[method-assign]
    (found,) = framed.predict(batch)
    assert found.boxes[0].tolist() == [40, 24, 56, 40]
    assert int(found.labels[0]) == 1


def test_only_odd_windows() -> None:
    with pytest.raises(ValueError, match=r"model\.peak-window"):
        CenterNetConfig(peak_window=4)
