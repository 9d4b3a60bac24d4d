"""What TensorMask alone does: who learns what, masks of some windows only, and its three representations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from zoo.systems import narrow, total
from zoo.tensormask import ROW, everywhere
from zoo.test_boxes import samples

from cvzoo.loading import read_state
from cvzoo.nn.fpn import FPNConfig
from cvzoo.ops.anchors import AnchorConfig, anchors_of
from cvzoo.ops.assigners import BACKGROUND
from cvzoo.recipes import Recipe
from cvzoo.structures import Batch, Target, size_of
from cvzoo.weights.strict import load_state
from cvzoo.zoo.tensormask import head as head_module
from cvzoo.zoo.tensormask import weights
from cvzoo.zoo.tensormask.head import Representation
from cvzoo.zoo.tensormask.model import TensorMask, TensorMaskConfig
from cvzoo.zoo.tensormask.rows import small_windows
from cvzoo.zoo.tensormask.windows import Windows, match_windows

SHAPES = "tensormask_r18_fpn_shapes"
REPRESENTATIONS: tuple[Representation, ...] = ("bipyramid", "aligned", "natural")


def by_the_rule(windows_M4: Tensor, stride_M: Tensor, smallest: float, boxes_G4: Tensor) -> tuple[Tensor, Tensor]:
    """How many objects each window could learn, and which if it is one, from all pairs."""
    contains = (windows_M4[:, :2] <= boxes_G4[:, None, :2]) & (windows_M4[:, 2:] >= boxes_G4[:, None, 2:])
    side_G = (boxes_G4[:, 2:] - boxes_G4[:, :2]).amax(dim=1)
    side_M = windows_M4[:, 2] - windows_M4[:, 0] - stride_M
    large = (2 * side_G).clamp(min=smallest)[:, None] >= side_M
    centre_G2, centre_M2 = ((boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (boxes_G4, windows_M4))
    near = ((centre_G2[:, None] - centre_M2) / stride_M[:, None]).square().sum(dim=-1) <= 1
    fits_GM = contains.all(dim=-1) & large & near
    return fits_GM.sum(dim=0), (fits_GM * torch.arange(len(boxes_G4))[:, None]).sum(dim=0)


@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize("step", [1.0, 4.0])
def test_windows_learn_by_the_papers_rule(offset: float, step: float) -> None:
    """Of all windows, those near an object's centre are enough; centres on the cells of several levels, too."""
    config = replace(small_windows(4, 8, 16, 32, 64), offset=offset)
    maps = [torch.zeros(2, 1, -(-96 // stride), -(-128 // stride)) for stride in config.strides]
    windows = anchors_of(config, maps, (96, 128))
    stride_M = torch.cat([torch.full((len(level),), float(s)) for level, s in zip(windows, config.strides)])
    targets = []
    for count in (40, 0, 7):
        corner = (torch.rand(count, 2) * torch.tensor([110.0, 80.0]) / step).round() * step
        side = (torch.rand(count, 2) * 60 / step).round() * step + 2
        targets.append(Target(torch.cat([corner, corner + side], dim=1), torch.randint(5, (count,))))
    found = match_windows(config, windows, [size_of(x) for x in maps], targets, ())
    for labels_M, index_M, target in zip(found.labels_NM, found.index_NM, targets):
        wanted_M, learnt_M = by_the_rule(torch.cat(windows), stride_M, 20 - 4, target.boxes)
        assert torch.equal(labels_M >= 0, wanted_M == 1)
        assert torch.equal(index_M[labels_M >= 0], learnt_M[wanted_M == 1])
        assert torch.equal(labels_M[labels_M >= 0], target.labels[index_M[labels_M >= 0]])
        assert (labels_M[wanted_M != 1] == BACKGROUND).all()
    assert (found.labels_NM[0] >= 0).any()
    assert (found.labels_NM[1] == BACKGROUND).all()


def test_a_window_that_two_objects_claim_learns_background() -> None:
    config = small_windows(4, 8, 16)
    maps = [torch.zeros(1, 1, 64 // stride, 64 // stride) for stride in config.strides]
    windows = anchors_of(config, maps, (64, 64))
    one = torch.tensor([[24.0, 24.0, 40.0, 40.0]])
    grids = [size_of(x) for x in maps]
    alone = match_windows(config, windows, grids, [Target(one, torch.tensor([1]))], ())
    both = match_windows(config, windows, grids, [Target(one.repeat(2, 1), torch.tensor([1, 2]))], ())
    assert (alone.labels_NM == 1).any()
    assert (both.labels_NM == BACKGROUND).all()


def model_of(representation: Representation) -> TensorMask:
    """Narrow, with weights that make hidden values differ from cell to cell."""
    model = narrow(SHAPES, representation=representation).model.build()
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_boxes_and_masks_of_some_windows_are_those_of_all(
    representation: Representation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the gradients of the dense head, in whichever tiles it is evaluated."""
    model = model_of(representation)
    batch = Batch.collate(samples((64, 96), (48, 80)))
    raw = model.raw(model.config.pixels(batch.images, batch.sizes))
    features = [x.detach().requires_grad_() for x in raw.features]
    dense = everywhere(raw, 2)
    chosen = np.random.default_rng(0).permutation(len(dense))[:12]
    chosen = np.sort(np.concatenate([chosen, [0, len(dense) - 1]]))
    some = Windows(*(getattr(dense, name)[chosen] for name in ("image", "level", "row", "column", "kind")))
    parameters = [p for name, p in model.head.named_parameters() if not name.startswith("cls")]
    results = []
    for windows, tile in ((dense, 10_000), (some, 2), (some, 3)):
        for name in ("BOX_TILE", "MASK_TILE"):
            monkeypatch.setattr(head_module, name, tile)
        masks = {}
        for rows, logits_PSS in model.head.masks(features, windows):
            masks.update(zip(rows.tolist(), logits_PSS))
        wanted = chosen.tolist() if windows is dense else range(len(some))
        values = [masks[row] for row in wanted]
        for level, deltas in enumerate(model.head.deltas(features, windows)):
            at = some.level == level
            values.append(deltas[some.image[at], :, some.row[at], some.column[at]])
        loss = torch.cat([value.sin().flatten() for value in values]).sum()
        gradients = torch.autograd.grad(loss, features + parameters, materialize_grads=True)
        results.append([value.detach() for value in values] + list(gradients))
    for sparse in results[1:]:
        for ours, theirs in zip(sparse, results[0], strict=True):
            torch.testing.assert_close(ours, theirs, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_all_representations_train_and_predict(representation: Representation) -> None:
    model = narrow(ROW, representation=representation).model.build().train()
    batch = Batch.collate(samples((96, 128), (64, 100)))
    losses = model(batch)
    total(losses).backward()
    assert losses["loss_mask"] > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    for found in model.eval().predict(batch):
        assert found.masks is not None
        assert len(found.masks) == len(found) > 0


def test_all_parameters_have_a_gradient_without_objects() -> None:
    """Or processes of which one has no object would wait for each other."""
    model = narrow(ROW).model.build().train()
    (sample,) = samples((96, 96))
    sample.target = replace(Target.empty(), masks=[])
    total(model(Batch.collate([sample]))).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_objects_without_masks_are_an_error() -> None:
    model = narrow(ROW).model.build().train()
    (sample,) = samples((96, 96))
    sample.target = replace(sample.target, masks=None)
    with pytest.raises(ValueError, match=r"no masks, which TensorMask learns from; set --data\.masks"):
        model(Batch.collate([sample]))


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        (AnchorConfig(sizes=((20, 28), (40,)), ratios=((1.0,),), strides=(4, 8)), "as many on each level"),
        (AnchorConfig(sizes=((20,), (40,)), strides=(4, 8)), "must be squares"),
        (AnchorConfig(sizes=((20,), (40,)), ratios=((1.0,),), strides=(4, 6)), "not multiples of the first"),
        (
            AnchorConfig(sizes=((20, 3), (40, 6)), ratios=((1.0,),), strides=(4, 8)),
            "smaller than the finest level's cells",
        ),
    ],
)
def test_windows_that_no_mask_fits_are_an_error(windows: AnchorConfig, message: str) -> None:
    with pytest.raises(ValueError, match=rf"model\.windows .*{message}"):
        TensorMaskConfig(windows=windows)


def as_detectron2(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What tells representation and P6 in a file: our head and pyramid under detectron2's keys."""
    found = {}
    for key, x in state.items():
        for ours, theirs in (("neck.lateral.", "backbone.fpn_lateral"), ("neck.output.", "backbone.fpn_output")):
            if key.startswith(ours):
                level, rest = key.removeprefix(ours).split(".conv.")
                found[f"{theirs}{int(level) + 2}.{rest}"] = x
        for ours, theirs in (
            ("neck.extra.0.conv.", "backbone.top_block.p6."),
            ("neck.extra.1.conv.", "backbone.top_block.p7."),
            ("head.mask_fuse.conv.", "head.mask_fuse.0."),
            ("head.cls_out.", "head.cls_score."),
            ("head.box_out.", "head.bbox_pred."),
        ):
            if key.startswith(ours):
                found[key.replace(ours, theirs)] = x
        if key.startswith("head.mask_out."):
            side, rest = key.removeprefix("head.mask_out.").split(".")
            found[f"head.mask_pred_{int(side):02d}.{rest}"] = x
        for ours, theirs in (("cls_tower", "cls_subnet"), ("box_tower", "bbox_subnet"), ("mask_tower", "mask_subnet")):
            if key.startswith(f"head.{ours}."):
                number, rest = key.removeprefix(f"head.{ours}.").split(".conv.")
                found[f"head.{theirs}.{2 * int(number)}.{rest}"] = x
    return found


@pytest.mark.parametrize("representation", REPRESENTATIONS)
@pytest.mark.parametrize("extra_from", ["input", "output"])
def test_a_file_tells_what_it_can(representation: Representation, extra_from: Any) -> None:
    fpn = FPNConfig(first_level=2, channels=16, extra_from=extra_from, fuse="mean")
    config = narrow(ROW, representation=representation, fpn=fpn, tower_convs=3).model
    model = config.build()
    ours = {key: x for key, x in model.state_dict().items() if not key.startswith("backbone.")}
    row = replace(config, fpn=replace(fpn, extra_from="input"), num_classes=7)
    state, found = read_state(as_detectron2(ours), Recipe(row="a row of none", model=row), "the file")
    assert found.representation == representation
    assert found.fpn == fpn
    assert found.num_classes == 3
    assert found.pixels == weights.DETECTRON2.pixels
    assert state.keys() == ours.keys()
    load_state(model, state | {k: x for k, x in model.state_dict().items() if k.startswith("backbone.")}, "the file")
