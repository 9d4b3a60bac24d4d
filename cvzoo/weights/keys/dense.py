"""Heads of two towers that score every cell of a pyramid."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from cvzoo.weights.keys import body, pyramid
from cvzoo.weights.keys.rename import Rules, State, renamed

TOWERS = ("cls_tower", "cls_subnet"), ("box_tower", "bbox_subnet")
MASKS, DETECTRON2_MASKS = r"^head\.mask_out\.", r"^head\.mask_pred_\d"
"""Keys of a head that has masks, too: ours and detectron2's."""
TORCHVISION: Rules = (
    (r"^head\.classification_head\.conv\.", "head.cls_tower."),
    (r"^head\.regression_head\.conv\.", "head.box_tower."),
    (r"^head\.classification_head\.cls_logits\.", "head.cls_out."),
    (r"^head\.regression_head\.bbox_reg\.", "head.box_out."),
    (r"^head\.regression_head\.bbox_ctrness\.", "head.centreness_out."),
    (r"^(head\.\w+_tower)\.(\d)\.0\.", r"\1.\2.conv."),
    (r"^(head\.\w+_tower)\.(\d)\.1\.", r"\1.\2.norm."),
)
"""A block of a tower is a list of convolution and norm."""
MMDETECTION: Rules = (
    (r"^bbox_head\.cls_convs\.", "head.cls_tower."),
    (r"^bbox_head\.reg_convs\.", "head.box_tower."),
    (r"^bbox_head\.conv_cls\.", "head.cls_out."),
    (r"^bbox_head\.conv_reg\.", "head.box_out."),
    (r"^bbox_head\.conv_centerness\.", "head.centreness_out."),
    (r"^bbox_head\.scales\.(\d)\.scale$", r"head.scales.\1"),
    (r"\b((?:cls_tower|box_tower)\.\d)\.(?:bn|gn)\.", r"\1.norm."),
)


def detectron2(keys: Collection[str]) -> Rules:
    """A tower is one list there: convolution, norm if any, ReLU, convolution ..."""
    step = 3 if "head.cls_subnet.1.weight" in keys else 2
    rules = [(r"^head\.cls_score\.", "head.cls_out."), (r"^head\.bbox_pred\.", "head.box_out.")]
    rules.append((r"^head\.ctrness\.", "head.centreness_out."))
    for ours, theirs in TOWERS:
        for i in range(8):
            rules.append((rf"^head\.{theirs}\.{step * i}\.", f"head.{ours}.{i}.conv."))
            if step == 3:
                rules.append((rf"^head\.{theirs}\.{step * i + 1}\.", f"head.{ours}.{i}.norm."))
    return tuple(rules)


def from_detectron2(state: Mapping[str, Tensor]) -> State:
    """A detector's state of detectron2 or cvpods under our keys."""
    return body.with_detectron2_body(state, (*pyramid.detectron2(state), *detectron2(state)))


def from_mmdetection(state: Mapping[str, Tensor], *rules: tuple[str, str]) -> State:
    """A detector's state of mmdetection under our keys; `rules` name what only this head has, and come first."""
    return renamed(state, (*pyramid.mmdetection(state), *body.MMDETECTION, *rules, *MMDETECTION))


def anchor_head_of_mmdetection(state: Mapping[str, Tensor]) -> State:
    """`from_mmdetection` where the head scores and moves anchors without a centre-ness, as two systems have it."""
    outputs = ((r"^bbox_head\.retina_cls\.", "head.cls_out."), (r"^bbox_head\.retina_reg\.", "head.box_out."))
    return from_mmdetection(state, *outputs)


def from_torchvision(state: Mapping[str, Tensor], towers: Rules) -> State:
    """A detector's state of torchvision under our keys; `towers` bring its towers to blocks of two."""
    today = renamed(state, (*pyramid.TORCHVISION_OLD, *towers))
    return renamed(today, (*pyramid.TORCHVISION, *TORCHVISION))
