"""One line of the zoo table. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cvzoo.recipes.recipe import Recipe

Task = Literal["detection", "instance", "segmentation", "pose"]


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


DETECTRON2_ZOO = "https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md"
TORCHVISION_ZOO = "https://docs.pytorch.org/vision/stable/models.html#object-detection"
TRIDENTNET_PROJECT = "https://github.com/facebookresearch/detectron2/tree/main/projects/TridentNet"
MMDETECTION = "https://github.com/open-mmlab/mmdetection/tree/main/configs"
MMSEGMENTATION = "https://github.com/open-mmlab/mmsegmentation/tree/main/configs"
CVPODS = "https://github.com/Megvii-BaseDetection/cvpods/tree/master/playground"
