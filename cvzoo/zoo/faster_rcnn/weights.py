"""Whose weights Faster R-CNN loads; how each toolbox sets the stages is in `parts/rcnn/conventions.py`."""

from __future__ import annotations

from functools import partial

from cvzoo.parts.rcnn import conventions as stages
from cvzoo.weights.conventions import fitted
from cvzoo.weights.keys import pyramid, rcnn
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.faster_rcnn.model import FasterRCNNConfig

TORCHVISION = FasterRCNNConfig(**stages.TORCHVISION)
TORCHVISION_V2 = FasterRCNNConfig(**stages.TORCHVISION_V2)
DETECTRON2 = FasterRCNNConfig(**stages.DETECTRON2)
DETECTRON2_C4 = FasterRCNNConfig(**stages.DETECTRON2_C4)
DETECTRON2_C5 = FasterRCNNConfig(**stages.DETECTRON2_C5)
MMDETECTION = FasterRCNNConfig(**stages.MMDETECTION)
MMDETECTION_C4 = FasterRCNNConfig(**stages.MMDETECTION_C4)
MMDETECTION_C5 = FasterRCNNConfig(**stages.MMDETECTION_C5)


WHAT, ON_C4, ON_C5 = "Faster R-CNN", "Faster R-CNN on C4", "Faster R-CNN on a dilated C5"
SOURCES = (
    own(
        WHAT,
        Marker(has=(stages.OUR_STAGES, stages.BOX_HEAD, pyramid.OURS), lacks=(stages.MASK_HEAD, stages.SURFACE_HEAD)),
        stages.on_pyramid,
    ),
    own(ON_C4, stages.OUR_C4, stages.on_c4),
    own(
        ON_C5,
        Marker(has=(stages.OUR_STAGES, stages.HIDDEN), lacks=(pyramid.OURS, stages.MASK_HEAD, stages.SURFACE_HEAD)),
        stages.on_c5,
    ),
    Source(
        name="torchvision",
        what=WHAT,
        marker=Marker(
            has=(pyramid.TORCHVISION_MARK, stages.TORCHVISION_BOX_HEAD), lacks=(stages.TORCHVISION_MASK_HEAD,)
        ),
        translate=rcnn.from_torchvision,
        config=partial(stages.torchvision, TORCHVISION, TORCHVISION_V2),
        fits=stages.on_pyramid,
    ),
    Source(
        name="detectron2",
        what=WHAT,
        marker=Marker(
            has=(stages.DETECTRON2_STAGES, stages.DETECTRON2_BOX_HEAD, stages.DETECTRON2_PYRAMID),
            lacks=(stages.DETECTRON2_OTHER_HEADS,),
        ),
        translate=rcnn.from_detectron2,
        config=partial(stages.detectron2, DETECTRON2),
        fits=stages.on_pyramid,
    ),
    Source(
        name="detectron2",
        what=ON_C4,
        marker=stages.DETECTRON2_ON_C4,
        translate=rcnn.from_detectron2,
        config=partial(stages.detectron2, DETECTRON2_C4),
        types=("Res5ROIHeads",),
        fits=stages.on_c4,
    ),
    Source(
        name="detectron2",
        what=ON_C5,
        marker=Marker(
            has=(stages.DETECTRON2_STAGES, stages.DETECTRON2_BOX_HEAD, stages.DETECTRON2_C5_STAGE),
            lacks=(stages.DETECTRON2_OTHER_HEADS,),
        ),
        translate=rcnn.from_detectron2,
        config=partial(stages.detectron2, DETECTRON2_C5),
        fits=stages.on_c5,
    ),
    Source(
        name="mmdetection",
        what=WHAT,
        marker=Marker(
            has=(pyramid.MMDETECTION_MARK, stages.MMDETECTION_BOX_HEAD), lacks=(stages.MMDETECTION_MASK_HEAD,)
        ),
        translate=rcnn.from_mmdetection,
        config=partial(fitted, MMDETECTION),
        types=stages.MMDETECTION_TYPES,
        fits=stages.on_pyramid,
    ),
    Source(
        name="mmdetection",
        what=ON_C4,
        marker=stages.MMDETECTION_ON_C4,
        translate=rcnn.from_mmdetection,
        config=partial(fitted, MMDETECTION_C4),
        types=stages.MMDETECTION_TYPES,
        fits=stages.on_c4,
    ),
    Source(
        name="mmdetection",
        what=ON_C5,
        marker=Marker(
            has=(stages.MMDETECTION_C5_STAGE, stages.MMDETECTION_BOX_HEAD),
            lacks=(stages.NECK, stages.MMDETECTION_MASK_HEAD),
        ),
        translate=rcnn.from_mmdetection,
        config=partial(fitted, MMDETECTION_C5),
        types=stages.MMDETECTION_TYPES,
        fits=stages.on_c5,
    ),
)
ADOPT = stages.adopted_on_c4
"""Weights of another detector on C4 are this one's, too."""
