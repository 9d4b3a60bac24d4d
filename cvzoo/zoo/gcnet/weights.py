"""Whose weights GCNet loads: the segmentation network's, and those of a Mask R-CNN with its blocks in the body.

Sources: mmsegmentation 1.2.2 `configs/_base_/models/gcnet_r50-d8.py`; mmdetection 3 `configs/gcnet`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from cvzoo.parts.rcnn import conventions as stages
from cvzoo.parts.semantic.fitted import fitted_segmenter
from cvzoo.weights.conventions import fitted
from cvzoo.weights.keys import body, rcnn, segmenter
from cvzoo.weights.keys.rename import Rules, State
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.gcnet.model import GCNetConfig
from cvzoo.zoo.mask_rcnn import weights as mask_rcnn
from cvzoo.zoo.mask_rcnn.model import MaskRCNNConfig

MMSEGMENTATION = GCNetConfig()
"""Our defaults."""
HEAD: Rules = (
    *body.CONTEXT_BLOCKS,
    (r"^head\.convs\.0\.", "head.before."),
    (r"^head\.convs\.1\.", "head.after."),
)


def from_mmsegmentation(state: State) -> State:
    return segmenter.from_mmsegmentation(state, HEAD)


def mmsegmentation(state: State, row: GCNetConfig) -> GCNetConfig:
    channels = len(state["head.classifier.conv.weight"][0])
    return fitted_segmenter(MMSEGMENTATION, state, row, ratio=len(state["head.context.transform.0.weight"]) / channels)


def segments(row: Any) -> bool:
    return isinstance(row, GCNetConfig)


def detects(row: Any) -> bool:
    return isinstance(row, MaskRCNNConfig) and mask_rcnn.has_context(row)


WHAT, WITH_MASKS = "GCNet", "Mask R-CNN with context blocks"
SOURCES = (
    own(WHAT, Marker(has=(segmenter.OURS, r"^head\.context\.")), segments),
    own(WITH_MASKS, Marker(has=(*mask_rcnn.OUR_KEYS, mask_rcnn.OUR_CONTEXT)), detects),
    Source(
        name="mmsegmentation",
        what=WHAT,
        marker=Marker(has=(r"^decode_head\.gc_block\.",)),
        translate=from_mmsegmentation,
        config=mmsegmentation,
        types=("GCHead",),
        fits=segments,
    ),
    Source(
        name="mmdetection",
        what=WITH_MASKS,
        marker=Marker(has=(*mask_rcnn.MMDETECTION_KEYS, mask_rcnn.THEIR_CONTEXT)),
        translate=rcnn.from_mmdetection,
        config=partial(fitted, mask_rcnn.MMDETECTION),
        types=stages.MMDETECTION_TYPES,
        fits=detects,
    ),
)
