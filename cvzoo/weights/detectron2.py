"""Key map of detectron2, and of cvpods, which took its names over."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from cvzoo.weights.rename import Rules, State, renamed

MARKER = r"^backbone\.bottom_up\."
"""Keys by which the toolbox is known."""
DROP = r"^pixel_(mean|std)$|\.?anchor_generator\.cell_anchors\."
"""Buffers of cvpods and of old detectron2 files that a config says better."""

BODY: Rules = (
    (r"^stem\.", ""),
    *((rf"^res{stage + 1}\.", f"layer{stage}.") for stage in (1, 2, 3, 4)),
    (r"\bconv(\d)\.norm\.", r"bn\1."),
    (r"\.shortcut\.norm\.", ".downsample.1."),
    (r"\.shortcut\.", ".downsample.0."),
)
"""A ResNet alone, as in the ImageNet files."""


def from_detectron2(state: Mapping[str, Tensor]) -> State:
    """A detectron2 or cvpods detector's state under our keys; unknown keys stay as they are."""
    prefix = "backbone.bottom_up."
    body = renamed({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}, BODY)
    rest = {key: tensor for key, tensor in state.items() if not key.startswith(prefix)}
    rules = (*_neck(rest), *_retinanet_head(rest), *RCNN_HEADS)
    return {f"backbone.{key}": tensor for key, tensor in body.items()} | renamed(rest, rules, DROP)


RCNN_HEADS: Rules = (
    # one convolution in the RPN is `conv`, several are `conv.conv0`, ...
    (r"^proposal_generator\.rpn_head\.conv\.(?:conv(\d)\.)?", r"rpn.tower.\g<1>.conv."),
    (r"^rpn\.tower\.\.", "rpn.tower.0."),
    (r"^proposal_generator\.rpn_head\.objectness_logits\.", "rpn.objectness."),
    (r"^proposal_generator\.rpn_head\.anchor_deltas\.", "rpn.deltas."),
    # the box head counts from 1
    *((rf"^roi_heads\.box_head\.conv{i + 1}\.norm\.", f"box_head.convs.{i}.norm.") for i in range(8)),
    *((rf"^roi_heads\.box_head\.conv{i + 1}\.", f"box_head.convs.{i}.conv.") for i in range(8)),
    *((rf"^roi_heads\.box_head\.fc{i + 1}\.", f"box_head.fcs.{i}.") for i in range(4)),
    (r"^roi_heads\.box_predictor\.cls_score\.", "box_head.cls_out."),
    (r"^roi_heads\.box_predictor\.bbox_pred\.", "box_head.box_out."),
)


def _neck(state: Mapping[str, Tensor]) -> Rules:
    """Levels are numbered by their stride there and from 0 here: P2.. in R-CNNs, P3.. in RetinaNet."""
    first = 2 if any(key.startswith("backbone.fpn_lateral2.") for key in state) else 3
    levels = [(level, level - first) for level in range(first, 6)]
    return (
        *((rf"^backbone\.fpn_(lateral|output){level}\.norm\.", rf"neck.\1.{i}.norm.") for level, i in levels),
        *((rf"^backbone\.fpn_(lateral|output){level}\.", rf"neck.\1.{i}.conv.") for level, i in levels),
        (r"^backbone\.top_block\.p6\.", "neck.extra.0.conv."),
        (r"^backbone\.top_block\.p7\.", "neck.extra.1.conv."),
    )


def _retinanet_head(state: Mapping[str, Tensor]) -> Rules:
    """A tower is one list there: convolution, norm if any, ReLU, convolution ..."""
    step = 3 if "head.cls_subnet.1.weight" in state else 2
    rules = [(r"^head\.cls_score\.", "head.cls_out."), (r"^head\.bbox_pred\.", "head.box_out.")]
    for ours, theirs in (("cls_tower", "cls_subnet"), ("box_tower", "bbox_subnet")):
        for i in range(8):
            rules.append((rf"^head\.{theirs}\.{step * i}\.", f"head.{ours}.{i}.conv."))
            if step == 3:
                rules.append((rf"^head\.{theirs}\.{step * i + 1}\.", f"head.{ours}.{i}.norm."))
    return tuple(rules)
