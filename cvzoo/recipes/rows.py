"""The zoo: every row by name, with what the table says about it. Imports no torch, so `cvzoo list` starts at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cvzoo.recipes import detection
from cvzoo.recipes.recipe import Recipe

Task = Literal["detection", "segmentation", "pose"]


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A figure somebody else published for the same system. It never mixes with ours."""

    name: str
    """Who: `detectron2`, `torchvision` ..."""
    results: dict[str, float]
    """Metric name (`box_AP` ...) to value in 0..1."""
    source: str
    """Address of the page that states it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the zoo table; the recipe's function name is the row's name."""

    recipe: Callable[[], Recipe]
    task: Task = "detection"
    system: str
    """The published method, heading of its table."""
    paper: str
    """arXiv number."""
    backbone: str
    style: str = "pytorch"
    """`pytorch` (RGB, stride in the 3x3 convolution) or `caffe` (BGR, stride in the 1x1)."""
    lr_schd: str
    """Schedule as the field names it: 1x is 90 000 iterations of 16 images."""
    references: tuple[Reference, ...] = ()
    parity: tuple[str, ...] = ()
    """References whose weights give equal outputs here, proven by a test."""

    @property
    def name(self) -> str:
        return self.recipe.__name__


def _table(*rows: Row) -> dict[str, Row]:
    table = {row.name: row for row in rows}
    assert len(table) == len(rows), "two rows share a name"
    return table


DETECTRON2_ZOO = "https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md"
TORCHVISION_ZOO = "https://docs.pytorch.org/vision/stable/models.html#object-detection"
MMDETECTION_RETINANET = "https://github.com/open-mmlab/mmdetection/tree/main/configs/retinanet"

ROWS = _table(
    Row(
        recipe=detection.faster_rcnn_r50_fpn_1x,
        system="Faster R-CNN",
        paper="1506.01497",
        backbone="R-50-FPN",
        lr_schd="1x",
        references=(
            Reference(name="detectron2", results={"box_AP": 0.379}, source=DETECTRON2_ZOO),
            Reference(name="torchvision", results={"box_AP": 0.370}, source=TORCHVISION_ZOO),
        ),
        parity=("detectron2", "torchvision"),
    ),
    Row(
        recipe=detection.faster_rcnn_r18_fpn_shapes,
        system="Faster R-CNN",
        paper="1506.01497",
        backbone="R-18-FPN",
        lr_schd="500 it",
    ),
    Row(
        recipe=detection.retinanet_r50_fpn_1x,
        system="RetinaNet",
        paper="1708.02002",
        backbone="R-50-FPN",
        lr_schd="1x",
        references=(
            Reference(name="detectron2", results={"box_AP": 0.374}, source=DETECTRON2_ZOO),
            Reference(name="torchvision", results={"box_AP": 0.364}, source=TORCHVISION_ZOO),
            Reference(name="mmdetection", results={"box_AP": 0.365}, source=MMDETECTION_RETINANET),
        ),
        parity=("detectron2", "torchvision", "mmdetection"),
    ),
    Row(
        recipe=detection.retinanet_lite0_fpn_320_mini,
        system="RetinaNet",
        paper="1708.02002",
        backbone="EfficientNet-Lite0-FPN",
        lr_schd="mini",
    ),
    Row(
        recipe=detection.retinanet_r18_fpn_shapes,
        system="RetinaNet",
        paper="1708.02002",
        backbone="R-18-FPN",
        lr_schd="500 it",
    ),
)
"""Every row of the zoo in the order of the table."""
