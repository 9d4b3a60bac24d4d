"""Key map of detectron2, and of cvpods, which took its names over."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from cvzoo.weights.rename import BOX, MASK, Rules, State, renamed

MARKER = r"^backbone\.bottom_up\.|^proposal_generator\.|^sem_seg_head\."
"""Keys by which the toolbox is known."""
DROP = r"^pixel_(mean|std)$|\.?anchor_generator\.cell_anchors\."
"""Buffers of cvpods and of old detectron2 files that a config says better."""

DEEP_STEM: Rules = tuple(
    rule
    for i in range(3)
    for rule in ((rf"^stem\.conv{i + 1}\.norm\.", f"stem.{3 * i + 1}."), (rf"^stem\.conv{i + 1}\.", f"stem.{3 * i}."))
)
BODY: Rules = (
    *((rf"^res{stage + 1}\.", f"layer{stage}.") for stage in (1, 2, 3, 4)),
    (r"\bconv(\d)\.norm\.", r"bn\1."),
    (r"\.shortcut\.norm\.", ".downsample.1."),
    (r"\.shortcut\.", ".downsample.0."),
)
"""A ResNet alone, as in the ImageNet files, but for its stem."""
BODY_PREFIX = r"^(backbone\.bottom_up\.|(backbone|roi_heads)\.(?=stem\.|res\d\.))"
"""Where a detector keeps it: under a pyramid, or on C4, where its last stage belongs to the heads."""


def from_detectron2(state: Mapping[str, Tensor]) -> State:
    """A detectron2 or cvpods detector's state under our keys; unknown keys stay as they are."""
    body = from_body({re.sub(BODY_PREFIX, "", k): v for k, v in state.items() if re.search(BODY_PREFIX, k)})
    rest = {key: tensor for key, tensor in state.items() if not re.search(BODY_PREFIX, key)}
    rules = (*_neck(rest), *_dense_head(rest), *_mask_head(rest), *RCNN_HEADS, *_deeplab(rest))
    return {f"backbone.{key}": tensor for key, tensor in body.items()} | _reordered(renamed(rest, rules, DROP))


def from_body(state: Mapping[str, Tensor], drop: str | None = None) -> State:
    """A ResNet's state, its stem of one convolution or of three, under our keys; keys with `drop` are left out."""
    stem: Rules = DEEP_STEM if "stem.conv2.weight" in state else ((r"^stem\.", ""),)
    return renamed(state, (*stem, *BODY), drop)


RCNN_HEADS: Rules = (
    # one convolution in the RPN is `conv`, several are `conv.conv0`, ...
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


def _mask_head(state: Mapping[str, Tensor]) -> Rules:
    """A cascade has one mask head there, the first stage's here."""
    cascade = any(key.startswith("roi_heads.box_predictor.0.") for key in state)
    return ((r"^roi_heads\.mask_head\.", "mask_heads.0." if cascade else "mask_head."),)


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


def _dense_head(state: Mapping[str, Tensor]) -> Rules:
    """A tower is one list there: convolution, norm if any, ReLU, convolution ..."""
    step = 3 if "head.cls_subnet.1.weight" in state else 2
    rules = [(r"^head\.cls_score\.", "head.cls_out."), (r"^head\.bbox_pred\.", "head.box_out.")]
    rules.append((r"^head\.ctrness\.", "head.centreness_out."))
    for ours, theirs in (("cls_tower", "cls_subnet"), ("box_tower", "bbox_subnet")):
        for i in range(8):
            rules.append((rf"^head\.{theirs}\.{step * i}\.", f"head.{ours}.{i}.conv."))
            if step == 3:
                rules.append((rf"^head\.{theirs}\.{step * i + 1}\.", f"head.{ours}.{i}.norm."))
    return tuple(rules)


DEEPLAB: Rules = (
    (r"^sem_seg_head\.(?:decoder\.res5\.project_conv|aspp)\.", "head.aspp."),
    (r"^head\.aspp\.convs\.0\.", "head.aspp.point."),
    *((rf"^head\.aspp\.convs\.{i + 1}\.", f"head.aspp.atrous.{i}.") for i in range(3)),
    (r"^head\.aspp\.convs\.4\.1\.", "head.aspp.pooled."),
    (r"^head\.aspp\.project\.", "head.aspp.fuse."),
    (r"^sem_seg_head\.decoder\.res2\.project_conv\.", "head.low."),
    (r"^sem_seg_head\.decoder\.res2\.fuse_conv\.", "head.decoder."),
    (r"^sem_seg_head\.predictor\.", "head.classifier.conv."),
    (r"^(head\.(?:aspp|low|decoder)\b.*)(?<!norm)\.(weight|bias)$", r"\1.conv.\2"),
)


def _deeplab(state: Mapping[str, Tensor]) -> Rules:
    return DEEPLAB if any(".aspp." in key or ".decoder.res5." in key for key in state) else ()


def _reordered(ours: State) -> State:
    """DeepLab v3+'s decoder sees the low-level features before ASPP's there, after them here."""
    if "head.low.conv.weight" in ours:
        fuse, low = "head.decoder.0.conv.weight", len(ours["head.low.conv.weight"])
        ours[fuse] = ours[fuse].roll(-low, dims=1)
    return ours
