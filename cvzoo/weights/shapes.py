"""What the keys and shapes of a state, under our keys, tell of the network it is of: how large it is, and its norms.

What they cannot tell (where a bottleneck strides, how images enter) is a toolbox's convention, see `conventions.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.layers import Norm
from cvzoo.nn.resnet import BLOCKS, ResNetConfig

State = Mapping[str, Tensor]
OF_BATCHES = ("frozen", "affine", "batch")
"""Norms that have the same tensors."""


def body_in(state: State, body: BodyConfig) -> BodyConfig:
    """The body, as large as the state's; one that is no ResNet stays as it is."""
    first, conv2 = (state.get(f"backbone.layer1.0.conv{i}.weight") for i in (1, 2))
    if not isinstance(body, ResNetConfig) or first is None or conv2 is None:
        return body
    bottleneck = "backbone.layer1.0.conv3.weight" in state
    blocks = tuple(count(state, rf"^backbone\.layer{i}\.(\d+)\.") for i in (1, 2, 3, 4))
    depth = next((d for d, known in BLOCKS.items() if known == blocks and (d >= 50) == bottleneck), None)
    if depth is None:
        return body
    width = len(first)
    deep = "backbone.stem.0.weight" in state
    stem = len(state["backbone.stem.6.weight" if deep else "backbone.conv1.weight"])
    out = len(state[f"backbone.layer1.0.conv{3 if bottleneck else 2}.weight"])
    return replace(
        body,
        depth=depth,
        width=width,
        stem_channels=None if stem == width else stem,
        deep_stem=deep,
        out_channels=None if out == (4 * width if bottleneck else width) else out,
        groups=len(conv2) // conv2.shape[1] if bottleneck else 1,
        context_ratio=_context_ratio(state, out),
        norm=norm_in(state, "backbone.layer1.0.bn1.", body.norm) or body.norm,
        **_deform(state),
    )


def _context_ratio(state: State, out_channels: int) -> float | None:
    """Blocks of layer2, twice as wide as layer1, are the first that may end in one."""
    hidden = state.get("backbone.layer2.0.context.transform.0.weight")
    return None if hidden is None else len(hidden) / (2 * out_channels)


def _deform(state: State) -> dict[str, Any]:
    """A tap has two offsets and perhaps a weight; deformable groups come in powers of two."""
    offset = state.get("backbone.layer2.0.conv2.offset.weight")
    if offset is None:
        return {"deform": None, "deform_groups": 1}
    groups, rest = divmod(len(offset), 27)
    if rest == 0 and groups & (groups - 1) == 0:
        return {"deform": "v2", "deform_groups": groups}
    return {"deform": "v1", "deform_groups": len(offset) // 18}


def norm_in(state: State, place: str, known: Norm | None) -> Norm | None:
    """The norm whose tensors begin with `place`; the known one where it has the same ones."""
    if f"{place}running_mean" in state:
        return known if known in OF_BATCHES else "batch"
    return "group" if f"{place}weight" in state else None


def count(state: State, pattern: str) -> int:
    """How many different numbers keys have at the group of a pattern."""
    return len({found[1] for key in state if (found := re.search(pattern, key))})


def heads_in(state: State, config: Any) -> Any:
    """A detector's config with a pyramid, a first stage and heads of regions as the state has them."""
    found: dict[str, Any] = {}
    if getattr(config, "fpn", None) is not None and "neck.output.0.conv.weight" in state:
        norm = norm_in(state, "neck.output.0.norm.", config.fpn.norm)
        found["fpn"] = replace(config.fpn, channels=len(state["neck.output.0.conv.weight"]), norm=norm)
    if hasattr(config, "rpn"):
        found["rpn"] = replace(config.rpn, convs=count(state, r"^rpn\.tower\.(\d+)\."))
    if hasattr(config, "box_head"):
        found["box_head"] = _box_head(state, config.box_head)
    if getattr(config, "mask_head", None) is not None:
        found["mask_head"] = _mask_head(state, config.mask_head)
    return replace(config, **found)


def _box_head(state: State, head: Any) -> Any:
    """In a cascade all are like the first."""
    place = "box_heads.0." if "box_heads.0.box_out.weight" in state else "box_head."
    out = state.get(f"{place}box_out.weight")
    if out is None:
        return head
    convs, fcs = (count(state, rf"^{re.escape(place)}{layers}\.(\d+)\.") for layers in ("convs", "fcs"))
    return replace(
        head,
        convs=convs,
        conv_norm=norm_in(state, f"{place}convs.0.norm.", head.conv_norm) if convs else None,
        fcs=fcs,
        fc_channels=out.shape[1] if fcs else head.fc_channels,
        class_agnostic=len(out) == 4 if _scores_several(state) else head.class_agnostic,
    )


def _mask_head(state: State, head: Any) -> Any:
    place = "mask_heads.0." if "mask_heads.0.out.weight" in state else "mask_head."
    out = state.get(f"{place}out.weight")
    if out is None:
        return head
    convs = count(state, rf"^{re.escape(place)}convs\.(\d+)\.")
    return replace(
        head,
        convs=convs,
        conv_norm=norm_in(state, f"{place}convs.0.norm.", head.conv_norm) if convs else None,
        channels=out.shape[1],
        class_agnostic=len(out) == 1 if _scores_several(state) else head.class_agnostic,
    )


def _scores_several(state: State) -> bool:
    """Whether there is more than one class beside the background: of a single one nothing tells what is agnostic."""
    scores = state.get("box_heads.0.cls_out.weight", state.get("box_head.cls_out.weight"))
    return scores is not None and len(scores) > 2
