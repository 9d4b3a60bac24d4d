"""Key maps of torchvision: detectors, with today's names and those from before 2022, FCN and DeepLab."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from cvzoo.weights.rename import Rules, State, renamed

MARKER = r"^backbone\.fpn\.inner_blocks\."
"""Keys by which the toolbox is known."""

OLD_NAMES: Rules = (
    (r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)$", r"\1.0.\2"),
    (r"^(rpn\.head\.conv)\.(weight|bias)$", r"\1.0.0.\2"),
    *((rf"^(roi_heads\.mask_head)\.mask_fcn{i + 1}\.", rf"\1.{i}.0.") for i in range(4)),
)
"""To today's names, in which a convolution is `.0` of a block and its norm, if any, `.1`."""
OLD_TOWERS: Rules = tuple((rf"^(head\.\w+_head\.conv)\.{2 * i}\.(weight|bias)$", rf"\1.{i}.0.\2") for i in range(4))
"""RetinaNet's: convolution, ReLU, convolution ..."""
FCOS_TOWERS: Rules = tuple(
    (rf"^(head\.\w+_head\.conv)\.{3 * i + part}\.", rf"\1.{i}.{part}.") for i in range(4) for part in (0, 1)
)
"""FCOS's, to this day: convolution, norm, ReLU, convolution ..."""

TOWERS = r"neck\.(?:lateral|output)|head\.\w+_tower|rpn\.tower|(?:box|mask)_head\.convs"
RULES: Rules = (
    (r"^backbone\.body\.", "backbone."),
    (r"^backbone\.fpn\.inner_blocks\.", "neck.lateral."),
    (r"^backbone\.fpn\.layer_blocks\.", "neck.output."),
    (r"^backbone\.fpn\.extra_blocks\.p6\.", "neck.extra.0.conv."),
    (r"^backbone\.fpn\.extra_blocks\.p7\.", "neck.extra.1.conv."),
    # RetinaNet, FCOS
    (r"^head\.classification_head\.conv\.", "head.cls_tower."),
    (r"^head\.regression_head\.conv\.", "head.box_tower."),
    (r"^head\.regression_head\.bbox_ctrness\.", "head.centreness_out."),
    (r"^head\.classification_head\.cls_logits\.", "head.cls_out."),
    (r"^head\.regression_head\.bbox_reg\.", "head.box_out."),
    # R-CNNs
    (r"^rpn\.head\.conv\.", "rpn.tower."),
    (r"^rpn\.head\.cls_logits\.", "rpn.objectness."),
    (r"^rpn\.head\.bbox_pred\.", "rpn.deltas."),
    (r"^roi_heads\.box_head\.fc6\.", "box_head.fcs.0."),
    (r"^roi_heads\.box_head\.fc7\.", "box_head.fcs.1."),
    (r"^roi_heads\.box_head\.(\d\.[01]\.)", r"box_head.convs.\1"),
    (r"^roi_heads\.box_predictor\.cls_score\.", "box_head.cls_out."),
    (r"^roi_heads\.box_predictor\.bbox_pred\.", "box_head.box_out."),
    (r"^roi_heads\.mask_head\.", "mask_head.convs."),
    (r"^roi_heads\.mask_predictor\.conv5_mask\.", "mask_head.upsample."),
    (r"^roi_heads\.mask_predictor\.mask_fcn_logits\.", "mask_head.out."),
    # the blocks of all towers
    (rf"^({TOWERS})\.(\d)\.0\.", r"\1.\2.conv."),
    (rf"^({TOWERS})\.(\d)\.1\.", r"\1.\2.norm."),
)


def from_torchvision(state: Mapping[str, Tensor]) -> State:
    """A torchvision detector's state under our keys; unknown keys stay as they are.

    The background of R-CNNs is the first class there and the last here, and it has no box and no mask here.
    """
    towers = FCOS_TOWERS if "head.regression_head.bbox_ctrness.weight" in state else OLD_TOWERS
    ours = renamed(renamed(state, (*OLD_NAMES, *towers)), (*_box_head_fcs(state), *RULES))
    for kind in ("weight", "bias"):
        if (cls := f"box_head.cls_out.{kind}") in ours:
            ours[cls] = ours[cls].roll(-1, dims=0)
        if (box := f"box_head.box_out.{kind}") in ours:
            ours[box] = ours[box][4:]
        if (mask := f"mask_head.out.{kind}") in ours:
            ours[mask] = ours[mask][1:]
    return ours


def _box_head_fcs(state: Mapping[str, Tensor]) -> Rules:
    """v2's box head is one list: convolution blocks, flatten, then linear layers, each followed by a ReLU."""
    found = (re.match(r"roi_heads\.box_head\.(\d+)\.weight$", key) for key in state)
    indices = sorted(int(match[1]) for match in found if match)
    return tuple(
        (rf"^roi_heads\.box_head\.{index}\.(?=weight|bias)", f"box_head.fcs.{i}.") for i, index in enumerate(indices)
    )


SEGMENTATION_MARKER = r"^classifier\.[12]\.running_mean$"
"""A key of the networks for semantic segmentation."""
AUXILIARY: Rules = (
    (r"^aux_classifier\.0\.", "aux_head.convs.0.conv."),
    (r"^aux_classifier\.1\.", "aux_head.convs.0.norm."),
    (r"^aux_classifier\.4\.", "aux_head.classifier.conv."),
)
FCN: Rules = (
    (r"^classifier\.0\.", "head.convs.0.conv."),
    (r"^classifier\.1\.", "head.convs.0.norm."),
    (r"^classifier\.4\.", "head.classifier.conv."),
)
DEEPLAB: Rules = (
    (r"^classifier\.0\.convs\.0\.", "head.aspp.point."),
    *((rf"^classifier\.0\.convs\.{i + 1}\.", f"head.aspp.atrous.{i}.") for i in range(3)),
    (r"^classifier\.0\.convs\.4\.1\.", "head.aspp.pooled.0."),  # after the pooling, which is 0
    (r"^classifier\.0\.convs\.4\.2\.", "head.aspp.pooled.1."),
    (r"^classifier\.0\.project\.", "head.aspp.fuse."),
    *((rf"^(head\.aspp\..*)\.{i}\.(?=[a-z_]+$)", rf"\1.{part}.") for i, part in enumerate(("conv", "norm"))),
    (r"^classifier\.1\.", "head.decoder.0.conv."),
    (r"^classifier\.2\.", "head.decoder.0.norm."),
    (r"^classifier\.4\.", "head.classifier.conv."),
)


def from_torchvision_segmentation(state: Mapping[str, Tensor]) -> State:
    """FCN's or DeepLab v3's state under our keys; unknown keys stay as they are."""
    deeplab = any(key.startswith("classifier.0.convs.") for key in state)
    return renamed(state, (*AUXILIARY, *(DEEPLAB if deeplab else FCN)))
