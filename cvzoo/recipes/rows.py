"""The zoo: every row by name, with what the table says about it. Imports no torch, so `cvzoo list` starts at once."""

from __future__ import annotations

from cvzoo.recipes import detection, instance
from cvzoo.recipes.row import CVPODS, DETECTRON2_ZOO, MMDETECTION, TORCHVISION_ZOO, TRIDENTNET_PROJECT, Reference, Row
from cvzoo.recipes.rows_dense import DENSE_ROWS
from cvzoo.recipes.rows_semantic import SEMANTIC_ROWS


def _table(*rows: Row) -> dict[str, Row]:
    table = {row.name: row for row in rows}
    assert len(table) == len(rows), "two rows share a name"
    return table


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
    *DENSE_ROWS,
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
    Row(
        recipe=instance.mask_rcnn_r50_fpn_gcb_r16_1x,
        task="instance",
        system="GCNet, Mask R-CNN",
        paper="1904.11492",
        backbone="R-50-FPN, GC blocks 1/16",
        lr_schd="1x",
        references=(
            Reference(name="mmdetection", results={"box_AP": 0.397, "mask_AP": 0.359}, source=f"{MMDETECTION}/gcnet"),
            Reference(
                name="authors", results={"box_AP": 0.385, "mask_AP": 0.351}, source="https://github.com/xvjiarui/GCNet"
            ),
        ),
        parity=("mmdetection",),
    ),
    Row(
        recipe=instance.mask_rcnn_r50_fpn_gcb_shapes,
        task="instance",
        system="GCNet, Mask R-CNN",
        paper="1904.11492",
        backbone="R-50-FPN, 1/4 width, GC blocks 1/4",
        lr_schd="500 it",
    ),
    *SEMANTIC_ROWS,
)
"""Every row of the zoo in the order of the table."""
