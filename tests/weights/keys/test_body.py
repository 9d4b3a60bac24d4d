"""ResNets of detectron2 and mmdetection, alone and in models."""

from __future__ import annotations

import pytest
import torch
from weights.keys.renamed import check

from cvzoo.weights.keys import body
from cvzoo.weights.keys.rename import State, renamed


def test_detectron2s_body_alone() -> None:
    check(
        body.from_detectron2,
        {
            "stem.conv1.weight": "conv1.weight",
            "stem.conv1.norm.running_mean": "bn1.running_mean",
            "res2.0.shortcut.weight": "layer1.0.downsample.0.weight",
            "res3.1.shortcut.norm.bias": "layer2.1.downsample.1.bias",
            "res5.2.conv3.norm.weight": "layer4.2.bn3.weight",
            "res4.0.conv2_offset.weight": "layer3.0.conv2.offset.weight",
        },
    )


def test_detectron2s_deep_stem() -> None:
    check(
        body.from_detectron2,
        {
            "stem.conv1.weight": "stem.0.weight",
            "stem.conv1.norm.weight": "stem.1.weight",
            "stem.conv2.weight": "stem.3.weight",
            "stem.conv3.norm.bias": "stem.7.bias",
        },
    )


def test_detectron2s_body_under_a_pyramid() -> None:
    """Buffers of cvpods and of old files are left out."""
    check(
        from_detectron2,
        {
            "backbone.bottom_up.stem.conv1.norm.weight": "backbone.bn1.weight",
            "backbone.bottom_up.res3.1.shortcut.norm.bias": "backbone.layer2.1.downsample.1.bias",
            "anchor_generator.cell_anchors.0": None,
            "proposal_generator.anchor_generator.cell_anchors.3": None,
            "pixel_mean": None,
            "pixel_std": None,
            "something.else": "something.else",
        },
    )


def test_detectron2s_body_without_a_pyramid() -> None:
    """Its last stage belongs to the heads."""
    check(
        from_detectron2,
        {
            "backbone.stem.conv1.norm.weight": "backbone.bn1.weight",
            "backbone.res4.5.conv2.weight": "backbone.layer3.5.conv2.weight",
            "roi_heads.res5.0.shortcut.weight": "backbone.layer4.0.downsample.0.weight",
        },
    )


def from_detectron2(state: State) -> State:
    return body.with_detectron2_body(state, ())


def test_openmmlabs_body() -> None:
    check(
        lambda state: renamed(state, body.MMDETECTION),
        {
            "backbone.layer3.0.conv2.conv_offset.bias": "backbone.layer3.0.conv2.offset.bias",
            "backbone.layer2.0.context_block.conv_mask.weight": "backbone.layer2.0.context.attention.weight",
            "backbone.layer2.0.gc_block.channel_add_conv.3.bias": "backbone.layer2.0.context.transform.3.bias",
            "backbone.layer1.0.gn2.weight": "backbone.layer1.0.bn2.weight",
            "backbone.layer1.0.bn1.weight": "backbone.layer1.0.bn1.weight",
        },
    )


@pytest.mark.parametrize(
    "keys",
    [
        ["conv1.weight", "layer4.0.conv1.weight"],
        ["backbone.body.conv1.weight", "backbone.body.layer4.0.conv1.weight", "backbone.fpn.inner_blocks.0.0.weight"],
        ["backbone.conv1.weight", "backbone.layer4.0.conv1.weight", "neck.lateral.0.conv.weight"],
        ["backbone.conv1.weight", "roi_head.shared_head.layer4.0.conv1.weight", "roi_head.bbox_head.fc_cls.bias"],
    ],
)
def test_the_body_out_of_a_model(keys: list[str]) -> None:
    """torchvision's, ours, mmdetection's on C4."""
    assert set(body.alone(dict.fromkeys(keys, torch.zeros(1)))) == {"conv1.weight", "layer4.0.conv1.weight"}


@pytest.mark.parametrize(
    "keys",
    [
        ["stem.conv1.weight", "res5.0.conv1.weight"],
        ["backbone.bottom_up.stem.conv1.weight", "backbone.bottom_up.res5.0.conv1.weight", "head.cls_score.bias"],
        ["backbone.stem.conv1.weight", "roi_heads.res5.0.conv1.weight", "roi_heads.box_predictor.cls_score.bias"],
    ],
)
def test_the_body_out_of_a_model_of_detectron2(keys: list[str]) -> None:
    assert set(body.alone(dict.fromkeys(keys, torch.zeros(1)))) == {"stem.conv1.weight", "res5.0.conv1.weight"}
