"""Whose weights FCN loads.

Sources: mmsegmentation 1.2.2 `configs/_base_/models/fcn_r50-d8.py`; torchvision 0.29 `models/segmentation/fcn.py` and
its `references/segmentation/train.py`.
"""

from __future__ import annotations

from dataclasses import replace

from cvzoo.parts.semantic.fitted import fitted_segmenter
from cvzoo.parts.semantic.head import DILATED, AuxiliaryConfig
from cvzoo.parts.semantic.logits import PixelLossConfig
from cvzoo.weights.keys import segmenter
from cvzoo.weights.keys.rename import Rules, State, renamed
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.fcn.model import FCNConfig

MMSEGMENTATION = FCNConfig()
"""Our defaults."""
TORCHVISION = FCNConfig(
    num_classes=21,
    backbone=replace(DILATED, deep_stem=False),
    convs=1,
    concat=False,
    aux=AuxiliaryConfig(loss_weight=0.5),
    loss=PixelLossConfig(count_ignored=False),
)
"""`fcn_resnet50`: the 21 classes of PASCAL VOC."""
HEAD: Rules = (
    (r"^classifier\.0\.", "head.convs.0.conv."),
    (r"^classifier\.1\.", "head.convs.0.norm."),
    (r"^classifier\.4\.", "head.classifier.conv."),
)


def from_torchvision(state: State) -> State:
    return renamed(state, (*segmenter.TORCHVISION_AUXILIARY, *HEAD))


def in_file(convention: FCNConfig, state: State, row: FCNConfig) -> FCNConfig:
    convs = segmenter.members(state, "head.convs.")
    concat = "head.merge.conv.weight" in state
    return fitted_segmenter(convention, state, row, convs=convs, concat=concat)


def torchvision(state: State, row: FCNConfig) -> FCNConfig:
    return in_file(TORCHVISION, state, row)


def mmsegmentation(state: State, row: FCNConfig) -> FCNConfig:
    return in_file(MMSEGMENTATION, state, row)


WHAT = "FCN"
OTHER_HEADS = r"^decode_head\.(psp_modules|aspp_modules|gc_block)\."
SOURCES = (
    own(WHAT, Marker(has=(segmenter.OURS, r"^head\.convs\."))),
    Source(
        name="torchvision",
        what=WHAT,
        marker=Marker(has=(segmenter.TORCHVISION_BODY, r"^classifier\.1\.running_mean$")),
        translate=from_torchvision,
        config=torchvision,
    ),
    Source(
        name="mmsegmentation",
        what=WHAT,
        marker=Marker(has=(segmenter.MMSEGMENTATION_MARK, r"^decode_head\.convs\."), lacks=(OTHER_HEADS,)),
        translate=segmenter.from_mmsegmentation,
        config=mmsegmentation,
        types=("FCNHead",),
    ),
)
