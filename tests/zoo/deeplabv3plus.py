"""What the tests know of DeepLab v3+, and of v3."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from parity.config_detectron2 import NORMS, pixels_of, undilated_of
from parity.config_mmseg import segmenter_of
from parity.options import Options, must_be
from parity.run_semantic import run_detectron2, run_mmsegmentation
from zoo.segmenter import AUX_CHANNELS
from zoo.segmenter import narrow as narrow_segmenter
from zoo.systems import Fits, Golden

from cvzoo.nn.resnet import ResNetConfig
from cvzoo.parts.semantic.logits import PixelLossConfig
from cvzoo.structures import IGNORE
from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig

WITHOUT_EFFECT = {
    "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA": "decides where training crops, and the case has its images",
    "TEST.DETECTIONS_PER_IMAGE": "of detectors",
}
"""Options of detectron2 that nothing compared follows from, and why."""
LOSSES = {
    "hard_pixel_mining": PixelLossConfig(hardest=0.2),
    "cross_entropy": PixelLossConfig(count_ignored=False),
}
"""By their name in detectron2."""
OUTPUT_STRIDES: dict[tuple[int, int], Any] = {(1, 1): 32, (1, 2): 16, (2, 4): 8}
"""By the dilations of detectron2's res4 and res5."""


def config_of(case: dict[str, Any]) -> DeepLabV3PlusConfig:
    """Of a case of mmsegmentation. Its v3 has no decoder; its separable one can be without low-level features."""
    head = case["model"]["decode_head"]
    common, separable = segmenter_of(case["model"]), head["type"] == "DepthwiseSeparableASPPHead"
    must_be(head, type="DepthwiseSeparableASPPHead" if separable else "ASPPHead")
    point, *dilations = head["dilations"]
    assert point == 1
    assert min(dilations) > 1, "there is one 1x1 convolution"
    low = head["c1_channels"] if separable else 0
    if separable:
        must_be(head, c1_in_channels=common["backbone"].channels[0] if low else 0)
    return DeepLabV3PlusConfig(
        **common,
        dilations=tuple(dilations),
        separable=separable,
        low_channels=low,
        decoder_convs=2 if separable else 0,
    )


def detectron2_config_of(case: dict[str, Any]) -> DeepLabV3PlusConfig:
    options: Options = case["options"]
    options.without_effect(WITHOUT_EFFECT)
    model, head = options["MODEL"], options["MODEL"]["SEM_SEG_HEAD"]
    plus, separable = head["NAME"] == "DeepLabV3PlusHead", head["USE_DEPTHWISE_SEPARABLE_CONV"]
    body, norm = detectron2_body_of(model), NORMS[head["NORM"]]
    assert norm is not None, "heads without norms are not supported"
    must_be(model, META_ARCHITECTURE="SemanticSegmentor")
    must_be(head, LOSS_WEIGHT=1, IGNORE_VALUE=IGNORE, COMMON_STRIDE=4 if plus else body.output_stride)
    return DeepLabV3PlusConfig(
        num_classes=head["NUM_CLASSES"],
        backbone=body,
        pixels=pixels_of(options, divisor=1),
        dilations=tuple(head["ASPP_DILATIONS"]),
        separable=separable,
        fuse_kernel=1,
        pool_norm=False,
        pool_window=pool_window_of(options, body.output_stride),
        aspp_dropout=head["ASPP_DROPOUT"],
        decoder_kernel=5 if separable else 3,
        norm=norm,
        dropout=0.0,
        aux=None,
        loss=LOSSES[head["LOSS_TYPE"]],
        **(detectron2_plus_of(head, separable) if plus else detectron2_v3_of(head)),
    )


def detectron2_plus_of(head: Options, separable: bool) -> dict[str, Any]:
    """What v3+ adds: one stage of a decoder."""
    must_be(head, IN_FEATURES=["res2", "res5"], PROJECT_FEATURES=["res2"])
    (low,), channels, aspp_channels = head["PROJECT_CHANNELS"], head["CONVS_DIM"], head["ASPP_CHANNELS"]
    return {
        "channels": channels,
        "aspp_channels": None if aspp_channels == channels else aspp_channels,
        "low_channels": low,
        "low_first": True,
        "decoder_convs": 1 if separable else 2,
    }


def detectron2_v3_of(head: Options) -> dict[str, Any]:
    """The classifier sees ASPP; what of the decoder is stated is there for v3+."""
    head.without_effect(dict.fromkeys(("PROJECT_FEATURES", "PROJECT_CHANNELS"), "v3 has no decoder"))
    must_be(head, NAME="DeepLabV3Head", IN_FEATURES=["res5"], CONVS_DIM=head["ASPP_CHANNELS"])
    return {"channels": head["ASPP_CHANNELS"], "low_channels": 0, "decoder_convs": 0}


def detectron2_body_of(model: Options) -> ResNetConfig:
    resnet, plain = model["RESNETS"], undilated_of(model)
    must_be(model["BACKBONE"], NAME="build_resnet_deeplab_backbone")
    assert set(model["SEM_SEG_HEAD"]["IN_FEATURES"]) <= set(resnet["OUT_FEATURES"])
    assert plain.norm == "frozen" or plain.frozen_stages == 0, "stages that are frozen have frozen norms"
    return replace(
        plain,
        deep_stem={"deeplab": True, "basic": False}[resnet["STEM_TYPE"]],
        output_stride=OUTPUT_STRIDES[resnet["RES4_DILATION"], resnet["RES5_DILATION"]],
        contract_dilation=False,
        multi_grid=tuple(resnet["RES5_DILATION"] * factor for factor in resnet["RES5_MULTI_GRID"]),
    )


def pool_window_of(options: Options, output_stride: int) -> tuple[int, int] | None:
    """Of ASPP's pooling: the cells of a training crop, or all there are."""
    crop = options["INPUT.CROP"]
    height, width = crop["SIZE"]
    if not crop["ENABLED"]:
        assert crop["TYPE"], "a kind of crop that is not made"
        return None
    must_be(crop, TYPE="absolute")
    return height // output_stride, width // output_stride


def narrow(config: DeepLabV3PlusConfig) -> DeepLabV3PlusConfig:
    """Low-level features have fewer channels, too, where there are any."""
    return replace(narrow_segmenter(config), low_channels=min(config.low_channels, AUX_CHANNELS))


R50, R101 = "deeplabv3plus_r50_d8_cityscapes", "deeplabv3plus_r101_d8_voc"
ADE20K, V3_ROW = "deeplabv3plus_r50_d8_ade20k", "deeplabv3_r50_d8_cityscapes"
R103 = {"depth": 101, "deep_stem": True, "stem_channels": 128, "multi_grid": (2, 4, 8)}
V3 = {"separable": False, "low_channels": 0, "decoder_convs": 0}
PARAMETERS = {R50: 43_589_878}  # spec segmentation.md, section 1
GOLDEN = {
    "deeplabv3plus": Golden("mmsegmentation", partial(run_mmsegmentation, config_of=config_of)),
    "deeplab": Golden("detectron2", partial(run_detectron2, config_of=detectron2_config_of)),
}
MANIFESTS = {
    "mmlab/deeplabv3_r50-d8_4xb2-40k_cityscapes-512x1024": Fits(V3_ROW, classes=19),
    "mmlab/deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024": Fits(R50, body={"depth": 18}, classes=19),
    "mmlab/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024": Fits(R50, classes=19),
    "mmlab/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-769x769": Fits(R50, classes=19),
    "mmlab/deeplabv3plus_r50-d8_4xb4-20k_voc12aug-512x512": Fits(R50, classes=21),
    "mmlab/deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512": Fits(ADE20K, classes=150),
    "mmlab/deeplabv3plus_r101-d8_4xb2-80k_cityscapes-512x1024": Fits(R101, classes=19),
    "detectron2/deeplab_v3_plus_R_103_os16_mg124_poly_90k_bs16": Fits(R50, body=R103, classes=19),
    "detectron2/deeplab_v3_R_103_os16_mg124_poly_90k_bs16": Fits(V3_ROW, body=R103, classes=19),
}
