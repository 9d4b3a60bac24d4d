"""ResNets. torchvision's names are ours, and OpenMMLab's are torchvision's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from cvzoo.weights.keys.rename import Rules, State, renamed

DETECTRON2_STEM: Rules = tuple(
    rule
    for i in range(3)
    for rule in ((rf"^stem\.conv{i + 1}\.norm\.", f"stem.{3 * i + 1}."), (rf"^stem\.conv{i + 1}\.", f"stem.{3 * i}."))
)
"""Of three convolutions, counted from 1."""
DETECTRON2: Rules = (
    *((rf"^res{stage + 1}\.", f"layer{stage}.") for stage in (1, 2, 3, 4)),
    (r"\bconv(\d)\.norm\.", r"bn\1."),
    (r"\bconv2_offset\.", "conv2.offset."),
    (r"\.shortcut\.norm\.", ".downsample.1."),
    (r"\.shortcut\.", ".downsample.0."),
)
"""A ResNet alone, as in the ImageNet files, but for its stem."""
DETECTRON2_PREFIX = r"^(backbone\.bottom_up\.|(backbone|roi_heads)\.(?=stem\.|res\d\.))"
"""Where a detector keeps it: under a pyramid, or on C4, where its last stage belongs to the heads."""
DETECTRON2_BUFFERS = r"^pixel_(mean|std)$|\.?anchor_generator\.cell_anchors\."
"""Of cvpods and of old detectron2 files; a config says them better."""
CONTEXT_BLOCKS: Rules = (
    (r"\.(?:context|gc)_block\.conv_mask\.", ".context.attention."),
    (r"\.(?:context|gc)_block\.channel_add_conv\.", ".context.transform."),
)
"""Global context (1904.11492) in bodies and heads of OpenMMLab."""
GROUP_NORMS: Rules = ((r"\bgn(\d)\.", r"bn\1."),)
"""OpenMMLab calls a ResNet's norms by their kind, we by their place."""
MMDETECTION: Rules = ((r"\.conv_offset\.", ".offset."), *GROUP_NORMS, *CONTEXT_BLOCKS)
"""Deformable convolutions, group norms and context blocks in a ResNet."""


def from_detectron2(state: Mapping[str, Tensor], drop: str | None = None) -> State:
    """A ResNet's state, its stem of one convolution or of three, under our keys; keys with `drop` are left out."""
    stem: Rules = DETECTRON2_STEM if "stem.conv2.weight" in state else ((r"^stem\.", ""),)
    return renamed(state, (*stem, *DETECTRON2), drop)


def with_detectron2_body(state: Mapping[str, Tensor], rules: Rules) -> State:
    """A detector's state of detectron2 or cvpods under our keys: its body, and all the rest by `rules`."""
    prefix = DETECTRON2_PREFIX
    body = from_detectron2({re.sub(prefix, "", key): x for key, x in state.items() if re.search(prefix, key)})
    rest = {key: tensor for key, tensor in state.items() if not re.search(prefix, key)}
    return {f"backbone.{key}": x for key, x in body.items()} | renamed(rest, rules, DETECTRON2_BUFFERS)


def alone(state: Mapping[str, Tensor]) -> State:
    """The body out of a whole model's state, under its toolbox's names; a body's own state stays as it is.

    torchvision's detectors keep it a level deeper than others; detectron2's and mmdetection's on C4 in two places.
    """
    if any(re.search(r"\bres[2-5]\.", key) for key in state):
        prefix, last_stage = DETECTRON2_PREFIX, DETECTRON2_PREFIX
    else:
        deeper = any(key.startswith("backbone.body.") for key in state)
        prefix = r"^backbone\.body\." if deeper else r"^backbone\."
        last_stage = r"^roi_head\.shared_head\."
    found = {re.sub(prefix, "", key): x for key, x in state.items() if re.search(prefix, key)}
    found |= {re.sub(last_stage, "", key): x for key, x in state.items() if re.search(last_stage, key)}
    return found or dict(state)
