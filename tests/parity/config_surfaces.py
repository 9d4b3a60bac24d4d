"""The dense pose branch from the options a detectron2 case was made with. An option without a place here fails."""

from __future__ import annotations

from typing import Any

from parity.config_detectron2 import NORMS, STRIDES
from parity.config_detectron2_rcnn import pool_of
from parity.options import Options, must_be

from cvzoo.zoo.densepose.head import SurfaceHeadConfig, UVConfidence

UV_CONFIDENCES: dict[str, UVConfidence] = {"iid_iso": "isotropic", "indep_aniso": "anisotropic"}
WITHOUT_EFFECT = {"CSE": "of continuous embeddings of the surface, which has charts here"}
WITHOUT_DECODER: dict[str, str] = dict.fromkeys(
    ("DECODER_COMMON_STRIDE", "DECODER_CONV_DIMS", "DECODER_NORM", "DECODER_NUM_CLASSES"), "there is no decoder"
)
WITHOUT_DEEPLAB = {"DEEPLAB": "the head is another one"}
DILATIONS = {"DensePoseV1ConvXHead": (), "DensePoseDeepLabHead": (6, 12, 56)}
"""They are no option of the reference."""


def surface_head_of(model: Options, images: int) -> SurfaceHeadConfig:
    """The whole branch; its losses are those of a process with so many `images`."""
    head, roi = model["ROI_DENSEPOSE_HEAD"], model["ROI_HEADS"]
    must_be(head, CONV_HEAD_KERNEL=3, DECONV_KERNEL=4, UP_SCALE=2)
    must_be(head, PREDICTOR_NAME="DensePoseChartWithConfidencePredictor", HEATMAP_SIZE=4 * head["POOLER_RESOLUTION"])
    levels = roi["IN_FEATURES"]
    decoded = decoder_of(head, model, STRIDES[levels[0]])
    return SurfaceHeadConfig(
        pool=pool_of(head, levels[:1] if decoded else levels),
        convs=head["NUM_STACKED_CONVS"],
        channels=head["CONV_HEAD_DIM"],
        positive_above=head["FG_IOU_THRESHOLD"],
        **decoded,
        **deeplab_of(head),
        **losses_of(head, images),
    )


def losses_of(head: Options, images: int) -> dict[str, Any]:
    """What the losses depend on."""
    head.without_effect(WITHOUT_EFFECT)
    must_be(head, COARSE_SEGM_TRAINED_BY_MASKS=False)
    assert head["LOSS_NAME"] in ("DensePoseChartLoss", "DensePoseChartWithConfidenceLoss")
    uv, part = head["UV_CONFIDENCE"], head["SEGM_CONFIDENCE"]
    return {
        "parts": head["NUM_PATCHES"],
        "coarse_parts": head["NUM_COARSE_SEGM_CHANNELS"],
        "coarse_loss_weight": head["INDEX_WEIGHTS"],
        "part_loss_weight": head["PART_WEIGHTS"],
        "uv_loss_weight": head["POINT_REGRESSION_WEIGHTS"],
        "uv_images": images,
        "uv_confidence": UV_CONFIDENCES[uv["TYPE"]] if uv["ENABLED"] else none_of(uv, "TYPE"),
        "uv_confidence_floor": uv["EPSILON"],
        "part_confidence": part["ENABLED"],
        "part_confidence_floor": part["EPSILON"],
    }


def none_of(options: Options, *names: str) -> None:
    options.without_effect(dict.fromkeys(names, "it is not enabled"))


def decoder_of(head: Options, model: Options, stride: int) -> dict[str, Any]:
    if not head["DECODER_ON"]:
        head.without_effect(WITHOUT_DECODER)
        return {}
    must_be(head, DECODER_COMMON_STRIDE=stride, DECODER_NUM_CLASSES=model["FPN"]["OUT_CHANNELS"])
    return {"decoder_channels": head["DECODER_CONV_DIMS"], "decoder_norm": NORMS[head["DECODER_NORM"]]}


def deeplab_of(head: Options) -> dict[str, Any]:
    dilations = DILATIONS[head["NAME"]]
    if not dilations:
        head.without_effect(WITHOUT_DEEPLAB)
        return {}
    deeplab = head["DEEPLAB"]
    return {
        "dilations": dilations,
        "non_local": bool(deeplab["NONLOCAL_ON"]),
        "conv_norm": NORMS[deeplab["NORM"]],
    }
