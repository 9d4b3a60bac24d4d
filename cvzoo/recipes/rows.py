"""The zoo: every row by name, with what the table says about it. Imports no torch, so `cvzoo list` starts at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cvzoo.recipes import detection, instance
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


def _table(*rows: Row) -> dict[str, Row]:
    table = {row.name: row for row in rows}
    assert len(table) == len(rows), "two rows share a name"
    return table


DETECTRON2_ZOO = "https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md"
TORCHVISION_ZOO = "https://docs.pytorch.org/vision/stable/models.html#object-detection"
TRIDENTNET_PROJECT = "https://github.com/facebookresearch/detectron2/tree/main/projects/TridentNet"
MMDETECTION = "https://github.com/open-mmlab/mmdetection/tree/main/configs"
CVPODS = "https://github.com/Megvii-BaseDetection/cvpods/tree/master/playground"

ROWS = _table(
    Row(
        recipe=detection.faster_rcnn_r50_c4_1x,
        system="Faster R-CNN",
        paper="1506.01497",
        backbone="R-50-C4",
        lr_schd="1x",
        references=(Reference(name="detectron2", results={"box_AP": 0.357}, source=DETECTRON2_ZOO),),
        parity=("detectron2",),
    ),
    Row(
        recipe=detection.faster_rcnn_r50_fpn_1x,
        system="Faster R-CNN",
        paper="1506.01497",
        backbone="R-50-FPN",
        lr_schd="1x",
        references=(Reference(name="torchvision", results={"box_AP": 0.370}, source=TORCHVISION_ZOO),),
        parity=("detectron2", "torchvision"),
    ),
    Row(
        recipe=detection.faster_rcnn_r50_fpn_ms_1x,
        system="Faster R-CNN",
        paper="1506.01497",
        backbone="R-50-FPN",
        lr_schd="1x, 640-800",
        references=(
            Reference(name="detectron2", results={"box_AP": 0.379}, source=DETECTRON2_ZOO),
            Reference(
                name="cvpods",
                results={"box_AP": 0.381},
                source=f"{CVPODS}/detection/coco/rcnn/faster_rcnn.res50.fpn.coco.multiscale.1x",
            ),
        ),
        parity=("detectron2", "torchvision"),
    ),
    Row(
        recipe=detection.faster_rcnn_lite0_fpn_320_mini,
        system="Faster R-CNN",
        paper="1506.01497",
        backbone="EfficientNet-Lite0-FPN",
        lr_schd="mini",
    ),
    Row(
        recipe=detection.faster_rcnn_r50_c4_320_mini,
        system="Faster R-CNN",
        paper="1506.01497",
        backbone="R-50-C4, 1/4 width",
        lr_schd="mini",
    ),
    Row(
        recipe=detection.faster_rcnn_r18_fpn_shapes,
        system="Faster R-CNN",
        paper="1506.01497",
        backbone="R-18-FPN",
        lr_schd="500 it",
    ),
    Row(
        recipe=detection.faster_rcnn_r50_c4_shapes,
        system="Faster R-CNN",
        paper="1506.01497",
        backbone="R-50-C4, 1/4 width",
        lr_schd="500 it",
    ),
    Row(
        recipe=detection.cascade_rcnn_r50_fpn_1x,
        system="Cascade R-CNN",
        paper="1712.00726",
        backbone="R-50-FPN",
        lr_schd="1x",
        references=(Reference(name="mmdetection", results={"box_AP": 0.403}, source=f"{MMDETECTION}/cascade_rcnn"),),
        parity=("detectron2", "mmdetection"),
    ),
    Row(
        recipe=detection.tridentnet_r50_c4_1x,
        system="TridentNet",
        paper="1901.01892",
        backbone="R-50-C4",
        lr_schd="1x",
        references=(
            Reference(
                name="cvpods",
                results={"box_AP": 0.377},
                source=f"{CVPODS}/detection/coco/tridentnet/tridentnet.res50.C4.coco.800size.1x",
            ),
            Reference(name="detectron2, 640-800", results={"box_AP": 0.380}, source=TRIDENTNET_PROJECT),
        ),
        parity=("detectron2",),
    ),
    Row(
        recipe=detection.tridentnet_r50_c4_320_mini,
        system="TridentNet",
        paper="1901.01892",
        backbone="R-50-C4, 1/4 width",
        lr_schd="mini",
    ),
    Row(
        recipe=detection.tridentnet_r50_c4_shapes,
        system="TridentNet",
        paper="1901.01892",
        backbone="R-50-C4, 1/4 width",
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
            Reference(name="mmdetection", results={"box_AP": 0.365}, source=f"{MMDETECTION}/retinanet"),
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
        lr_schd="600 it",
    ),
    Row(
        recipe=instance.mask_rcnn_r50_fpn_1x,
        task="instance",
        system="Mask R-CNN",
        paper="1703.06870",
        backbone="R-50-FPN",
        lr_schd="1x",
        references=(
            Reference(name="torchvision", results={"box_AP": 0.379, "mask_AP": 0.346}, source=TORCHVISION_ZOO),
            Reference(name="detectron2, 640-800", results={"box_AP": 0.386, "mask_AP": 0.352}, source=DETECTRON2_ZOO),
            Reference(
                name="cvpods, 640-800",
                results={"box_AP": 0.385, "mask_AP": 0.352},
                source=f"{CVPODS}/segmentation/coco/rcnn/mask_rcnn.res50.fpn.coco.multiscale.1x",
            ),
        ),
        parity=("detectron2", "torchvision"),
    ),
    Row(
        recipe=instance.mask_rcnn_r50_c4_1x,
        task="instance",
        system="Mask R-CNN",
        paper="1703.06870",
        backbone="R-50-C4",
        lr_schd="1x",
        references=(
            Reference(name="detectron2, 640-800", results={"box_AP": 0.368, "mask_AP": 0.322}, source=DETECTRON2_ZOO),
        ),
    ),
    Row(
        recipe=instance.mask_rcnn_lite0_fpn_320_mini,
        task="instance",
        system="Mask R-CNN",
        paper="1703.06870",
        backbone="EfficientNet-Lite0-FPN",
        lr_schd="mini",
    ),
    Row(
        recipe=instance.mask_rcnn_r18_fpn_shapes,
        task="instance",
        system="Mask R-CNN",
        paper="1703.06870",
        backbone="R-18-FPN",
        lr_schd="500 it",
    ),
    Row(
        recipe=instance.cascade_mask_rcnn_r50_fpn_1x,
        task="instance",
        system="Cascade Mask R-CNN",
        paper="1712.00726",
        backbone="R-50-FPN",
        lr_schd="1x",
        references=(
            Reference(
                name="cvpods",
                results={"box_AP": 0.417, "mask_AP": 0.361},
                source=f"{CVPODS}/segmentation/coco/rcnn/cascade_rcnn.res50.fpn.coco.800size.1x",
            ),
            Reference(name="detectron2, 640-800", results={"box_AP": 0.421, "mask_AP": 0.364}, source=DETECTRON2_ZOO),
        ),
        parity=("detectron2", "mmdetection"),
    ),
    Row(
        recipe=instance.cascade_mask_rcnn_lite0_fpn_320_mini,
        task="instance",
        system="Cascade Mask R-CNN",
        paper="1712.00726",
        backbone="EfficientNet-Lite0-FPN",
        lr_schd="mini",
    ),
    Row(
        recipe=instance.cascade_mask_rcnn_r18_fpn_shapes,
        task="instance",
        system="Cascade Mask R-CNN",
        paper="1712.00726",
        backbone="R-18-FPN",
        lr_schd="500 it",
    ),
)
"""Every row of the zoo in the order of the table."""
