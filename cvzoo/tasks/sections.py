"""The sections of the zoo's table, and what their rows are judged by. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Section:
    """Rows that are judged by the same figures."""

    title: str
    metrics: tuple[str, ...]
    """Columns of the table; lists are sorted by the first."""
    summary: tuple[str, ...]
    """What one line about a run shows, where it was measured."""


BOXES = ("box_AP", "box_AP50", "box_AP75")
SECTIONS = {
    "detection": Section(title="Detection", metrics=("box_AP",), summary=BOXES),
    "instance": Section(title="Instance segmentation", metrics=("box_AP", "mask_AP"), summary=(*BOXES, "mask_AP")),
    "segmentation": Section(title="Semantic segmentation", metrics=("mIoU",), summary=("mIoU", "mAcc", "aAcc")),
    "pose": Section(title="Pose estimation", metrics=("box_AP", "gps_AP"), summary=(*BOXES, "gps_AP", "gpsm_AP")),
}
SUMMARY = tuple(dict.fromkeys(name for section in SECTIONS.values() for name in section.summary))
"""All figures that a line about a run may show, in this order."""


def metric_title(metric: str) -> str:
    """The metric as headings have it."""
    return metric.replace("_", " ")
