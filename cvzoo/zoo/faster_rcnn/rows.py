"""The rows of Faster R-CNN. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.recipes import Optim, Recipe, Schedule, data_sets, settings
from cvzoo.zoo.published import cvpods, detectron2, mmdetection, original, torchvision
from cvzoo.zoo.system import Row, System


def faster_rcnn_r50_c4_1x() -> Recipe:
    """Faster R-CNN on C4 of ResNet-50, 90 000 iterations of 16 images (1506.01497; 1512.03385, appendix A)."""
    from cvzoo.parts.rcnn.c4 import C4_BOX_HEAD, C4_PIXELS, C4_RPN
    from cvzoo.zoo.faster_rcnn.model import FasterRCNNConfig

    return Recipe(
        row="faster_rcnn_r50_c4_1x",
        model=FasterRCNNConfig(fpn=None, pixels=C4_PIXELS, rpn=C4_RPN, box_head=C4_BOX_HEAD),
        backbone_weights="imagenet",
        optim=Optim(lr=0.02),
    )


def faster_rcnn_r50_dc5_1x() -> Recipe:
    """Faster R-CNN on a dilated C5 of ResNet-50, 90 000 iterations of 16 images (1506.01497; 1703.06211, section 4)."""
    from cvzoo.parts.rcnn.c4 import C4_PIXELS, C4_RPN, C5_BODY, C5_BOX_HEAD
    from cvzoo.zoo.faster_rcnn.model import FasterRCNNConfig

    model = FasterRCNNConfig(backbone=C5_BODY, fpn=None, pixels=C4_PIXELS, rpn=C4_RPN, box_head=C5_BOX_HEAD)
    return replace(faster_rcnn_r50_c4_1x(), row="faster_rcnn_r50_dc5_1x", model=model)


def faster_rcnn_r50_fpn_1x() -> Recipe:
    """Faster R-CNN R-50-FPN, 90 000 iterations of 16 images at 800 px, as the reference trains it (1612.03144)."""
    from cvzoo.zoo.faster_rcnn.model import FasterRCNNConfig

    return Recipe(
        row="faster_rcnn_r50_fpn_1x",
        model=FasterRCNNConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.02),
    )


def faster_rcnn_r50_fpn_ms_1x() -> Recipe:
    """`faster_rcnn_r50_fpn_1x` on short sides of 640 to 800 px, as detectron2 and cvpods train it."""
    recipe = faster_rcnn_r50_fpn_1x()
    data = replace(recipe.data, short_sides=data_sets.MULTI_SCALE)
    return replace(recipe, row="faster_rcnn_r50_fpn_ms_1x", data=data)


def faster_rcnn_r50_c4_voc() -> Recipe:
    """Faster R-CNN on C4 of ResNet-50, on PASCAL VOC 2007 and 2012, 18 000 iterations of 16 images at 480 to 800 px."""
    recipe = faster_rcnn_r50_c4_1x()
    return replace(
        recipe,
        row="faster_rcnn_r50_c4_voc",
        model=replace(recipe.model, num_classes=20),
        data=data_sets.VOC_BOXES,
        schedule=Schedule(iterations=18_000, milestones=(12_000, 16_000), warmup_iterations=100),
    )


def faster_rcnn_lite0_fpn_320_mini() -> Recipe:
    """Faster R-CNN with EfficientNet-Lite0 on 285 COCO images at 320 px: real data in half an hour on 2 CPU cores."""
    from cvzoo.nn.pixels import MINUS_ONE_TO_ONE
    from cvzoo.parts.rcnn import small
    from cvzoo.zoo.faster_rcnn.model import FasterRCNNConfig

    model = FasterRCNNConfig(
        backbone=settings.lite0(),
        fpn=small.pyramid(norm="group"),
        pixels=MINUS_ONE_TO_ONE,
        rpn=small.rpn(sizes=(20, 40, 80, 160, 320)),
        box_head=small.BOX_HEAD,
    )
    return settings.mini("faster_rcnn_lite0_fpn_320_mini", model)


def faster_rcnn_r50_c4_320_mini() -> Recipe:
    """Faster R-CNN on C4 of a thin ResNet-50 from random weights, on 285 COCO images at 320 px."""
    from cvzoo.parts.rcnn import small

    return replace(
        faster_rcnn_r50_c4_shapes(),
        row="faster_rcnn_r50_c4_320_mini",
        model=replace(faster_rcnn_r50_c4_shapes().model, num_classes=80, rpn=small.c4_rpn(sizes=(32, 64, 128, 256))),
        data=data_sets.COCO_320,
        schedule=settings.MINI_SCHEDULE,
    )


def faster_rcnn_r18_fpn_shapes() -> Recipe:
    """Faster R-CNN on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.parts.rcnn import small
    from cvzoo.zoo.faster_rcnn.model import FasterRCNNConfig

    model = FasterRCNNConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=small.pyramid(),
        rpn=small.rpn(sizes=(8, 16, 32, 64, 128)),
        box_head=small.BOX_HEAD,
    )
    return settings.shapes("faster_rcnn_r18_fpn_shapes", model)


def faster_rcnn_r50_c4_shapes() -> Recipe:
    """Faster R-CNN on C4 of a thin ResNet-50, on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.parts.rcnn import small
    from cvzoo.parts.rcnn.c4 import C4_PIXELS
    from cvzoo.zoo.faster_rcnn.model import FasterRCNNConfig

    model = FasterRCNNConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=50, width=16),
        fpn=None,
        pixels=C4_PIXELS,
        rpn=small.c4_rpn(sizes=(16, 32, 64)),
        box_head=small.C4_BOX_HEAD,
    )
    return settings.shapes("faster_rcnn_r50_c4_shapes", model)


FPN_WEIGHTS = (
    torchvision("fasterrcnn_resnet50_fpn_coco-258fb6c6", note="26 epochs", box_AP=0.370),
    torchvision(
        "fasterrcnn_resnet50_fpn_v2_coco-dd69338a",
        name="torchvision_v2",
        note="v2, 400 epochs, large-scale jitter",
        box_AP=0.467,
    ),
    detectron2("COCO-Detection/faster_rcnn_R_50_FPN_1x/137257794/model_final_b275ba", box_AP=0.379),
    detectron2(
        "COCO-Detection/faster_rcnn_R_50_FPN_3x/137849458/model_final_280758",
        name="detectron2_3x",
        note="3x, 640-800",
        box_AP=0.402,
    ),
    detectron2(
        "COCO-Detection/faster_rcnn_R_101_FPN_3x/137851257/model_final_f6e8b1",
        name="detectron2_r101_3x",
        note="R-101, 3x, 640-800",
        box_AP=0.420,
    ),
    detectron2(
        "COCO-Detection/faster_rcnn_X_101_32x8d_FPN_3x/139173657/model_final_68b088",
        name="detectron2_x101_3x",
        note="X-101-32x8d, 3x, 640-800",
        box_AP=0.430,
    ),
    mmdetection("faster_rcnn/faster_rcnn_r50_fpn_1x_coco/faster_rcnn_r50_fpn_1x_coco_20200130-047c8118", box_AP=0.374),
)
"""The model is the same whether it was trained on one scale or on several."""
OWN_NOTES = {
    "detectron2": "",
    "detectron2_3x": "3x",
    "detectron2_r101_3x": "R-101, 3x",
    "detectron2_x101_3x": "X-101-32x8d, 3x",
}
"""Of those trained on several scales, in the row that is, too."""
SYSTEM = System(
    name="Faster R-CNN",
    papers={"1506.01497": "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks"},
    module=__name__,
    rows=(
        Row(
            recipe=faster_rcnn_r50_c4_1x,
            backbone="R-50-C4",
            schedule="1x",
            published=(
                detectron2("COCO-Detection/faster_rcnn_R_50_C4_1x/137257644/model_final_721ade", box_AP=0.357),
                detectron2(
                    "COCO-Detection/faster_rcnn_R_50_C4_3x/137849393/model_final_f97cb7",
                    name="detectron2_3x",
                    note="3x, 640-800",
                    box_AP=0.384,
                ),
                detectron2(
                    "COCO-Detection/faster_rcnn_R_101_C4_3x/138204752/model_final_298dad",
                    name="detectron2_r101_3x",
                    note="R-101, 3x, 640-800",
                    box_AP=0.411,
                ),
                mmdetection(
                    "faster_rcnn/faster_rcnn_r50_caffe_c4_1x_coco/"
                    "faster_rcnn_r50_caffe_c4_1x_coco_20220316_150152-3f885b85",
                    box_AP=0.356,
                ),
            ),
            references=(original(inf=0.122, box_AP=0.357),),
        ),
        Row(
            recipe=faster_rcnn_r50_dc5_1x,
            backbone="R-50-DC5",
            schedule="1x",
            published=(
                detectron2("COCO-Detection/faster_rcnn_R_50_DC5_1x/137847829/model_final_51d356", box_AP=0.373),
                detectron2(
                    "COCO-Detection/faster_rcnn_R_50_DC5_3x/137849425/model_final_68d202",
                    name="detectron2_3x",
                    note="3x, 640-800",
                    box_AP=0.390,
                ),
                detectron2(
                    "COCO-Detection/faster_rcnn_R_101_DC5_3x/138204841/model_final_3e0943",
                    name="detectron2_r101_3x",
                    note="R-101, 3x, 640-800",
                    box_AP=0.406,
                ),
                mmdetection(
                    "faster_rcnn/faster_rcnn_r50_caffe_dc5_1x_coco/"
                    "faster_rcnn_r50_caffe_dc5_1x_coco_20201030_151909-531f0f43",
                    box_AP=0.372,
                ),
                mmdetection(
                    "faster_rcnn/faster_rcnn_r50_caffe_dc5_mstrain_3x_coco/"
                    "faster_rcnn_r50_caffe_dc5_mstrain_3x_coco_20201028_002107-34a53b2c",
                    name="mmdetection_3x",
                    note="3x, 640-800",
                    box_AP=0.387,
                ),
            ),
        ),
        Row(
            recipe=faster_rcnn_r50_fpn_1x,
            backbone="R-50-FPN",
            schedule="1x",
            published=FPN_WEIGHTS,
        ),
        Row(
            recipe=faster_rcnn_r50_fpn_ms_1x,
            backbone="R-50-FPN",
            schedule="1x, 640-800",
            published=tuple(
                replace(weights, note=OWN_NOTES.get(weights.name, weights.note)) for weights in FPN_WEIGHTS
            ),
            references=(cvpods("detection/coco/rcnn/faster_rcnn.res50.fpn.coco.multiscale.1x", box_AP=0.381),),
        ),
        Row(
            recipe=faster_rcnn_r50_c4_voc,
            backbone="R-50-C4",
            data="PASCAL VOC",
            schedule="18k, 480-800",
            published=(
                detectron2(
                    "PascalVOC-Detection/faster_rcnn_R_50_C4/142202221/model_final_b1acc2",
                    note="AP at the 11 points of VOC 2007",
                    other_measure=True,
                    box_AP=0.519,
                ),
            ),
        ),
        Row(
            recipe=faster_rcnn_lite0_fpn_320_mini,
            backbone="EfficientNet-Lite0-FPN",
            data="COCO mini",
            schedule="1500 it",
        ),
        Row(recipe=faster_rcnn_r50_c4_320_mini, backbone="R-50-C4, 1/4 width", data="COCO mini", schedule="1500 it"),
        Row(recipe=faster_rcnn_r18_fpn_shapes, backbone="R-18-FPN, 1/2 width", data="shapes", schedule="500 it"),
        Row(recipe=faster_rcnn_r50_c4_shapes, backbone="R-50-C4, 1/4 width", data="shapes", schedule="500 it"),
    ),
)
