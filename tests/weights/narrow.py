"""Rows made narrow: a tenth of a second to build, all parts present."""

from dataclasses import replace
from typing import Any

from torch import nn

from cvzoo.recipes import ROWS, Recipe
from cvzoo.zoo.tridentnet.model import TridentNetConfig

RETINANET, FASTER_RCNN, FASTER_RCNN_C4 = "retinanet_r50_fpn_1x", "faster_rcnn_r50_fpn_1x", "faster_rcnn_r50_c4_1x"
FCOS, FCOS_IMPROVED, ATSS = "fcos_r50_fpn_1x", "fcos_r50_fpn_improved_1x", "atss_r50_fpn_1x"
FREEANCHOR, REPPOINTS_MINMAX = "freeanchor_r50_fpn_1x", "reppoints_r50_fpn_minmax_1x"
REPPOINTS, REPPOINTS_2X = "reppoints_r50_fpn_moment_1x", "reppoints_r50_fpn_moment_2x"
REPPOINTS_PARTIAL = "reppoints_r50_fpn_partial_minmax_1x"
FCOS_DCN, REPPOINTS_DCN = "fcos_r50_dcn_fpn_improved_1x", "reppoints_r101_dcn_fpn_moment_2x"
MASK_RCNN, MASK_RCNN_C4, TRIDENTNET = "mask_rcnn_r50_fpn_1x", "mask_rcnn_r50_c4_1x", "tridentnet_r50_c4_1x"
CASCADE_RCNN, CASCADE_MASK_RCNN = "cascade_rcnn_r50_fpn_1x", "cascade_mask_rcnn_r50_fpn_1x"
SYSTEMS = (
    *(RETINANET, FCOS, ATSS, FREEANCHOR, REPPOINTS, REPPOINTS_MINMAX),
    *(FASTER_RCNN, FASTER_RCNN_C4, MASK_RCNN, MASK_RCNN_C4),
    *(CASCADE_RCNN, CASCADE_MASK_RCNN, TRIDENTNET),
)
"""One row of each."""
MASK_RCNN_GCB = "mask_rcnn_r50_fpn_gcb_r16_1x"
FCN, PSPNET, GCNET = "fcn_r50_d8_cityscapes", "pspnet_r50_d8_cityscapes", "gcnet_r50_d8_cityscapes"
DEEPLAB, DEEPLAB_VOC = "deeplabv3plus_r50_d8_cityscapes", "deeplabv3plus_r101_d8_voc"
PSPNET_ADE20K = "pspnet_r101_d8_ade20k"
SEGMENTERS = (FCN, PSPNET, DEEPLAB, GCNET)
"""One row of each system for semantic segmentation."""
SIZES = {"fpn": {"channels": 16}, "box_head": {"fc_channels": 8}, "mask_head": {"channels": 8}}


def narrow(row: str, **model_options: Any) -> Recipe[Any]:
    """The row's recipe without ImageNet weights, its model narrowed, `model_options` changed."""
    recipe = ROWS[row].recipe()
    model = recipe.model
    bottlenecks = isinstance(model, TridentNetConfig) or model.backbone.context_ratio is not None
    sizes: dict[str, Any] = {"backbone": replace(model.backbone, depth=50 if bottlenecks else 18, width=8)}
    for part, size in SIZES.items():
        if getattr(model, part, None) is not None:
            sizes[part] = replace(getattr(model, part), **size)
    if hasattr(model, "tower_convs"):
        sizes["tower_convs"] = 2
    if row in SEGMENTERS:
        sizes |= {"channels": 16, "aux": replace(model.aux, channels=8)}
    return replace(recipe, backbone_weights=None, model=replace(model, **sizes | model_options))


def equal_states(a: nn.Module, b: nn.Module) -> bool:
    """Same keys, same values."""
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(left[key].equal(right[key]) for key in left)
