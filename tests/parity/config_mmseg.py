"""Our config of a network from the resolved one of an mmsegmentation case, part by part: what systems share.

An option without a place here, or in the module of the system, fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parity.options import Options, must_be

from cvzoo.nn.layers import Norm
from cvzoo.nn.pixels import Pixels
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.parts.semantic.head import AuxiliaryConfig
from cvzoo.parts.semantic.logits import PixelLossConfig
from cvzoo.structures import IGNORE

WITHOUT_EFFECT = {
    "pretrained": "the case has weights",
    "backbone.init_cfg": "the case has weights",
    "backbone.with_cp": "computes the same with less memory",
}
"""Options that nothing compared follows from, and why."""
OUTPUT_STRIDES = {((1, 2, 1, 1), (1, 1, 2, 4)): 8, ((1, 2, 2, 1), (1, 1, 1, 2)): 16, ((1, 2, 2, 2), (1, 1, 1, 1)): 32}
"""By the strides and dilations of the stages."""
IN_INDEX, AUX_INDEX = 3, 2
"""The maps that the head and the auxiliary head see: C5 and C4."""


def segmenter_of(model: Options) -> dict[str, Any]:
    """What the configs of all systems have in common."""
    model.without_effect(WITHOUT_EFFECT)
    must_be(model, type="EncoderDecoder", train_cfg={})
    body, head = resnet_of(model["backbone"]), model["decode_head"]
    must_be(head, in_index=IN_INDEX, in_channels=body.channels[IN_INDEX], ignore_index=IGNORE)
    must_be(head["loss_decode"], loss_weight=1.0)
    return {
        "num_classes": head["num_classes"],
        "backbone": body,
        "pixels": pixels_of(model["data_preprocessor"]),
        "channels": head["channels"],
        "dropout": head["dropout_ratio"],
        "align_corners": head["align_corners"],
        "aux": auxiliary_of(model.get("auxiliary_head"), head, body),
        "loss": loss_of(head["loss_decode"]),
        **norm_of(head["norm_cfg"]),
    }


def auxiliary_of(aux: Options | None, head: Options, body: ResNetConfig) -> AuxiliaryConfig | None:
    """It shares norm, loss and the way to resize with the head."""
    if aux is None:
        return None
    must_be(aux, type="FCNHead", kernel_size=3)
    assert (aux["num_convs"], aux["concat_input"]) == (1, False)
    must_be(aux, in_index=AUX_INDEX, in_channels=body.channels[AUX_INDEX], ignore_index=IGNORE)
    must_be(aux, num_classes=head["num_classes"], align_corners=head["align_corners"], norm_cfg=head["norm_cfg"])
    assert loss_of(aux["loss_decode"]) == loss_of(head["loss_decode"])
    return AuxiliaryConfig(
        channels=aux["channels"], dropout=aux["dropout_ratio"], loss_weight=aux["loss_decode"]["loss_weight"]
    )


def loss_of(loss: Options) -> PixelLossConfig:
    must_be(loss, type="CrossEntropyLoss", use_sigmoid=False, class_weight=None)
    return PixelLossConfig(count_ignored=not loss.get("avg_non_ignore", False))


def norm_of(norm: Options, fixed: bool = False) -> dict[str, Any]:
    """`norm` and `norm_groups` of a `norm_cfg`; `fixed`: batch norms keep their statistics."""
    if norm["type"] == "GN":
        must_be(norm, requires_grad=True)
        return {"norm": "group", "norm_groups": norm["num_groups"]}
    assert norm["type"] in ("BN", "SyncBN")
    trained = norm.get("requires_grad", True)
    assert trained or fixed, "batch norm whose statistics alone are trained is not supported"
    found: Norm = "batch" if not fixed else "affine" if trained else "frozen"
    return {"norm": found}


def resnet_of(backbone: Options) -> ResNetConfig:
    must_be(backbone, num_stages=4, out_indices=[0, 1, 2, 3], avg_down=False, frozen_stages=-1)
    deep_stem = {"ResNetV1c": True, "ResNet": backbone.get("deep_stem", False)}[backbone["type"]]
    return ResNetConfig(
        depth=backbone["depth"],
        width=backbone.get("base_channels", 64),
        stem_channels=backbone.get("stem_channels", 64),
        deep_stem=deep_stem,
        stride_in_1x1={"caffe": True, "pytorch": False}[backbone["style"]],
        output_stride=OUTPUT_STRIDES[tuple(backbone["strides"]), tuple(backbone["dilations"])],  # type: ignore[arg-type]
        contract_dilation=backbone.get("contract_dilation", False),
        multi_grid=tuple(backbone.get("multi_grid") or ()),
        frozen_stages=0,
        **norm_of(backbone["norm_cfg"], backbone.get("norm_eval", False)),
    )


def pixels_of(pixels: Options) -> Pixels:
    must_be(pixels, type="SegDataPreProcessor", pad_val=0, seg_pad_val=IGNORE)
    divisor = pixels.get("size_divisor") or 1
    return Pixels(mean=tuple(pixels["mean"]), std=tuple(pixels["std"]), bgr=not pixels["bgr_to_rgb"], divisor=divisor)


def check_windows(model: Options, sizes: list[tuple[int, int]]) -> None:
    """Every image fits into one window of the test, or is seen as a whole anyway."""
    test: Mapping[str, Any] = model["test_cfg"]
    if test["mode"] == "whole":
        return
    must_be(test, mode="slide")
    assert test["stride"], "windows move"
    assert all(h <= test["crop_size"][0] and w <= test["crop_size"][1] for h, w in sizes)
