"""Feature pyramids: levels are counted by their stride in detectron2, and from 0 here."""

from __future__ import annotations

from weights.keys.renamed import check

from cvzoo.weights.keys import pyramid
from cvzoo.weights.keys.rename import State, renamed


def from_detectron2(state: State) -> State:
    return renamed(state, pyramid.detectron2(state))


def from_mmdetection(state: State) -> State:
    return renamed(state, pyramid.mmdetection(state))


def from_torchvision(state: State) -> State:
    return renamed(renamed(state, pyramid.TORCHVISION_OLD), pyramid.TORCHVISION)


def test_detectron2s_pyramid_of_a_dense_detector_begins_at_p3() -> None:
    check(
        from_detectron2,
        {
            "backbone.fpn_lateral4.norm.weight": "neck.lateral.1.norm.weight",
            "backbone.fpn_lateral3.weight": "neck.lateral.0.conv.weight",
            "backbone.fpn_output5.bias": "neck.output.2.conv.bias",
            "backbone.top_block.p6.weight": "neck.extra.0.conv.weight",
            "backbone.top_block.p7.weight": "neck.extra.1.conv.weight",
        },
    )


def test_detectron2s_pyramid_of_two_stages_begins_at_p2() -> None:
    check(
        from_detectron2,
        {
            "backbone.fpn_lateral2.weight": "neck.lateral.0.conv.weight",
            "backbone.fpn_lateral4.norm.weight": "neck.lateral.2.norm.weight",
            "backbone.fpn_output5.norm.bias": "neck.output.3.norm.bias",
        },
    )


def test_mmdetection_lists_extra_levels_after_the_outputs() -> None:
    check(
        from_mmdetection,
        {
            "neck.lateral_convs.0.conv.weight": "neck.lateral.0.conv.weight",
            "neck.lateral_convs.1.gn.weight": "neck.lateral.1.norm.weight",
            "neck.fpn_convs.1.bn.running_var": "neck.output.1.norm.running_var",
            "neck.fpn_convs.2.conv.weight": "neck.extra.0.conv.weight",
            "neck.fpn_convs.3.gn.bias": "neck.extra.1.norm.bias",
        },
    )


def test_torchvisions_blocks_are_lists_of_convolution_and_norm() -> None:
    check(
        from_torchvision,
        {
            "backbone.body.layer1.0.conv1.weight": "backbone.layer1.0.conv1.weight",
            "backbone.fpn.inner_blocks.0.0.weight": "neck.lateral.0.conv.weight",
            "backbone.fpn.inner_blocks.0.1.running_mean": "neck.lateral.0.norm.running_mean",
            "backbone.fpn.layer_blocks.2.0.bias": "neck.output.2.conv.bias",
            "backbone.fpn.extra_blocks.p7.weight": "neck.extra.1.conv.weight",
        },
    )


def test_torchvisions_old_names() -> None:
    check(
        from_torchvision,
        {
            "backbone.fpn.inner_blocks.1.weight": "neck.lateral.1.conv.weight",
            "backbone.fpn.layer_blocks.3.bias": "neck.output.3.conv.bias",
        },
    )
