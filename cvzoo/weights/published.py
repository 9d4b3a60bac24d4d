"""Weights others have published for our rows, by row and name, with what their authors measured."""

from __future__ import annotations

from dataclasses import dataclass

from torchvision.models import WeightsEnum
from torchvision.models.detection import (
    FasterRCNN_ResNet50_FPN_V2_Weights,
    FasterRCNN_ResNet50_FPN_Weights,
    RetinaNet_ResNet50_FPN_V2_Weights,
    RetinaNet_ResNet50_FPN_Weights,
)

from cvzoo.models.faster_rcnn import FasterRCNNConfig
from cvzoo.models.retinanet import RetinaNetConfig
from cvzoo.weights import dialects
from cvzoo.weights.download import Remote, torchvision_file

DETECTRON2_ZOO = "https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md"
DETECTRON2_STORE = "https://dl.fbaipublicfiles.com/detectron2/COCO-Detection"
TORCHVISION_ZOO = "https://docs.pytorch.org/vision/stable/models.html#object-detection"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One file of published weights."""

    file: Remote
    config: RetinaNetConfig | FasterRCNNConfig
    """The model they belong to, conventions included."""
    results: dict[str, float]
    """Metric name to value in 0..1 on COCO val2017, as the authors state it."""
    source: str
    """The page that states it."""


def _torchvision(weights: WeightsEnum, config: RetinaNetConfig | FasterRCNNConfig) -> Published:
    box_map = weights.meta["_metrics"]["COCO-val2017"]["box_map"]
    return Published(
        file=torchvision_file(weights), config=config, results={"box_AP": box_map / 100}, source=TORCHVISION_ZOO
    )


def _detectron2(name: str, path: str, box_ap: float, config: RetinaNetConfig | FasterRCNNConfig) -> Published:
    # "any model on this page contains its md5 prefix in its file name" (MODEL_ZOO.md)
    md5 = path.removesuffix(".pkl").rpartition("_")[2]
    file = Remote(url=f"{DETECTRON2_STORE}/{name}/{path}", algorithm="md5", digest=md5)
    return Published(file=file, config=config, results={"box_AP": box_ap}, source=DETECTRON2_ZOO)


PUBLISHED: dict[str, dict[str, Published]] = {
    "retinanet_r50_fpn_1x": {
        "torchvision": _torchvision(RetinaNet_ResNet50_FPN_Weights.COCO_V1, dialects.retinanet_torchvision()),
        "torchvision_v2": _torchvision(RetinaNet_ResNet50_FPN_V2_Weights.COCO_V1, dialects.retinanet_torchvision_v2()),
        "detectron2": _detectron2(
            "retinanet_R_50_FPN_1x", "190397773/model_final_bfca0b.pkl", 0.374, dialects.retinanet_detectron2()
        ),
        "detectron2_3x": _detectron2(
            "retinanet_R_50_FPN_3x", "190397829/model_final_5bd44e.pkl", 0.387, dialects.retinanet_detectron2()
        ),
    },
    "faster_rcnn_r50_fpn_1x": {
        "torchvision": _torchvision(FasterRCNN_ResNet50_FPN_Weights.COCO_V1, dialects.faster_rcnn_torchvision()),
        "torchvision_v2": _torchvision(
            FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1, dialects.faster_rcnn_torchvision_v2()
        ),
        "detectron2": _detectron2(
            "faster_rcnn_R_50_FPN_1x", "137257794/model_final_b275ba.pkl", 0.379, dialects.faster_rcnn_detectron2()
        ),
        "detectron2_3x": _detectron2(
            "faster_rcnn_R_50_FPN_3x", "137849458/model_final_280758.pkl", 0.402, dialects.faster_rcnn_detectron2()
        ),
    },
}
"""Row name to published name to weights."""
