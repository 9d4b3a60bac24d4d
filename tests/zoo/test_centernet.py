"""What CenterNet alone does: the authors' files, which objects learn, boxes in the image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from weights import reading
from zoo.systems import narrow

from cvzoo.data.shapes import draw
from cvzoo.data.transforms import resize
from cvzoo.loading import read_state
from cvzoo.ops.boxes import flip_boxes, pairwise_iou
from cvzoo.ops.soft_nms import SoftNMSConfig
from cvzoo.parts.heatmap.frame import Frame
from cvzoo.parts.heatmap.peaks import peaks
from cvzoo.structures import Batch, Sample, Target, View
from cvzoo.weights.strict import load_state
from cvzoo.zoo import ROWS
from cvzoo.zoo.centernet import weights
from cvzoo.zoo.centernet.model import CenterNet, CenterNetConfig, CenterNetOutput

PLAIN, DCN, HOURGLASS = "centernet_r18_512", "centernet_r18_dcn_512", "centernet_hourglass104_512"
DLA = "centernet_dla34_512"
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


def as_cvpods(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The keys of cvpods' `meta_arch/centernet.py` on its ResNets."""
    rules = (
        (r"^neck\.convs\.(\d)\.conv\.offset\.", lambda m: f"upsample.deconv{int(m[1]) + 1}.dcn.offset_mask_conv."),
        (r"^neck\.convs\.(\d)\.conv\.", lambda m: f"upsample.deconv{int(m[1]) + 1}.dcn.dcnv2."),
        (r"^neck\.convs\.(\d)\.norm\.", lambda m: f"upsample.deconv{int(m[1]) + 1}.dcn_bn."),
        (r"^neck\.ups\.(\d)\.conv\.", lambda m: f"upsample.deconv{int(m[1]) + 1}.up_sample."),
        (r"^neck\.ups\.(\d)\.norm\.", lambda m: f"upsample.deconv{int(m[1]) + 1}.up_bn."),
        (r"^head\.cls\.", "head.cls_head."),
        (r"^head\.size\.", "head.wh_head."),
        (r"^head\.offset\.", "head.reg_head."),
        (r"_head\.conv\.", "_head.feat_conv."),
        (r"_head\.out\.", "_head.out_conv."),
        (r"^backbone\.(conv1|bn1)\.", r"backbone.stem.\1."),
        (r"^backbone\.layer(\d)\.", lambda m: f"backbone.res{int(m[1]) + 1}."),
        (r"^(backbone.*)\.downsample\.0\.", r"\1.shortcut."),
        (r"^(backbone.*)\.downsample\.1\.", r"\1.shortcut.norm."),
        (r"^(backbone.*)\.bn(\d)\.", r"\1.conv\2.norm."),
    )
    return renamed(state, rules)


@pytest.mark.parametrize("row", [DCN, "centernet_r50_512"])
def test_the_files_of_cvpods(row: str) -> None:
    model = trained(row, "deform", (16, 16, 8))
    theirs = as_cvpods(model.state_dict())
    assert {
        "backbone.stem.conv1.norm.running_mean",
        "backbone.res3.0.shortcut.norm.weight",
        "upsample.deconv1.dcn.offset_mask_conv.bias",
        "upsample.deconv2.dcn_bn.running_var",
        "upsample.deconv3.up_sample.weight",
        "head.reg_head.feat_conv.bias",
    } <= {*theirs}
    assert reading.readers(theirs) == {("centernet", "cvpods")}
    state, config = read_state(theirs, narrow(row), "the file")
    assert (config.pixels.bgr, config.margin, config.clip, config.neck.conv_bias) == (False, 0.25, False, True)
    load_state(again := config.build(), state, "the file")
    assert reading.equal_states(again, model)


def test_the_authors_deformable_resnet_has_as_many_parameters() -> None:
    config = ROWS[DCN].recipe().model
    with torch.device("meta"):
        model = replace(config, neck=replace(config.neck, conv_bias=True)).build()
    assert sum(p.numel() for p in model.parameters()) == 14_437_349


def as_authors_dla(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The keys of the authors' DLA: steps count their maps from 1; some convolutions are not used."""
    rules = (
        (r"^head\.(\w+)\.(conv|out)\.", lambda m: f"{HEADS[m[1]]}.{BRANCH[m[2]]}."),
        (r"^neck\.steps\.", "dla_up.ida_"),
        (r"^neck\.last\.", "ida_up."),
        (r"^((?:dla|ida)_up\..*?)(proj|node)(?:ect)?\.(\d)\.", lambda m: f"{m[1]}{m[2]}_{int(m[3]) + 1}."),
        (r"\benlarge\.(\d)\.", lambda m: f"up_{int(m[1]) + 1}."),
        (r"^(.*up.*)\.norm\.", r"\1.actf.0."),
        (r"\.offset\.", ".conv_offset_mask."),
        (r"^backbone\.body\.", "base."),
    )
    return renamed(state, rules) | {"base.level3.project.0.weight": torch.zeros(1), "base.fc.bias": torch.zeros(1)}


def renamed(state: dict[str, Tensor], rules: Sequence[tuple[str, Any]]) -> dict[str, Tensor]:
    found = {}
    for key, tensor in state.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        found[key] = tensor
    return found


def test_the_authors_files_with_deep_layer_aggregation() -> None:
    config = narrow(DLA).model
    batch_norm = replace(config.backbone, norm="batch"), replace(config.neck, norm="batch")
    model = replace(config, backbone=batch_norm[0], neck=batch_norm[1]).build()
    own = model.state_dict()
    theirs = as_authors_dla(own)
    assert {"dla_up.ida_2.proj_3.conv.conv_offset_mask.bias", "ida_up.up_2.weight", "ida_up.node_1.actf.0.bias"} <= {
        *theirs
    }
    assert reading.readers(own) == {("centernet", "cvzoo")}
    assert reading.readers(theirs) == {("centernet", "xingyizhou/CenterNet")}
    state, found = read_state(theirs, narrow(DLA), "the file")
    assert (found.pixels, found.frame, found.margin) == (weights.AUTHORS.pixels, Frame(), 1.0)
    load_state(again := found.build(), state, "the file")
    assert reading.equal_states(again, model)


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
    return renamed(state, rules)


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


def seen(size: tuple[int, int], original: tuple[int, int] = (60, 91)) -> View:
    """The same image at some size."""
    sample = resize(draw(*original, objects=3, seed=2), size)
    return View(Batch.collate([replace(sample, original_size=original)]), flipped=False)


def model_with_large_boxes(**options: Any) -> CenterNet:
    """A fresh network takes all objects for points; here they are 8 cells wide and 5 high."""
    model = narrow(PLAIN, clip=False, **options).model.build().eval()
    model.head.size.out.get_parameter("bias").data = torch.tensor([8.0, 5.0])
    return model


@pytest.mark.parametrize("frame", [None, Frame()])
def test_with_its_mirror_image_the_mirrored_image_gives_the_mirrored_boxes(frame: Frame | None) -> None:
    model = model_with_large_boxes(frame=frame)
    views = [(one := seen((64, 96))), one.mirrored()]
    found, other = (model.predict_views(own) for own in (views, [View(v.batch, not v.flipped) for v in views]))
    torch.testing.assert_close(found.scores, other.scores)
    best, mirrored = found.boxes[:10], flip_boxes(other.boxes[:10], 91)
    # a centre's offset in its cell is that of the image, not of its mirror image
    torch.testing.assert_close(best[:, 2:] - best[:, :2], mirrored[:, 2:] - mirrored[:, :2], atol=1e-3, rtol=1e-4)
    assert (best - mirrored).abs().max() <= 4
    assert model.predict_views([one]).boxes.equal(model.predict(one.batch)[0].boxes)


def test_scores_of_the_mirror_image_count_as_much() -> None:
    model = model_with_large_boxes()
    one = seen((64, 96))
    with torch.no_grad():
        images, _ = model.placed(one.batch)
        straight, mirrored = (model.raw(x).logits.sigmoid() for x in (images, images.flip(-1)))
    expected = peaks(((straight + mirrored.flip(-1)) / 2).logit(), 100, 3)
    found = model.predict_views([one, one.mirrored()])
    torch.testing.assert_close(found.scores, expected.scores_NP[0])
    assert not found.scores.equal(model.predict(one.batch)[0].scores)


def test_scales_compete_and_soft_nms_is_an_option() -> None:
    model = model_with_large_boxes()
    views = [seen((64, 96)), seen((96, 128))]
    alone = [model.predict(view.batch)[0] for view in views]
    both = model.predict_views(views)
    assert len(both) <= 100
    assert both.scores[0] == max(found.scores[0] for found in alone)
    assert (both.scores.diff() <= 0).all()
    config = replace(model.config, nms=SoftNMSConfig(method="hard", iou_threshold=0.3))
    with_nms = CenterNet(config).eval()
    with_nms.load_state_dict(model.state_dict())
    (found,) = with_nms.predict(views[0].batch)
    assert 0 < len(found) < len(alone[0])
    overlaps = pairwise_iou(found.boxes, found.boxes).fill_diagonal_(0)
    assert overlaps[found.labels[:, None] == found.labels].max() < 0.3
