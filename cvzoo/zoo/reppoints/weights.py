"""Whose weights RepPoints loads: mmdetection 3 `configs/reppoints`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast

from cvzoo.weights.conventions import MMDETECTION_BODY, fitted
from cvzoo.weights.keys import dense, pyramid
from cvzoo.weights.keys.rename import Rules, State
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.reppoints.model import PointsToBox, RepPointsConfig

MMDETECTION = RepPointsConfig(backbone=MMDETECTION_BODY)
"""`reppoints-moment_r50_fpn-gn_head-gn_{1x,2x}_coco`: our defaults."""
WITHOUT_NORM = replace(MMDETECTION, fpn=replace(MMDETECTION.fpn, norm=None, extra_norm=None), tower_norm=None)
"""`reppoints-moment_r50_fpn_1x_coco`."""
GRID = replace(MMDETECTION, points_to_box="grid")
"""`reppoints-bbox_r50_fpn-gn_head-gn-grid_1x_coco`."""
FILE_NAMES = r"\breppoints[-_](partial[-_]minmax|minmax|moment)"
"""How their files are named."""
HEAD: Rules = (
    (r"^bbox_head\.reppoints_pts_init_(conv|out)\.", r"head.first_\1."),
    (r"^bbox_head\.reppoints_pts_refine_out\.", "head.refine_out."),
    (r"^bbox_head\.reppoints_pts_refine_conv\.weight$", "head.refine_kernel"),
    (r"^bbox_head\.reppoints_cls_out\.", "head.cls_out."),
    (r"^bbox_head\.reppoints_cls_conv\.weight$", "head.cls_kernel"),
    (r"^bbox_head\.moment_transfer$", "head.transfer"),
)


def from_mmdetection(state: State) -> State:
    return dense.from_mmdetection(state, *HEAD)


def mmdetection(state: State, row: RepPointsConfig) -> RepPointsConfig:
    """Without norms the towers' convolutions have a bias; a box has four outputs."""
    if len(state.get("head.refine_out.bias", ())) == 4:
        return fitted(GRID, state, row, ("tower_convs",))
    version = WITHOUT_NORM if "head.cls_tower.0.conv.bias" in state else MMDETECTION
    return fitted(version, state, row, ("tower_convs", "points_to_box"))


def points_to_box(config: RepPointsConfig, record: str) -> RepPointsConfig:
    """Whether boxes are around all points or some, no key tells: the text of the file's config does, else its name."""
    told = re.search(r"\btransform_method=['\"](\w+)", record) or re.search(FILE_NAMES, record)
    if told is None or config.points_to_box == "grid":
        return config
    return replace(config, points_to_box=cast(PointsToBox, told[1].replace("-", "_")))


def has_moments(row: RepPointsConfig) -> bool:
    return row.points_to_box == "moment"


def has_no_moments(row: RepPointsConfig) -> bool:
    return row.points_to_box != "moment"


WHAT, WITH_MOMENTS = "RepPoints", "RepPoints with moments"
OUR_HEAD, THEIR_HEAD = r"^head\.refine_kernel$", r"^bbox_head\.reppoints_cls_conv\."
OUR_MOMENTS, THEIR_MOMENTS = r"^head\.transfer$", r"^bbox_head\.moment_transfer$"
SOURCES = (
    own(WHAT, Marker(has=(pyramid.OURS, OUR_HEAD), lacks=(OUR_MOMENTS,)), has_no_moments),
    own(WITH_MOMENTS, Marker(has=(pyramid.OURS, OUR_HEAD, OUR_MOMENTS)), has_moments),
    Source(
        name="mmdetection",
        what=WHAT,
        marker=Marker(has=(pyramid.MMDETECTION_MARK, THEIR_HEAD), lacks=(THEIR_MOMENTS,)),
        translate=from_mmdetection,
        config=mmdetection,
        told=points_to_box,
        types=("RepPointsHead",),
        fits=has_no_moments,
    ),
    Source(
        name="mmdetection",
        what=WITH_MOMENTS,
        marker=Marker(has=(pyramid.MMDETECTION_MARK, THEIR_HEAD, THEIR_MOMENTS)),
        translate=from_mmdetection,
        config=mmdetection,
        told=points_to_box,
        types=("RepPointsHead",),
        fits=has_moments,
    ),
)
