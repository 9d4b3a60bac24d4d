"""The rows of recipes/semantic.py. Imports no torch."""

from __future__ import annotations

from cvzoo.recipes import semantic
from cvzoo.recipes.row import MMSEGMENTATION, Reference, Row

PSPNET_PROJECT = "https://github.com/hszhao/semseg"
TREEFILTER_PROJECT = "https://github.com/Megvii-BaseDetection/TreeFilter-Torch"

SEMANTIC_ROWS = (
    Row(
        recipe=semantic.fcn_r50_d8_cityscapes,
        task="segmentation",
        system="FCN",
        paper="1411.4038",
        backbone="R-50-D8",
        lr_schd="80k, Cityscapes",
        references=(Reference(name="mmsegmentation", results={"mIoU": 0.7361}, source=f"{MMSEGMENTATION}/fcn"),),
    ),
    Row(
        recipe=semantic.fcn_lite0_camvid,
        task="segmentation",
        system="FCN",
        paper="1411.4038",
        backbone="EfficientNet-Lite0",
        lr_schd="1000 it, CamVid",
    ),
    Row(
        recipe=semantic.fcn_r18_shapes,
        task="segmentation",
        system="FCN",
        paper="1411.4038",
        backbone="R-18-D8, 1/4 width",
        lr_schd="500 it",
    ),
    Row(
        recipe=semantic.pspnet_r50_d8_cityscapes,
        task="segmentation",
        system="PSPNet",
        paper="1612.01105",
        backbone="R-50-D8",
        lr_schd="80k, Cityscapes",
        references=(
            Reference(name="mmsegmentation", results={"mIoU": 0.7855}, source=f"{MMSEGMENTATION}/pspnet"),
            Reference(name="authors, 200 epochs at 713, flip", results={"mIoU": 0.7730}, source=PSPNET_PROJECT),
        ),
        parity=("mmsegmentation",),
    ),
    Row(
        recipe=semantic.pspnet_r101_d8_ade20k,
        task="segmentation",
        system="PSPNet",
        paper="1612.01105",
        backbone="R-101-D8",
        lr_schd="160k, ADE20K",
        references=(
            Reference(name="mmsegmentation", results={"mIoU": 0.4439}, source=f"{MMSEGMENTATION}/pspnet"),
            Reference(name="authors, 100 epochs at 473, flip", results={"mIoU": 0.4310}, source=PSPNET_PROJECT),
        ),
        parity=("mmsegmentation",),
    ),
    Row(
        recipe=semantic.pspnet_lite0_camvid,
        task="segmentation",
        system="PSPNet",
        paper="1612.01105",
        backbone="EfficientNet-Lite0",
        lr_schd="1000 it, CamVid",
    ),
    Row(
        recipe=semantic.pspnet_r18_shapes,
        task="segmentation",
        system="PSPNet",
        paper="1612.01105",
        backbone="R-18-D8, 1/4 width",
        lr_schd="500 it",
    ),
    Row(
        recipe=semantic.deeplabv3plus_r50_d8_cityscapes,
        task="segmentation",
        system="DeepLab v3+",
        paper="1802.02611",
        backbone="R-50-D8",
        lr_schd="80k, Cityscapes",
        references=(
            Reference(name="mmsegmentation", results={"mIoU": 0.8009}, source=f"{MMSEGMENTATION}/deeplabv3plus"),
        ),
        parity=("mmsegmentation", "detectron2"),
    ),
    Row(
        recipe=semantic.deeplabv3plus_r101_d8_voc,
        task="segmentation",
        system="DeepLab v3+",
        paper="1802.02611",
        backbone="R-101-D8",
        lr_schd="40k, VOC 2012 aug",
        references=(
            Reference(name="mmsegmentation", results={"mIoU": 0.7862}, source=f"{MMSEGMENTATION}/deeplabv3plus"),
        ),
        parity=("mmsegmentation", "detectron2"),
    ),
    Row(
        recipe=semantic.deeplabv3plus_lite0_camvid,
        task="segmentation",
        system="DeepLab v3+",
        paper="1802.02611",
        backbone="EfficientNet-Lite0",
        lr_schd="1000 it, CamVid",
    ),
    Row(
        recipe=semantic.deeplabv3plus_r18_shapes,
        task="segmentation",
        system="DeepLab v3+",
        paper="1802.02611",
        backbone="R-18-D8, 1/4 width",
        lr_schd="500 it",
    ),
    Row(
        recipe=semantic.gcnet_r50_d8_cityscapes,
        task="segmentation",
        system="GCNet",
        paper="1904.11492",
        backbone="R-50-D8",
        lr_schd="80k, Cityscapes",
        references=(Reference(name="mmsegmentation", results={"mIoU": 0.7848}, source=f"{MMSEGMENTATION}/gcnet"),),
        parity=("mmsegmentation",),
    ),
    Row(
        recipe=semantic.gcnet_lite0_camvid,
        task="segmentation",
        system="GCNet",
        paper="1904.11492",
        backbone="EfficientNet-Lite0",
        lr_schd="1000 it, CamVid",
    ),
    Row(
        recipe=semantic.gcnet_r18_shapes,
        task="segmentation",
        system="GCNet",
        paper="1904.11492",
        backbone="R-18-D8, 1/4 width",
        lr_schd="500 it",
    ),
)
"""In the order of the table."""
