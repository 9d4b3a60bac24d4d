"""Our model configuration from the options a detectron2 case was made with. An option without a place here fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parity.options import Options, must_be

from cvzoo.nn.deform import Deform
from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.ops.anchors import AnchorConfig

NORMS: dict[str, Norm | None] = {"": None, "GN": "group", "BN": "batch", "SyncBN": "batch", "FrozenBN": "frozen"}
STRIDES = {f"p{level}": 2**level for level in range(2, 8)} | {f"res{level}": 2**level for level in range(2, 6)}


WITHOUT_EFFECT = {"ANGLES": "of rotated anchors alone"}
"""Options of anchors that are read, and why nothing follows from them."""


def resnet_of(model: Mapping[str, Any]) -> ResNetConfig:
    must_be(model["RESNETS"], RES5_DILATION=1)
    return undilated_of(model)


def undilated_of(model: Mapping[str, Any]) -> ResNetConfig:
    """All of a ResNet but how it is dilated."""
    resnet = model["RESNETS"]
    norm = NORMS[resnet["NORM"]]
    assert norm is not None
    return ResNetConfig(
        depth=resnet["DEPTH"],
        width=resnet["WIDTH_PER_GROUP"] * resnet["NUM_GROUPS"],
        stem_channels=resnet["STEM_OUT_CHANNELS"],
        out_channels=resnet["RES2_OUT_CHANNELS"],
        groups=resnet["NUM_GROUPS"],
        stride_in_1x1=resnet["STRIDE_IN_1X1"],
        norm=norm,
        frozen_stages=model["BACKBONE"]["FREEZE_AT"],
        deform=deform_of(resnet),
        deform_groups=resnet["DEFORM_NUM_GROUPS"],
    )


def deform_of(resnet: Mapping[str, Any]) -> Deform | None:
    if not any(resnet["DEFORM_ON_PER_STAGE"]):
        must_be(resnet, DEFORM_MODULATED=False)
        return None
    must_be(resnet, DEFORM_ON_PER_STAGE=[False, True, True, True])
    return "v2" if resnet["DEFORM_MODULATED"] else "v1"


def anchors_of(model: Mapping[str, Any], levels: list[str]) -> AnchorConfig:
    anchors: Options = model["ANCHOR_GENERATOR"]
    anchors.without_effect(WITHOUT_EFFECT)
    must_be(anchors, NAME="DefaultAnchorGenerator")
    return AnchorConfig(
        sizes=tuple(tuple(sizes) for sizes in anchors["SIZES"]),
        ratios=tuple(tuple(ratios) for ratios in anchors["ASPECT_RATIOS"]),
        strides=tuple(STRIDES[name] for name in levels),
        offset=anchors["OFFSET"],
    )


def pixels_of(options: Mapping[str, Any], divisor: int) -> Pixels:
    mean, std = options["MODEL"]["PIXEL_MEAN"], options["MODEL"]["PIXEL_STD"]
    bgr = {"BGR": True, "RGB": False}[options["INPUT.FORMAT"]]
    return Pixels(mean=tuple(mean), std=tuple(std), bgr=bgr, divisor=divisor)


def fuse_of(name: str) -> Any:
    return {"sum": "sum", "avg": "mean"}[name]
