"""Bodies, pyramids and norms in OpenMMLab's configs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cvzoo.nn.resnet import ResNetConfig
from cvzoo.weights.stated.section import Section, with_fields

BATCH_NORMS = ("BN", "BN2d", "SyncBN", "MMSyncBN")
DILATIONS = {32: (1, 1, 1, 1), 16: (1, 1, 1, 2), 8: (1, 1, 2, 4)}
"""Of the four layers, by the stride of the last map."""
BEYOND_LAYER1 = (False, True, True, True)
"""Layers with deformable convolutions or context blocks."""
TRIDENT = "TridentResNet"
BODIES = ("ResNet", "ResNeXt", "ResNetV1c", TRIDENT)
OUTPUTS = ((0, 1, 2, 3), (2,), (3,))
"""Which maps are used: all, C4 alone, C5 alone; the shapes of what stands on them tell it, too."""
IN_THE_SHAPES = ("depth", "in_channels", "base_channels", "stem_channels", "groups", "base_width")
TRAINING = ("init_cfg", "pretrained", "with_cp", "zero_init_residual")


def norm_of(part: Section, default: str | None = None, eps: float = 1e-5) -> dict[str, Any]:
    """Of the part's norms `norm`, and `norm_groups` where they are group norms; the default is a class's own."""
    if "norm_cfg" not in part:
        part.skip("norm_cfg")
        return {"norm": default, "norm_groups": 32 if default == "group" else None}
    found = part.part("norm_cfg")
    found.skip("requires_grad", "momentum")
    found.only("eps", eps)
    kind = found.only("type", *BATCH_NORMS, "GN")
    groups = found.take("num_groups")
    found.close()
    return {"norm": "group" if kind == "GN" else "batch", "norm_groups": groups}


def body_of(body: Any, part: Section, last: Section) -> Any:
    """The body's config; of hourglasses the shapes tell all. `last` is its last layer where the second stage has it."""
    if not isinstance(body, ResNetConfig):
        part.only("type", "HourglassNet")
        return body
    kind = part.only("type", *BODIES)
    if kind not in BODIES:
        return body
    part.skip(*IN_THE_SHAPES, *TRAINING)
    part.only("num_stages", 4, 3)
    part.only("out_indices", *OUTPUTS)
    if kind == TRIDENT:
        part.skip("num_branch", "trident_dilations", "test_branch_idx")
    found = replace(
        body,
        stride_in_1x1=part.only("style", "pytorch", "caffe") == "caffe",
        deep_stem=bool(part.take("deep_stem")) or kind == "ResNetV1c",
        context_ratio=_context(part),
        **_strides(part, last),
        **_norm(body, part),
        **_deform(part),
    )
    frozen = part.take("frozen_stages")
    part.close()
    return found if frozen is None else replace(found, frozen_stages=frozen + 1)


def _strides(part: Section, last: Section) -> dict[str, Any]:
    """Where no layer dilates, how they do so is left as it is."""
    strides, dilations = part.take("strides", (1, 2, 2, 2)), part.take("dilations", (1, 1, 1, 1))
    if last.entries:
        strides, dilations = (*strides[:3], last.take("stride", 2)), (*dilations[:3], last.take("dilation", 1))
        _check_last(last, part.take("style", "pytorch"))
    stride = 4 * strides[0] * strides[1] * strides[2] * strides[3] if len(strides) == 4 else 0
    if DILATIONS.get(stride) != dilations:
        part.refuse("strides" if "strides" in part else "dilations")
        return {}
    contract = {"contract_dilation": bool(part.take("contract_dilation"))} if stride < 32 else {}
    part.skip("contract_dilation")
    return {"output_stride": stride, "multi_grid": part.take("multi_grid") or (), **contract}


def _check_last(last: Section, style: str) -> None:
    """It must be as the body's other layers."""
    last.only("type", "ResLayer")
    last.only("stage", 3)
    if last.take("style", "pytorch") != style:
        last.refuse("style")
    last.skip("depth", "norm_cfg", "norm_eval", *TRAINING)
    last.close()


def _norm(body: ResNetConfig, part: Section) -> dict[str, Any]:
    """Batch norms train as the text says; how a body was trained bears on no answer."""
    norm = part.part("norm_cfg")
    norm.skip("momentum", "requires_grad")
    evaluates = part.take("norm_eval", body.norm != "batch")
    if norm.only("type", *BATCH_NORMS, "GN") == "GN":
        found = {"norm": "group", "norm_groups": norm.take("num_groups")}
    else:
        found = {"norm": "batch" if not evaluates else "affine" if norm.take("requires_grad", True) else "frozen"}
    found["norm_eps"] = norm.take("eps", 1e-5)
    norm.close()
    return found


def _deform(part: Section) -> dict[str, Any]:
    dcn = part.part("dcn")
    layers = part.take("stage_with_dcn")
    if not dcn.entries:
        return {"deform": None}
    if layers != BEYOND_LAYER1:
        part.refuse("stage_with_dcn")
    kind = dcn.choose("type", {"DCN": "v1", "DCNv2": "v2"})
    found = {"deform": kind, "deform_groups": dcn.take("deform_groups", dcn.take("deformable_groups", 1))}
    dcn.close()
    return found


def _context(part: Section) -> float | None:
    """The ratio of the context blocks; no other plug-in is known."""
    ratio = None
    for plugin in part.parts("plugins"):
        plugin.only("stages", BEYOND_LAYER1)
        plugin.only("position", "after_conv3")
        block = plugin.part("cfg")
        block.only("type", "ContextBlock")
        block.only("pooling_type", "att")
        block.only("fusion_types", ("channel_add",))
        ratio = block.take("ratio")
        block.close()
        plugin.close()
    return ratio


def neck_of(config: Any, model: Section) -> Any:
    """The config with its pyramid; of the other neck that we have the shapes tell all."""
    pyramid = hasattr(config, "fpn")
    neck = model.part("neck")
    if neck.entries:
        neck.only("type", "FPN" if pyramid else "CTResNetNeck")
    if not pyramid or neck.entries.get("type", "FPN") != "FPN":
        return config
    neck.skip("out_channels", "init_cfg")
    inputs, start = neck.take("in_channels", ()), neck.take("start_level", 0)
    neck.only("end_level", -1, len(inputs) - 1)
    added = neck.take("add_extra_convs", False)
    extra_from = {"on_input": "input", "on_output": "output", True: "input"}.get(added)
    if added and not extra_from:
        neck.refuse("add_extra_convs")
    norm = norm_of(neck)
    coarser = neck.take("num_outs", 0) - len(inputs[start:])
    extra = {2: "conv"}.get(coarser) if added else {0: "none", 1: "pool"}.get(coarser)
    if extra is None:
        neck.refuse("num_outs")
        return config
    relu = bool(neck.take("relu_before_extra_convs"))
    of_extra = {"extra_relu": relu, "extra_norm": norm["norm"]} if added else {}
    found = replace(config.fpn, first_level=start + 2, extra=extra, norm=norm["norm"], **of_extra)
    neck.close()
    return replace(config, fpn=with_fields(found, extra_from=extra_from, norm_groups=norm["norm_groups"]))
