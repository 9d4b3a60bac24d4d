"""R-CNNs with options that no row has: they are built, learn, answer, and come back from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from zoo.systems import narrow, same_detections

from cvzoo.data.shapes import draw
from cvzoo.engine.checkpoint import save_weights
from cvzoo.loading import build_with_weights
from cvzoo.nn.fpn import FPNConfig
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.roi_pool import RoIPoolConfig
from cvzoo.ops.anchors import AnchorConfig
from cvzoo.parts.rcnn.box_head import BoxHeadConfig
from cvzoo.parts.rcnn.mask_head import MaskHeadConfig
from cvzoo.parts.rcnn.rpn import RPNConfig
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import to_json
from cvzoo.structures import Batch
from cvzoo.zoo.cascade_rcnn.model import StageConfig

FASTER, ON_C4, MASK = "faster_rcnn_r50_fpn_1x", "faster_rcnn_r50_c4_1x", "mask_rcnn_r50_fpn_1x"
CASCADE, TRIDENT = "cascade_mask_rcnn_r50_fpn_1x", "tridentnet_r50_c4_1x"
THIN = ResNetConfig(width=8)
NORMED = ResNetConfig(width=12, norm="group", norm_groups=6, stem_channels=6, out_channels=18, frozen_stages=0)
GROUPED = replace(THIN, groups=4, deform="v2", deform_groups=2)
WEIGHTS = [(10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0), (40.0, 40.0, 20.0, 20.0)]
FOUR_STAGES = tuple(StageConfig(positive_from=0.4 + k / 10, box_weights=w) for k, w in enumerate(WEIGHTS))


BOX_HEAD: BoxHeadConfig = narrow(FASTER).model.box_head
RPN: RPNConfig = narrow(FASTER).model.rpn


def anchors(ratios: tuple[float, ...]) -> AnchorConfig:
    sizes = ((16.0, 24.0), (32.0, 48.0), (64.0, 96.0), (128.0, 192.0), (256.0, 384.0))
    return AnchorConfig(sizes=sizes, ratios=(ratios,), strides=(4, 8, 16, 32, 64))


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "groups and deformable groups": (FASTER, {"backbone": GROUPED}),
    "groups and deformable groups on C4": (ON_C4, {"backbone": replace(GROUPED, stride_in_1x1=True)}),
    "deformable branches": (TRIDENT, {"backbone": replace(THIN, deform="v1", deform_groups=4)}),
    "two branches": (TRIDENT, {"backbone": GROUPED, "dilations": (1, 4), "all_branches": True}),
    "groups of norms that are no power of two": (MASK, {"backbone": NORMED}),
    "group norm in every part": (
        MASK,
        {
            "fpn": FPNConfig(first_level=2, extra="pool", channels=24, norm="group", norm_groups=3),
            "box_head": replace(BOX_HEAD, convs=2, conv_norm="group", conv_norm_groups=6, fcs=1),
            "mask_head": MaskHeadConfig(convs=1, conv_norm="group", conv_norm_groups=4, channels=12),
        },
    ),
    "other anchors": (FASTER, {"rpn": replace(RPN, anchors=anchors((0.25, 1.0, 1.5, 4.0)), convs=2)}),
    "one box for all classes": (
        MASK,
        {"box_head": replace(BOX_HEAD, class_agnostic=True, box_loss="giou", best_match="truth")},
    ),
    "coarse regions": (
        MASK,
        {
            "box_head": replace(BOX_HEAD, pool=RoIPoolConfig(size=3, sampling=1, aligned=False)),
            "mask_head": MaskHeadConfig(pool=RoIPoolConfig(size=5), convs=0, channels=6, target="soft"),
        },
    ),
    "context blocks in a grouped body": (MASK, {"backbone": replace(GROUPED, context_ratio=1 / 3)}),
    "four stages and two branches of masks": (CASCADE, {"stages": FOUR_STAGES, "mask_stages": 2}),
    "two stages that sample anew": (CASCADE, {"stages": FOUR_STAGES[:2], "resample": True, "average": "logits"}),
    "one stage": (CASCADE, {"stages": FOUR_STAGES[:1], "backbone": replace(THIN, depth=34)}),
}


def batch() -> Batch:
    drawn = [draw(height, width, 4, seed=n, masks=True) for n, (height, width) in enumerate([(97, 131), (64, 120)])]
    return Batch.collate([replace(s, original_size=s.size, image_id=n) for n, s in enumerate(drawn)])


def step(model: nn.Module, inputs: Batch) -> None:
    """One of SGD."""
    losses: dict[str, Tensor] = model.train()(inputs)
    torch.stack(list(losses.values())).sum().backward()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)
    nn.utils.clip_grad_norm_(trained, 1.0)
    torch.optim.SGD(trained, lr=0.01).step()


@pytest.mark.parametrize("name", VARIANTS)
def test_options_that_no_row_has(name: str, tmp_path: Path) -> None:
    row, options = VARIANTS[name]
    recipe: Recipe[Any] = narrow(row, **options)
    model, inputs = recipe.model.build(), batch()
    step(model, inputs)
    expected = model.eval().predict(inputs)
    assert sum(map(len, expected)) > 0
    save_weights(tmp_path, model.state_dict(), {"recipe": to_json(recipe)})
    for source in (row, "a row of none"):
        loaded, found, *_ = build_with_weights(replace(recipe, row=source, weights=str(tmp_path)))
        assert found.model == recipe.model
        for one, other in zip(loaded.eval().predict(inputs), expected, strict=True):
            assert torch.equal(one.boxes, other.boxes)
    for one, other in zip(model.for_inference().predict(inputs), expected, strict=True):
        same_detections(one, other)


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        (CASCADE, {"stages": ()}, r"model\.stages must hold one"),
        (CASCADE, {"mask_stages": 4}, r"model\.mask-stages is 1 to 3"),
        (CASCADE, {"mask_stages": 0}, r"model\.mask-stages is 1 to 3"),
        (CASCADE, {"box_head": BOX_HEAD}, r"class-agnostic must be True"),
        (ON_C4, {"backbone": replace(THIN, output_stride=8)}, r"output-stride 8: without a pyramid take 32.* or 16"),
        (TRIDENT, {"dilations": ()}, r"model\.dilations must hold one"),
    ],
)
def test_what_cannot_be_built_is_said(row: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        narrow(row, **options)
