"""Our model configuration from the resolved config of an mmsegmentation case. An option without a place here fails."""

from __future__ import annotations

from typing import Any

from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.parts.semantic.head import AuxiliaryConfig
from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig
from cvzoo.zoo.gcnet.model import GCNetConfig
from cvzoo.zoo.pspnet.model import PSPNetConfig

OUTPUT_STRIDES = {((1, 2, 1, 1), (1, 1, 2, 4)): 8, ((1, 2, 2, 1), (1, 1, 1, 2)): 16, ((1, 2, 2, 2), (1, 1, 1, 1)): 32}
"""By the strides and dilations of the stages."""


def pspnet(case: dict[str, Any]) -> PSPNetConfig:
    head = case["model"]["decode_head"]
    assert head["type"] == "PSPHead"
    return PSPNetConfig(**_common(case["model"]), bins=tuple(head["pool_scales"]))


def gcnet_segmentation(case: dict[str, Any]) -> GCNetConfig:
    head = case["model"]["decode_head"]
    assert head["type"] == "GCHead"
    assert head["pooling_type"] == "att"
    assert head["fusion_types"] == ["channel_add"]
    return GCNetConfig(**_common(case["model"]), ratio=head["ratio"])


def deeplabv3plus(case: dict[str, Any]) -> DeepLabV3PlusConfig:
    head = case["model"]["decode_head"]
    assert head["type"] == "DepthwiseSeparableASPPHead"
    assert head["dilations"][0] == 1
    dilations, low = tuple(head["dilations"][1:]), head["c1_channels"]
    return DeepLabV3PlusConfig(**_common(case["model"]), dilations=dilations, low_channels=low)


def _common(model: dict[str, Any]) -> dict[str, Any]:
    head = model["decode_head"]
    assert head["loss_decode"] == {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0}
    assert head["in_index"] == 3
    return {
        "num_classes": head["num_classes"],
        "backbone": _resnet(model["backbone"]),
        "pixels": _pixels(model["data_preprocessor"]),
        "channels": head["channels"],
        "norm": _norm(head),
        "dropout": head["dropout_ratio"],
        "align_corners": head["align_corners"],
        "aux": _auxiliary(model["auxiliary_head"], head),
    }


def _auxiliary(aux: dict[str, Any], head: dict[str, Any]) -> AuxiliaryConfig:
    assert (aux["type"], aux["in_index"], aux["num_convs"], aux["concat_input"]) == ("FCNHead", 2, 1, False)
    assert all(aux[name] == head[name] for name in ("num_classes", "norm_cfg", "align_corners"))
    return AuxiliaryConfig(
        channels=aux["channels"], dropout=aux["dropout_ratio"], loss_weight=aux["loss_decode"]["loss_weight"]
    )


def _norm(part: dict[str, Any]) -> Any:
    assert part["norm_cfg"]["requires_grad"]
    return {"BN": "batch", "SyncBN": "batch"}[part["norm_cfg"]["type"]]


def _resnet(backbone: dict[str, Any]) -> ResNetConfig:
    assert backbone["style"] == "pytorch"
    assert backbone["contract_dilation"]
    assert not backbone["norm_eval"]
    return ResNetConfig(
        depth=backbone["depth"],
        width=backbone["base_channels"],
        stem_channels=backbone["stem_channels"],
        deep_stem={"ResNetV1c": True, "ResNet": False}[backbone["type"]],
        output_stride=OUTPUT_STRIDES[tuple(backbone["strides"]), tuple(backbone["dilations"])],  # type: ignore[arg-type]
        norm=_norm(backbone),
        frozen_stages=0,
    )


def _pixels(pixels: dict[str, Any]) -> Pixels:
    assert pixels["bgr_to_rgb"]
    return Pixels(mean=tuple(pixels["mean"]), std=tuple(pixels["std"]), divisor=1)
