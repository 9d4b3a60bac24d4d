"""The rows of recipes/dense.py. Imports no torch."""

from __future__ import annotations

from cvzoo.recipes import dense
from cvzoo.recipes.row import CVPODS, DETECTRON2_ZOO, MMDETECTION, TORCHVISION_ZOO, Reference, Row

FCOS_PROJECT = "https://github.com/tianzhi0549/FCOS"
FREEANCHOR_PROJECT = "https://github.com/zhangxiaosong18/FreeAnchor"
REPPOINTS_PROJECT = "https://github.com/microsoft/RepPoints"
ATSS_PROJECT = "https://github.com/sfzhang15/ATSS"

DENSE_ROWS = (
    Row(
        recipe=dense.retinanet_r50_fpn_1x,
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
        recipe=dense.retinanet_lite0_fpn_320_mini,
        system="RetinaNet",
        paper="1708.02002",
        backbone="EfficientNet-Lite0-FPN",
        lr_schd="mini",
    ),
    Row(
        recipe=dense.retinanet_r18_fpn_shapes,
        system="RetinaNet",
        paper="1708.02002",
        backbone="R-18-FPN",
        lr_schd="600 it",
    ),
    Row(
        recipe=dense.fcos_r50_fpn_1x,
        system="FCOS",
        paper="1904.01355",
        backbone="R-50-FPN",
        lr_schd="1x",
        references=(
            Reference(name="authors", results={"box_AP": 0.371}, source=FCOS_PROJECT),
            Reference(name="mmdetection", results={"box_AP": 0.366}, source=f"{MMDETECTION}/fcos"),
        ),
        parity=("mmdetection",),
    ),
    Row(
        recipe=dense.fcos_r50_fpn_improved_1x,
        system="FCOS",
        paper="2006.09214",
        backbone="R-50-FPN",
        lr_schd="1x",
        references=(
            Reference(name="authors", results={"box_AP": 0.387}, source=FCOS_PROJECT),
            Reference(name="mmdetection", results={"box_AP": 0.387}, source=f"{MMDETECTION}/fcos"),
            Reference(
                name="cvpods",
                results={"box_AP": 0.388},
                source=f"{CVPODS}/detection/coco/fcos/fcos.res50.fpn.coco.800size.1x",
            ),
            Reference(name="torchvision, 640-800, 26 epochs", results={"box_AP": 0.392}, source=TORCHVISION_ZOO),
        ),
        parity=(
            "detectron2",
            "torchvision",
            "mmdetection",
        ),
    ),
    Row(
        recipe=dense.fcos_r50_dcn_fpn_improved_1x,
        system="FCOS",
        paper="2006.09214",
        backbone="R-50-DCN-FPN",
        lr_schd="1x",
        references=(Reference(name="mmdetection", results={"box_AP": 0.423}, source=f"{MMDETECTION}/fcos"),),
    ),
    Row(
        recipe=dense.fcos_lite0_fpn_320_mini,
        system="FCOS",
        paper="2006.09214",
        backbone="EfficientNet-Lite0-FPN",
        lr_schd="mini",
    ),
    Row(
        recipe=dense.fcos_r18_fpn_shapes,
        system="FCOS",
        paper="2006.09214",
        backbone="R-18-FPN",
        lr_schd="500 it",
    ),
    Row(
        recipe=dense.freeanchor_r50_fpn_1x,
        system="FreeAnchor",
        paper="1909.02466",
        backbone="R-50-FPN",
        lr_schd="1x",
        references=(
            Reference(name="authors", results={"box_AP": 0.387}, source=FREEANCHOR_PROJECT),
            Reference(name="mmdetection", results={"box_AP": 0.387}, source=f"{MMDETECTION}/free_anchor"),
            Reference(
                name="cvpods",
                results={"box_AP": 0.383},
                source=f"{CVPODS}/detection/coco/free_anchor/free_anchor.res50.fpn.coco.800size.1x",
            ),
        ),
        parity=("mmdetection",),
    ),
    Row(
        recipe=dense.freeanchor_lite0_fpn_320_mini,
        system="FreeAnchor",
        paper="1909.02466",
        backbone="EfficientNet-Lite0-FPN",
        lr_schd="mini",
    ),
    Row(
        recipe=dense.freeanchor_r18_fpn_shapes,
        system="FreeAnchor",
        paper="1909.02466",
        backbone="R-18-FPN",
        lr_schd="500 it",
    ),
    Row(
        recipe=dense.reppoints_r50_fpn_minmax_1x,
        system="RepPoints",
        paper="1904.11490",
        backbone="R-50-FPN",
        lr_schd="1x, min-max",
        references=(Reference(name="authors", results={"box_AP": 0.382}, source=REPPOINTS_PROJECT),),
        parity=("mmdetection",),
    ),
    Row(
        recipe=dense.reppoints_r50_fpn_partial_minmax_1x,
        system="RepPoints",
        paper="1904.11490",
        backbone="R-50-FPN",
        lr_schd="1x, partial min-max",
        references=(
            Reference(name="authors", results={"box_AP": 0.381}, source=REPPOINTS_PROJECT),
            Reference(
                name="cvpods",
                results={"box_AP": 0.382},
                source=f"{CVPODS}/detection/coco/reppoints/reppoints.res50.fpn.coco.800size.1x.partial_minmax",
            ),
        ),
        parity=("mmdetection",),
    ),
    Row(
        recipe=dense.reppoints_r50_fpn_moment_1x,
        system="RepPoints",
        paper="1904.11490",
        backbone="R-50-FPN",
        lr_schd="1x, moment",
        references=(
            Reference(name="authors", results={"box_AP": 0.382}, source=REPPOINTS_PROJECT),
            Reference(name="mmdetection", results={"box_AP": 0.381}, source=f"{MMDETECTION}/reppoints"),
        ),
        parity=("mmdetection",),
    ),
    Row(
        recipe=dense.reppoints_r50_fpn_moment_2x,
        system="RepPoints",
        paper="1904.11490",
        backbone="R-50-FPN",
        lr_schd="2x, moment",
        references=(
            Reference(name="authors", results={"box_AP": 0.386}, source=REPPOINTS_PROJECT),
            Reference(name="mmdetection", results={"box_AP": 0.386}, source=f"{MMDETECTION}/reppoints"),
        ),
        parity=("mmdetection",),
    ),
    Row(
        recipe=dense.reppoints_r50_fpn_moment_2x_ms,
        system="RepPoints",
        paper="1904.11490",
        backbone="R-50-FPN",
        lr_schd="2x, 480-960, moment",
        references=(Reference(name="authors", results={"box_AP": 0.408}, source=REPPOINTS_PROJECT),),
        parity=("mmdetection",),
    ),
    Row(
        recipe=dense.reppoints_r101_fpn_moment_2x_ms,
        system="RepPoints",
        paper="1904.11490",
        backbone="R-101-FPN",
        lr_schd="2x, 400-1400, moment",
        references=(Reference(name="authors", results={"box_AP": 0.423}, source=REPPOINTS_PROJECT),),
        parity=("mmdetection",),
    ),
    Row(
        recipe=dense.reppoints_r101_dcn_fpn_moment_2x,
        system="RepPoints",
        paper="1904.11490",
        backbone="R-101-DCN-FPN",
        lr_schd="2x, moment",
        references=(Reference(name="mmdetection", results={"box_AP": 0.429}, source=f"{MMDETECTION}/reppoints"),),
    ),
    Row(
        recipe=dense.reppoints_moment_lite0_fpn_320_mini,
        system="RepPoints",
        paper="1904.11490",
        backbone="EfficientNet-Lite0-FPN",
        lr_schd="mini",
    ),
    Row(
        recipe=dense.reppoints_minmax_r18_fpn_shapes,
        system="RepPoints",
        paper="1904.11490",
        backbone="R-18-FPN",
        lr_schd="1000 it, min-max",
    ),
    Row(
        recipe=dense.reppoints_partial_minmax_r18_fpn_shapes,
        system="RepPoints",
        paper="1904.11490",
        backbone="R-18-FPN",
        lr_schd="1000 it, partial min-max",
    ),
    Row(
        recipe=dense.reppoints_moment_r18_fpn_shapes,
        system="RepPoints",
        paper="1904.11490",
        backbone="R-18-FPN",
        lr_schd="1000 it, moment",
    ),
    Row(
        recipe=dense.atss_r50_fpn_1x,
        system="ATSS",
        paper="1912.02424",
        backbone="R-50-FPN",
        lr_schd="1x",
        references=(
            Reference(name="authors", results={"box_AP": 0.393}, source=ATSS_PROJECT),
            Reference(name="mmdetection", results={"box_AP": 0.394}, source=f"{MMDETECTION}/atss"),
            Reference(
                name="cvpods",
                results={"box_AP": 0.393},
                source=f"{CVPODS}/detection/coco/atss/atss.res50.fpn.coco.800size.1x",
            ),
        ),
        parity=("mmdetection",),
    ),
    Row(
        recipe=dense.atss_lite0_fpn_320_mini,
        system="ATSS",
        paper="1912.02424",
        backbone="EfficientNet-Lite0-FPN",
        lr_schd="mini",
    ),
    Row(
        recipe=dense.atss_r18_fpn_shapes,
        system="ATSS",
        paper="1912.02424",
        backbone="R-18-FPN",
        lr_schd="500 it",
    ),
)
