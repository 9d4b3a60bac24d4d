"""First stage, box heads and mask heads of two-stage detectors, with a pyramid or on C4."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor

from cvzoo.weights.keys import body, pyramid
from cvzoo.weights.keys.rename import Rules, State, renamed

BOX, MASK = r"^(box_head|box_heads\.\d)", r"^(mask_head|mask_heads\.\d)"
"""Our heads for boxes and masks, or those of one stage of a cascade."""

DETECTRON2: Rules = (
    # one convolution in the first stage is `conv`, several are `conv.conv0`, ...
    (r"^proposal_generator\.rpn_head\.conv\.(?:conv(\d)\.)?", r"rpn.tower.\g<1>.conv."),
    (r"^rpn\.tower\.\.", "rpn.tower.0."),
    (r"^proposal_generator\.rpn_head\.objectness_logits\.", "rpn.objectness."),
    (r"^proposal_generator\.rpn_head\.anchor_deltas\.", "rpn.deltas."),
    (r"^roi_heads\.box_(?:head|predictor)\.(\d)\.", r"box_heads.\1."),
    (r"^roi_heads\.box_(?:head|predictor)\.", "box_head."),
    # layers count from 1
    *((rf"{BOX}\.conv{i + 1}\.norm\.", rf"\1.convs.{i}.norm.") for i in range(8)),
    *((rf"{BOX}\.conv{i + 1}\.", rf"\1.convs.{i}.conv.") for i in range(8)),
    *((rf"{BOX}\.fc{i + 1}\.", rf"\1.fcs.{i}.") for i in range(4)),
    (rf"{BOX}\.cls_score\.", r"\1.cls_out."),
    (rf"{BOX}\.bbox_pred\.", r"\1.box_out."),
    *((rf"{MASK}\.mask_fcn{i + 1}\.norm\.", rf"\1.convs.{i}.norm.") for i in range(8)),
    *((rf"{MASK}\.mask_fcn{i + 1}\.", rf"\1.convs.{i}.conv.") for i in range(8)),
    (rf"{MASK}\.deconv\.", r"\1.upsample."),
    (rf"{MASK}\.predictor\.", r"\1.out."),
)
MMDETECTION: Rules = (
    # one convolution in the first stage is `rpn_conv`, several are `rpn_conv.0.conv`, ...
    (r"^rpn_head\.rpn_conv\.(weight|bias)$", r"rpn.tower.0.conv.\1"),
    (r"^rpn_head\.rpn_conv\.", "rpn.tower."),
    (r"^rpn_head\.rpn_cls\.", "rpn.objectness."),
    (r"^rpn_head\.rpn_reg\.", "rpn.deltas."),
    (r"^roi_head\.shared_head\.layer4\.", "backbone.layer4."),
    # in a cascade every stage has heads of its own
    (r"^roi_head\.bbox_head\.(\d)\.", r"box_heads.\1."),
    (r"^roi_head\.bbox_head\.", "box_head."),
    (r"^roi_head\.mask_head\.(\d)\.", r"mask_heads.\1."),
    (r"^roi_head\.mask_head\.", "mask_head."),
    (rf"{BOX}\.shared_(convs|fcs)\.", r"\1.\2."),
    (rf"{BOX}\.fc_cls\.", r"\1.cls_out."),
    (rf"{BOX}\.fc_reg\.", r"\1.box_out."),
    (rf"{MASK}\.conv_logits\.", r"\1.out."),
    (r"\b(convs\.\d)\.(?:bn|gn)\.", r"\1.norm."),
)
TORCHVISION_OLD: Rules = (
    *pyramid.TORCHVISION_OLD,
    (r"^(rpn\.head\.conv)\.(weight|bias)$", r"\1.0.0.\2"),
    *((rf"^(roi_heads\.mask_head)\.mask_fcn{i + 1}\.", rf"\1.{i}.0.") for i in range(4)),
)
"""Names from before 2022 to today's."""
TORCHVISION: Rules = (
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
    (r"^(rpn\.tower|(?:box|mask)_head\.convs)\.(\d)\.0\.", r"\1.\2.conv."),
    (r"^(rpn\.tower|(?:box|mask)_head\.convs)\.(\d)\.1\.", r"\1.\2.norm."),
)


def from_detectron2(state: Mapping[str, Tensor]) -> State:
    """A detector's state of detectron2 or cvpods under our keys. A cascade has one mask head there, the first stage's
    here."""
    cascade = any(key.startswith("roi_heads.box_predictor.0.") for key in state)
    mask_head = ((r"^roi_heads\.mask_head\.", "mask_heads.0." if cascade else "mask_head."),)
    return body.with_detectron2_body(state, (*pyramid.detectron2(state), *mask_head, *DETECTRON2))


def from_mmdetection(state: Mapping[str, Tensor]) -> State:
    """A detector's state of mmdetection 2 or 3 under our keys."""
    return renamed(state, (*pyramid.mmdetection(state), *body.MMDETECTION, *MMDETECTION))


def from_torchvision(state: Mapping[str, Tensor]) -> State:
    """A detector's state of torchvision under our keys.

    The background is the first class there and the last here, and it has no box and no mask here.
    """
    ours = renamed(renamed(state, TORCHVISION_OLD), (*_box_head_fcs(state), *pyramid.TORCHVISION, *TORCHVISION))
    for kind in ("weight", "bias"):
        if (cls := f"box_head.cls_out.{kind}") in ours:
            ours[cls] = ours[cls].roll(-1, dims=0)
        if (box := f"box_head.box_out.{kind}") in ours:
            ours[box] = ours[box][4:]
        if (mask := f"mask_head.out.{kind}") in ours:
            ours[mask] = ours[mask][1:]
    return ours


def _box_head_fcs(keys: Collection[str]) -> Rules:
    """v2's box head is one list: convolution blocks, flatten, then linear layers, each followed by a ReLU."""
    found = (re.match(r"roi_heads\.box_head\.(\d+)\.weight$", key) for key in keys)
    indices = sorted(int(match[1]) for match in found if match)
    return tuple(
        (rf"^roi_heads\.box_head\.{index}\.(?=weight|bias)", f"box_head.fcs.{i}.") for i, index in enumerate(indices)
    )
