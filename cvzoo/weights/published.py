"""Weights others have published for our rows, by row and name, with what their authors measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torchvision.models import WeightsEnum
from torchvision.models.detection import (
    FasterRCNN_ResNet50_FPN_V2_Weights,
    FasterRCNN_ResNet50_FPN_Weights,
    FCOS_ResNet50_FPN_Weights,
    MaskRCNN_ResNet50_FPN_V2_Weights,
    MaskRCNN_ResNet50_FPN_Weights,
    RetinaNet_ResNet50_FPN_V2_Weights,
    RetinaNet_ResNet50_FPN_Weights,
)

from cvzoo.models.deeplabv3plus import DeepLabV3PlusConfig
from cvzoo.models.fcn import FCNConfig
from cvzoo.models.gcnet import GCNetConfig
from cvzoo.models.mask_rcnn import MaskRCNNConfig
from cvzoo.models.pspnet import PSPNetConfig
from cvzoo.models.semantic.head import DILATED
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.recipes.row import DETECTRON2_ZOO, MMDETECTION, MMSEGMENTATION, TORCHVISION_ZOO
from cvzoo.weights import dialects
from cvzoo.weights.download import Remote, torchvision_file
from cvzoo.weights.systems import ModelConfig

TRIDENTNET_ZOO = "https://github.com/facebookresearch/detectron2/blob/main/projects/TridentNet/README.md"
DETECTRON2_STORE = "https://dl.fbaipublicfiles.com/detectron2"
MMDETECTION_STORE = "https://download.openmmlab.com/mmdetection/v2.0"
MMSEGMENTATION_STORE = "https://download.openmmlab.com/mmsegmentation/v0.5"
R101_D8 = replace(DILATED, depth=101)
TORCHVISION_MASK_ZOO = "https://docs.pytorch.org/vision/stable/models.html#instance-segmentation"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One file of published weights."""

    file: Remote
    config: ModelConfig
    """The model they belong to, conventions included."""
    results: dict[str, float]
    """Metric name to value in 0..1 on the validation set of the row's data, as the authors state it."""
    source: str
    """The page that states it."""


def _torchvision(weights: WeightsEnum, config: ModelConfig) -> Published:
    stated = weights.meta["_metrics"]["COCO-val2017"]
    names = {"box_map": "box_AP", "mask_map": "mask_AP"}
    results = {ours: stated[theirs] / 100 for theirs, ours in names.items() if theirs in stated}
    source = TORCHVISION_MASK_ZOO if "mask_AP" in results else TORCHVISION_ZOO
    return Published(file=torchvision_file(weights), config=config, results=results, source=source)


def _detectron2(path: str, config: ModelConfig, source: str = DETECTRON2_ZOO, **results: float) -> Published:
    # "any model on this page contains its md5 prefix in its file name" (MODEL_ZOO.md)
    md5 = path.removesuffix(".pkl").rpartition("_")[2]
    file = Remote(url=f"{DETECTRON2_STORE}/{path}", algorithm="md5", digest=md5)
    return Published(file=file, config=config, results=results, source=source)


def _mmdetection(path: str, config: ModelConfig, **results: float) -> Published:
    return _openmmlab(MMDETECTION_STORE, path, MMDETECTION, config, results)


def _mmsegmentation(path: str, config: ModelConfig, **results: float) -> Published:
    return _openmmlab(MMSEGMENTATION_STORE, path, MMSEGMENTATION, config, results)


def _openmmlab(store: str, path: str, configs: str, config: ModelConfig, results: dict[str, float]) -> Published:
    # their publish_model.py ends the name of a file with the first digits of its sha256
    folder, sha256 = path.split("/")[0], path.removesuffix(".pth").rpartition("-")[2]
    file = Remote(url=f"{store}/{path}", algorithm="sha256", digest=sha256)
    return Published(file=file, config=config, results=results, source=f"{configs}/{folder}")


def _with_context_blocks(config: MaskRCNNConfig, ratio: float) -> MaskRCNNConfig:
    assert isinstance(config.backbone, ResNetConfig)
    return replace(config, backbone=replace(config.backbone, context_ratio=ratio))


PUBLISHED: dict[str, dict[str, Published]] = {
    "retinanet_r50_fpn_1x": {
        "torchvision": _torchvision(RetinaNet_ResNet50_FPN_Weights.COCO_V1, dialects.retinanet_torchvision()),
        "torchvision_v2": _torchvision(RetinaNet_ResNet50_FPN_V2_Weights.COCO_V1, dialects.retinanet_torchvision_v2()),
        "detectron2": _detectron2(
            "COCO-Detection/retinanet_R_50_FPN_1x/190397773/model_final_bfca0b.pkl",
            dialects.retinanet_detectron2(),
            box_AP=0.374,
        ),
        "detectron2_3x": _detectron2(
            "COCO-Detection/retinanet_R_50_FPN_3x/190397829/model_final_5bd44e.pkl",
            dialects.retinanet_detectron2(),
            box_AP=0.387,
        ),
        "mmdetection": _mmdetection(
            "retinanet/retinanet_r50_fpn_1x_coco/retinanet_r50_fpn_1x_coco_20200130-c2398f9e.pth",
            dialects.retinanet_mmdetection(),
            box_AP=0.365,
        ),
    },
    "fcos_r50_fpn_1x": {
        "mmdetection": _mmdetection(
            "fcos/fcos_r50_caffe_fpn_gn-head_1x_coco/fcos_r50_caffe_fpn_gn-head_1x_coco-821213aa.pth",
            dialects.fcos_mmdetection(),
            box_AP=0.366,
        ),
    },
    "fcos_r50_fpn_improved_1x": {
        "torchvision": _torchvision(FCOS_ResNet50_FPN_Weights.COCO_V1, dialects.fcos_torchvision()),
        "mmdetection": _mmdetection(
            "fcos/fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_1x_coco"
            "/fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_1x_coco-0a0d75a8.pth",
            dialects.fcos_mmdetection_improved(),
            box_AP=0.387,
        ),
    },
    "fcos_r50_dcn_fpn_improved_1x": {
        "mmdetection": _mmdetection(
            "fcos/fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_dcn_1x_coco"
            "/fcos_center-normbbox-centeronreg-giou_r50_caffe_fpn_gn-head_dcn_1x_coco-ae4d8b3d.pth",
            dialects.fcos_mmdetection_deformed(),
            box_AP=0.423,
        ),
    },
    "freeanchor_r50_fpn_1x": {
        "mmdetection": _mmdetection(
            "free_anchor/retinanet_free_anchor_r50_fpn_1x_coco"
            "/retinanet_free_anchor_r50_fpn_1x_coco_20200130-0f67375f.pth",
            dialects.freeanchor_mmdetection(),
            box_AP=0.387,
        ),
    },
    "reppoints_r50_fpn_moment_1x": {
        "mmdetection": _mmdetection(
            "reppoints/reppoints_moment_r50_fpn_gn-neck%2Bhead_1x_coco"
            "/reppoints_moment_r50_fpn_gn-neck%2Bhead_1x_coco_20200329-4b38409a.pth",
            dialects.reppoints_mmdetection(),
            box_AP=0.381,
        ),
        "mmdetection_without_norm": _mmdetection(
            "reppoints/reppoints_moment_r50_fpn_1x_coco/reppoints_moment_r50_fpn_1x_coco_20200330-b73db8d1.pth",
            dialects.reppoints_mmdetection_without_norm(),
            box_AP=0.370,
        ),
    },
    "reppoints_r50_fpn_moment_2x": {
        "mmdetection": _mmdetection(
            "reppoints/reppoints_moment_r50_fpn_gn-neck%2Bhead_2x_coco"
            "/reppoints_moment_r50_fpn_gn-neck%2Bhead_2x_coco_20200329-91babaa2.pth",
            dialects.reppoints_mmdetection(),
            box_AP=0.386,
        ),
    },
    "reppoints_r101_dcn_fpn_moment_2x": {
        "mmdetection": _mmdetection(
            "reppoints/reppoints_moment_r101_fpn_dconv_c3-c5_gn-neck%2Bhead_2x_coco"
            "/reppoints_moment_r101_fpn_dconv_c3-c5_gn-neck%2Bhead_2x_coco_20200329-3309fbf2.pth",
            dialects.reppoints_mmdetection_deformed(),
            box_AP=0.429,
        ),
    },
    "atss_r50_fpn_1x": {
        "mmdetection": _mmdetection(
            "atss/atss_r50_fpn_1x_coco/atss_r50_fpn_1x_coco_20200209-985f7bd0.pth",
            dialects.atss_mmdetection(),
            box_AP=0.394,
        ),
    },
    "faster_rcnn_r50_c4_1x": {
        "detectron2": _detectron2(
            "COCO-Detection/faster_rcnn_R_50_C4_1x/137257644/model_final_721ade.pkl",
            dialects.faster_rcnn_c4_detectron2(),
            box_AP=0.357,
        ),
        "detectron2_3x": _detectron2(
            "COCO-Detection/faster_rcnn_R_50_C4_3x/137849393/model_final_f97cb7.pkl",
            dialects.faster_rcnn_c4_detectron2(),
            box_AP=0.384,
        ),
    },
    "faster_rcnn_r50_fpn_1x": {
        "torchvision": _torchvision(FasterRCNN_ResNet50_FPN_Weights.COCO_V1, dialects.faster_rcnn_torchvision()),
        "torchvision_v2": _torchvision(
            FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1, dialects.faster_rcnn_torchvision_v2()
        ),
        "detectron2": _detectron2(
            "COCO-Detection/faster_rcnn_R_50_FPN_1x/137257794/model_final_b275ba.pkl",
            dialects.faster_rcnn_detectron2(),
            box_AP=0.379,
        ),
        "detectron2_3x": _detectron2(
            "COCO-Detection/faster_rcnn_R_50_FPN_3x/137849458/model_final_280758.pkl",
            dialects.faster_rcnn_detectron2(),
            box_AP=0.402,
        ),
    },
    "tridentnet_r50_c4_1x": {
        "detectron2": _detectron2(
            "TridentNet/tridentnet_fast_R_50_C4_1x/148572687/model_final_756cda.pkl",
            dialects.tridentnet_detectron2(),
            source=TRIDENTNET_ZOO,
            box_AP=0.380,
        ),
        "detectron2_3x": _detectron2(
            "TridentNet/tridentnet_fast_R_50_C4_3x/148572287/model_final_e1027c.pkl",
            dialects.tridentnet_detectron2(),
            source=TRIDENTNET_ZOO,
            box_AP=0.406,
        ),
    },
    "mask_rcnn_r50_c4_1x": {
        "detectron2": _detectron2(
            "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x/137259246/model_final_9243eb.pkl",
            dialects.mask_rcnn_c4_detectron2(),
            box_AP=0.368,
            mask_AP=0.322,
        ),
        "detectron2_3x": _detectron2(
            "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_3x/137849525/model_final_4ce675.pkl",
            dialects.mask_rcnn_c4_detectron2(),
            box_AP=0.398,
            mask_AP=0.344,
        ),
    },
    "mask_rcnn_r50_fpn_1x": {
        "torchvision": _torchvision(MaskRCNN_ResNet50_FPN_Weights.COCO_V1, dialects.mask_rcnn_torchvision()),
        "torchvision_v2": _torchvision(MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1, dialects.mask_rcnn_torchvision_v2()),
        "detectron2": _detectron2(
            "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x/137260431/model_final_a54504.pkl",
            dialects.mask_rcnn_detectron2(),
            box_AP=0.386,
            mask_AP=0.352,
        ),
        "detectron2_3x": _detectron2(
            "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl",
            dialects.mask_rcnn_detectron2(),
            box_AP=0.410,
            mask_AP=0.372,
        ),
    },
    "mask_rcnn_r50_fpn_gcb_r16_1x": {
        "mmdetection": _mmdetection(
            "gcnet/mask_rcnn_r50_fpn_r16_gcb_c3-c5_1x_coco"
            "/mask_rcnn_r50_fpn_r16_gcb_c3-c5_1x_coco_20200515_211915-187da160.pth",
            _with_context_blocks(dialects.mask_rcnn_mmdetection(), ratio=1 / 16),
            box_AP=0.397,
            mask_AP=0.359,
        ),
    },
    "cascade_mask_rcnn_r50_fpn_1x": {
        "detectron2": _detectron2(
            "Misc/cascade_mask_rcnn_R_50_FPN_1x/138602847/model_final_e9d89b.pkl",
            dialects.cascade_mask_rcnn_detectron2(),
            box_AP=0.421,
            mask_AP=0.364,
        ),
        "detectron2_3x": _detectron2(
            "Misc/cascade_mask_rcnn_R_50_FPN_3x/144998488/model_final_480dd8.pkl",
            dialects.cascade_mask_rcnn_detectron2(),
            box_AP=0.443,
            mask_AP=0.385,
        ),
    },
    "fcn_r50_d8_cityscapes": {
        "mmsegmentation": _mmsegmentation(
            "fcn/fcn_r50-d8_512x1024_80k_cityscapes/fcn_r50-d8_512x1024_80k_cityscapes_20200606_113019-03aa804d.pth",
            FCNConfig(),
            mIoU=0.7361,
        ),
    },
    "pspnet_r50_d8_cityscapes": {
        "mmsegmentation": _mmsegmentation(
            "pspnet/pspnet_r50-d8_512x1024_80k_cityscapes"
            "/pspnet_r50-d8_512x1024_80k_cityscapes_20200606_112131-2376f12b.pth",
            PSPNetConfig(),
            mIoU=0.7855,
        ),
    },
    "pspnet_r101_d8_ade20k": {
        "mmsegmentation": _mmsegmentation(
            "pspnet/pspnet_r101-d8_512x512_160k_ade20k/pspnet_r101-d8_512x512_160k_ade20k_20200615_100650-967c316f.pth",
            PSPNetConfig(num_classes=150, backbone=R101_D8),
            mIoU=0.4439,
        ),
    },
    "deeplabv3plus_r50_d8_cityscapes": {
        "mmsegmentation": _mmsegmentation(
            "deeplabv3plus/deeplabv3plus_r50-d8_512x1024_80k_cityscapes"
            "/deeplabv3plus_r50-d8_512x1024_80k_cityscapes_20200606_114049-f9fb496d.pth",
            DeepLabV3PlusConfig(),
            mIoU=0.8009,
        ),
    },
    "deeplabv3plus_r101_d8_voc": {
        "mmsegmentation": _mmsegmentation(
            "deeplabv3plus/deeplabv3plus_r101-d8_512x512_40k_voc12aug"
            "/deeplabv3plus_r101-d8_512x512_40k_voc12aug_20200613_205333-faf03387.pth",
            DeepLabV3PlusConfig(num_classes=21, backbone=R101_D8),
            mIoU=0.7862,
        ),
    },
    "gcnet_r50_d8_cityscapes": {
        "mmsegmentation": _mmsegmentation(
            "gcnet/gcnet_r50-d8_512x1024_80k_cityscapes"
            "/gcnet_r50-d8_512x1024_80k_cityscapes_20200618_074450-ef8f069b.pth",
            GCNetConfig(),
            mIoU=0.7848,
        ),
    },
}
"""Row name to published name to weights."""
# detectron2 trained these on several scales, torchvision on one; the model is the same
PUBLISHED["faster_rcnn_r50_fpn_ms_1x"] = PUBLISHED["faster_rcnn_r50_fpn_1x"]
