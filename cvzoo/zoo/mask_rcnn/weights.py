"""Whose weights Mask R-CNN loads; how each toolbox sets the stages is in `parts/rcnn/conventions.py`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from cvzoo.nn.resnet import ResNetConfig
from cvzoo.parts.rcnn import conventions as stages
from cvzoo.parts.rcnn.c4 import C4_MASK_HEAD, C5_MASK_HEAD
from cvzoo.weights.conventions import fitted
from cvzoo.weights.keys import pyramid, rcnn
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.mask_rcnn.model import MaskRCNNConfig

TORCHVISION = MaskRCNNConfig(**stages.TORCHVISION, mask_head=stages.TORCHVISION_MASKS)
TORCHVISION_V2 = MaskRCNNConfig(**stages.TORCHVISION_V2, mask_head=replace(stages.TORCHVISION_MASKS, conv_norm="batch"))
DETECTRON2 = MaskRCNNConfig(**stages.DETECTRON2)
DETECTRON2_C4 = MaskRCNNConfig(**stages.DETECTRON2_C4, mask_head=C4_MASK_HEAD)
"""The mask head only upsamples what it shares with the box head."""
DETECTRON2_C5 = MaskRCNNConfig(**stages.DETECTRON2_C5, mask_head=C5_MASK_HEAD)
MMDETECTION = replace(
    MaskRCNNConfig(**stages.MMDETECTION, mask_head=stages.MMDETECTION_MASKS),
    box_head=replace(stages.MMDETECTION_REGIONS, best_match="truth"),
)
"""`mask-rcnn_r50_fpn_1x_coco`: proposals go to the objects that none overlaps more."""
MMDETECTION_C4 = MaskRCNNConfig(**stages.MMDETECTION_C4, mask_head=stages.MMDETECTION_C4_MASKS)


def has_context(row: MaskRCNNConfig) -> bool:
    """Whether the body has blocks of global context."""
    return isinstance(row.backbone, ResNetConfig) and row.backbone.context_ratio is not None


def on_pyramid(row: MaskRCNNConfig) -> bool:
    return stages.on_pyramid(row) and not has_context(row)


WHAT, ON_C4, ON_C5 = "Mask R-CNN", "Mask R-CNN on C4", "Mask R-CNN on a dilated C5"
OUR_CONTEXT, THEIR_CONTEXT = r"^backbone\..*\.context\.", r"^backbone\..*\.(context|gc)_block\."
"""Keys of context blocks: with them it is another system."""
OUR_HEADS = (stages.OUR_STAGES, stages.BOX_HEAD, stages.MASK_HEAD)
OUR_KEYS = (*OUR_HEADS, pyramid.OURS)
MMDETECTION_KEYS = (pyramid.MMDETECTION_MARK, stages.MMDETECTION_BOX_HEAD, stages.MMDETECTION_MASK_HEAD)
SOURCES = (
    own(WHAT, Marker(has=OUR_KEYS, lacks=(OUR_CONTEXT,)), on_pyramid),
    own(ON_C4, Marker(has=OUR_HEADS, lacks=(pyramid.OURS, stages.HIDDEN)), stages.on_c4),
    own(ON_C5, Marker(has=(*OUR_HEADS, stages.HIDDEN), lacks=(pyramid.OURS,)), stages.on_c5),
    Source(
        name="torchvision",
        what=WHAT,
        marker=Marker(has=(pyramid.TORCHVISION_MARK, stages.TORCHVISION_BOX_HEAD, stages.TORCHVISION_MASK_HEAD)),
        translate=rcnn.from_torchvision,
        config=partial(stages.torchvision, TORCHVISION, TORCHVISION_V2),
        fits=on_pyramid,
    ),
    Source(
        name="detectron2",
        what=WHAT,
        marker=Marker(has=(stages.DETECTRON2_BOX_HEAD, stages.DETECTRON2_MASK_HEAD, stages.DETECTRON2_PYRAMID)),
        translate=rcnn.from_detectron2,
        config=partial(stages.detectron2, DETECTRON2),
        fits=on_pyramid,
    ),
    Source(
        name="detectron2",
        what=ON_C4,
        marker=Marker(
            has=(stages.DETECTRON2_BOX_HEAD, stages.DETECTRON2_MASK_HEAD, stages.DETECTRON2_C4_STAGE),
            lacks=(stages.DETECTRON2_PYRAMID,),
        ),
        translate=rcnn.from_detectron2,
        config=partial(stages.detectron2, DETECTRON2_C4),
        fits=stages.on_c4,
    ),
    Source(
        name="detectron2",
        what=ON_C5,
        marker=Marker(has=(stages.DETECTRON2_BOX_HEAD, stages.DETECTRON2_MASK_HEAD, stages.DETECTRON2_C5_STAGE)),
        translate=rcnn.from_detectron2,
        config=partial(stages.detectron2, DETECTRON2_C5),
        fits=stages.on_c5,
    ),
    Source(
        name="mmdetection",
        what=WHAT,
        marker=Marker(has=MMDETECTION_KEYS, lacks=(THEIR_CONTEXT,)),
        translate=rcnn.from_mmdetection,
        config=partial(fitted, MMDETECTION),
        types=stages.MMDETECTION_TYPES,
        fits=on_pyramid,
    ),
    Source(
        name="mmdetection",
        what=ON_C4,
        marker=Marker(
            has=(stages.MMDETECTION_C4_STAGE, stages.MMDETECTION_BOX_HEAD, stages.MMDETECTION_MASK_HEAD),
            lacks=(stages.NECK,),
        ),
        translate=rcnn.from_mmdetection,
        config=partial(fitted, MMDETECTION_C4),
        types=stages.MMDETECTION_TYPES,
        fits=stages.on_c4,
    ),
)
