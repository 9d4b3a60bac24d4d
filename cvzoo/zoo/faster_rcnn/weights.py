"""Whose weights Faster R-CNN loads; how each toolbox sets the stages is in `parts/rcnn/conventions.py`."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.nn.resnet import ResNetConfig
from cvzoo.parts.rcnn import conventions as stages
from cvzoo.weights.conventions import fitted, on_resnext, torchvision_body
from cvzoo.weights.keys import rcnn
from cvzoo.weights.keys.rename import State
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.faster_rcnn.model import FasterRCNNConfig

TORCHVISION = {
    "v1": FasterRCNNConfig(**stages.TORCHVISION),
    "v2": FasterRCNNConfig(**stages.TORCHVISION_V2),
}
DETECTRON2 = FasterRCNNConfig(**stages.DETECTRON2)
DETECTRON2_C4 = FasterRCNNConfig(**stages.DETECTRON2_C4)
MMDETECTION = FasterRCNNConfig(**stages.MMDETECTION)


def torchvision(state: State, row: FasterRCNNConfig) -> FasterRCNNConfig:
    version = TORCHVISION[stages.torchvision_version(state)]
    assert isinstance(version.backbone, ResNetConfig)
    return fitted(replace(version, backbone=torchvision_body(state, version.backbone)), state, row)


def detectron2(state: State, row: FasterRCNNConfig) -> FasterRCNNConfig:
    return fitted(on_resnext(DETECTRON2 if row.fpn else DETECTRON2_C4, row), state, row)


def mmdetection(state: State, row: FasterRCNNConfig) -> FasterRCNNConfig:
    return fitted(MMDETECTION, state, row)


def on_pyramid(row: FasterRCNNConfig) -> bool:
    return row.fpn is not None


def on_c4(row: FasterRCNNConfig) -> bool:
    return row.fpn is None


WHAT, ON_C4 = "Faster R-CNN", "Faster R-CNN on C4"
SOURCES = (
    own(WHAT, Marker(has=(stages.OUR_STAGES, stages.BOX_HEAD, stages.PYRAMID), lacks=(stages.MASK_HEAD,)), on_pyramid),
    own(ON_C4, stages.OUR_C4, on_c4),
    Source(
        name="torchvision",
        what=WHAT,
        marker=Marker(
            has=(stages.TORCHVISION_PYRAMID, stages.TORCHVISION_BOX_HEAD), lacks=(stages.TORCHVISION_MASK_HEAD,)
        ),
        translate=rcnn.from_torchvision,
        config=torchvision,
        fits=on_pyramid,
    ),
    Source(
        name="detectron2",
        what=WHAT,
        marker=Marker(
            has=(stages.DETECTRON2_STAGES, stages.DETECTRON2_BOX_HEAD, stages.DETECTRON2_PYRAMID),
            lacks=(stages.DETECTRON2_MASK_HEAD,),
        ),
        translate=rcnn.from_detectron2,
        config=detectron2,
        fits=on_pyramid,
    ),
    Source(
        name="detectron2",
        what=ON_C4,
        marker=stages.DETECTRON2_ON_C4,
        translate=rcnn.from_detectron2,
        config=detectron2,
        fits=on_c4,
    ),
    Source(
        name="mmdetection",
        what=WHAT,
        marker=Marker(
            has=(stages.MMDETECTION_PYRAMID, stages.MMDETECTION_BOX_HEAD), lacks=(stages.MMDETECTION_MASK_HEAD,)
        ),
        translate=rcnn.from_mmdetection,
        config=mmdetection,
        fits=on_pyramid,
    ),
)
