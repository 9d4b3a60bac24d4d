"""The public data sets that rows are trained on: where they lie and how their images are prepared. Imports no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cvzoo.data import class_names as names
from cvzoo.data.config import Data, LabelMaps, Shapes, Split

MULTI_SCALE = (640, 672, 704, 736, 768, 800)
"""Short sides that detectron2 draws from in training."""

COCO_512 = Data(
    short_sides=(512,),
    test_short_side=512,
    test_full_size=True,
    window_scales=(0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3),
    crop=(512, 512),
    colour_jitter=0.4,
    aspect_grouping=False,
)
"""COCO in square windows of 512 pixels, evaluated at full size, as detectors by key points have it."""

COCO_320 = Data(
    root=Path("data/coco_mini"),
    train=Split(images="train", annotations="annotations/instances_train.json"),
    val=Split(images="val", annotations="annotations/instances_val.json"),
    short_sides=(320,),
    test_short_side=320,
    max_long_side=320,
    canvas=(320, 320),
    workers=0,
    cache=True,
)
"""A few hundred images of COCO on a canvas of 320 x 320: small enough for a CPU. `--data.root` says where they lie."""

BCCD = Data(
    source="voc",
    root=Path("data/bccd"),
    train=Split(images="JPEGImages", annotations="Annotations", lists=("ImageSets/Main/train.txt",)),
    val=Split(images="JPEGImages", annotations="Annotations", lists=("ImageSets/Main/val.txt",)),
    short_sides=(240,),
    test_short_side=240,
    max_long_side=320,
    canvas=(256, 320),
    scale_jitter=(0.7, 1.4),
    crop=(256, 320),
    colour_jitter=0.2,
    workers=0,
    cache=True,
)
"""205 and 87 images of blood cells, 640 x 480 pixels, that are seen at half their size; 72 more are a test, on which
`--data.val.lists ImageSets/Main/test.txt` evaluates."""

COCO_DENSE_POSE = Data(
    train=Split(
        images="train2014,val2014",
        annotations="annotations/densepose_train2014.json,annotations/densepose_valminusminival2014.json",
    ),
    val=Split(images="val2014", annotations="annotations/densepose_minival2014.json"),
    surfaces=True,
)
"""COCO's images of 2014 with DensePose's annotations: 32 421 images to train on, 1508 to evaluate; people only."""

CITYSCAPES_INSTANCES = Data(
    root=Path("data/cityscapes"),
    train=Split(images="leftImg8bit/train", annotations="annotations/instancesonly_filtered_gtFine_train.json"),
    val=Split(images="leftImg8bit/val", annotations="annotations/instancesonly_filtered_gtFine_val.json"),
    masks=True,
    short_sides=tuple(range(800, 1025, 32)),
    test_short_side=1024,
    max_long_side=2048,
)
"""Objects of 8 classes in 2975 and 500 street scenes of 2048 x 1024 pixels. mmdetection's converter of Cityscapes makes
these COCO-format files from the authors' annotations."""

VOC_BOXES = Data(
    source="voc",
    root=Path("data/VOCdevkit"),
    train=Split(
        images="VOC2007/JPEGImages,VOC2012/JPEGImages",
        annotations="VOC2007/Annotations,VOC2012/Annotations",
        lists=("VOC2007/ImageSets/Main/trainval.txt", "VOC2012/ImageSets/Main/trainval.txt"),
    ),
    val=Split(
        images="VOC2007/JPEGImages", annotations="VOC2007/Annotations", lists=("VOC2007/ImageSets/Main/test.txt",)
    ),
    short_sides=tuple(range(480, 801, 32)),
)
"""Objects of 20 classes: the 16 551 images of 2007 and 2012 to train on, the 4952 of the test of 2007."""

LVIS_V1 = Data(
    train=Split(images=".", annotations="annotations/lvis_v1_train.json"),
    val=Split(images=".", annotations="annotations/lvis_v1_val.json"),
    masks=True,
    short_sides=MULTI_SCALE,
    repeat_threshold=0.001,
)
"""COCO's images with the objects of 1203 classes: 100 170 to train on, 19 809 to evaluate. The files lie among COCO's
annotations."""

LVIS_V05 = replace(
    LVIS_V1,
    train=Split(images=".", annotations="annotations/lvis_v0.5_train.json"),
    val=Split(images=".", annotations="annotations/lvis_v0.5_val.json"),
)
"""Its first version, of 1230 classes: 57 263 and 5000 images."""

SHAPES = Data(
    source="shapes",
    shapes=Shapes(size=128),
    short_sides=(128,),
    test_short_side=128,
    max_long_side=128,
    canvas=(128, 128),
    workers=0,
)
"""Drawn images of 128 x 128 pixels."""

FIGURES = replace(SHAPES, shapes=replace(SHAPES.shapes, figures=True, max_objects=3), surfaces=True, charts="flat")
"""Drawn people of 128 x 128 pixels with their surfaces."""

SHAPES_LABEL_MAPS = replace(SHAPES, shapes=replace(SHAPES.shapes, label_maps=True))
"""The same with a class for every pixel."""

CITYSCAPES = Data(
    source="label_maps",
    root=Path("data/cityscapes"),
    train=Split(images="leftImg8bit/train", annotations="gtFine/train"),
    val=Split(images="leftImg8bit/val", annotations="gtFine/val"),
    label_maps=LabelMaps(
        classes=names.CITYSCAPES, image_suffix="_leftImg8bit.png", label_suffix="_gtFine_labelTrainIds.png"
    ),
    short_sides=(1024,),
    test_short_side=1024,
    max_long_side=2048,
    scale_jitter=(0.5, 2.0),
    crop=(512, 1024),
    crop_max_share=0.75,
    distort_colours=True,
)
"""2975 and 500 street scenes of 2048 x 1024 pixels; labelTrainIds are made by the authors' createTrainIdLabelImgs."""

CITYSCAPES_769 = replace(CITYSCAPES, crop=(769, 769), test_window=(769, 769))
"""The same in squares, for training and for evaluation."""

ADE20K = replace(
    CITYSCAPES,
    root=Path("data/ADEChallengeData2016"),
    train=Split(images="images/training", annotations="annotations/training"),
    val=Split(images="images/validation", annotations="annotations/validation"),
    label_maps=LabelMaps(classes=names.ADE20K, reduce_zero=True),
    short_sides=(512,),
    test_short_side=512,
    crop=(512, 512),
)
"""20 210 and 2000 scenes."""

VOC = replace(
    ADE20K,
    root=Path("data/VOCdevkit/VOC2012"),
    train=Split(
        images="JPEGImages",
        annotations="SegmentationClass,SegmentationClassAug",
        lists=("ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/aug.txt"),
    ),
    val=Split(images="JPEGImages", annotations="SegmentationClass", lists=("ImageSets/Segmentation/val.txt",)),
    label_maps=LabelMaps(classes=names.VOC),
)
"""10 582 images with the labels of Hariharan et al. (SBD), and 1449."""

CAMVID = Data(
    source="label_maps",
    root=Path("data/camvid"),
    train=Split(images="train", annotations="trainannot", lists=("train.txt",)),
    val=Split(images="val", annotations="valannot", lists=("val.txt",)),
    label_maps=LabelMaps(classes=names.CAMVID, ignored=(11,)),
    short_sides=(360,),
    test_short_side=360,
    max_long_side=480,
    scale_jitter=(0.5, 2.0),
    crop=(256, 320),
    crop_max_share=0.75,
    distort_colours=True,
    workers=0,
    cache=True,
)
"""367 and 101 street scenes of 480 x 360 pixels: small enough for a CPU."""
