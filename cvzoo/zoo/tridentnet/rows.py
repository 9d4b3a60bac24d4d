"""The rows of TridentNet. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.recipes import Optim, Recipe, data_sets, settings
from cvzoo.zoo.published import cvpods, detectron2, mmdetection, original
from cvzoo.zoo.system import Row, System


def tridentnet_r50_c4_1x() -> Recipe:
    """TridentNet fast on C4 of ResNet-50, 90 000 iterations of 16 images at 800 px (1901.01892).

    Infers with the middle branch; `--model.all-branches` with all three.
    """
    from cvzoo.zoo.tridentnet.model import TridentNetConfig

    return Recipe(
        row="tridentnet_r50_c4_1x",
        model=TridentNetConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.02),
    )


def tridentnet_r50_c4_320_mini() -> Recipe:
    """TridentNet on C4 of a thin ResNet-50 from random weights, on 285 COCO images at 320 px."""
    from cvzoo.parts.rcnn import small

    return replace(
        tridentnet_r50_c4_shapes(),
        row="tridentnet_r50_c4_320_mini",
        model=replace(tridentnet_r50_c4_shapes().model, num_classes=80, rpn=small.c4_rpn(sizes=(32, 64, 128, 256))),
        data=data_sets.COCO_320,
        schedule=settings.MINI_SCHEDULE,
    )


def tridentnet_r50_c4_shapes() -> Recipe:
    """TridentNet on C4 of a thin ResNet-50, on drawn shapes from random weights; some minutes on 2 CPU cores."""
    from cvzoo.parts.rcnn import small
    from cvzoo.zoo.tridentnet.model import TridentNetConfig

    box_head = small.C4_BOX_HEAD
    model = TridentNetConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=50, width=16),
        rpn=small.c4_rpn(sizes=(16, 32, 64)),
        box_head=replace(box_head, samples=box_head.samples // 2, positive_fraction=0.5, append_truth=False),
    )
    recipe = settings.shapes("tridentnet_r50_c4_shapes", model)
    # every branch sees every image
    return replace(recipe, schedule=replace(recipe.schedule, batch=8, base_batch=8))


SYSTEM = System(
    name="TridentNet",
    papers={"1901.01892": "Scale-Aware Trident Networks for Object Detection"},
    module=__name__,
    rows=(
        Row(
            recipe=tridentnet_r50_c4_1x,
            backbone="R-50-C4",
            schedule="1x",
            published=(
                detectron2(
                    "TridentNet/tridentnet_fast_R_50_C4_1x/148572687/model_final_756cda",
                    page="projects/TridentNet/README.md",
                    box_AP=0.380,
                ),
                detectron2(
                    "TridentNet/tridentnet_fast_R_50_C4_3x/148572287/model_final_e1027c",
                    name="detectron2_3x",
                    page="projects/TridentNet/README.md",
                    note="3x, 640-800",
                    box_AP=0.406,
                ),
                detectron2(
                    "TridentNet/tridentnet_fast_R_101_C4_3x/148572198/model_final_164568",
                    name="detectron2_r101_3x",
                    page="projects/TridentNet/README.md",
                    note="R-101, 3x, 640-800",
                    box_AP=0.436,
                ),
                mmdetection(
                    "tridentnet/tridentnet_r50_caffe_1x_coco/tridentnet_r50_caffe_1x_coco_20201230_141838-2ec0b530",
                    box_AP=0.377,
                ),
                mmdetection(
                    "tridentnet/tridentnet_r50_caffe_mstrain_3x_coco/"
                    "tridentnet_r50_caffe_mstrain_3x_coco_20201130_100539-46d227ba",
                    name="mmdetection_3x",
                    note="3x, 640-800",
                    box_AP=0.403,
                ),
            ),
            references=(
                original(mem_gb=4.8, inf=0.137, box_AP=0.378),
                cvpods("detection/coco/tridentnet/tridentnet.res50.C4.coco.800size.1x", box_AP=0.377),
            ),
        ),
        Row(recipe=tridentnet_r50_c4_320_mini, backbone="R-50-C4, 1/4 width", data="COCO mini", schedule="1500 it"),
        Row(recipe=tridentnet_r50_c4_shapes, backbone="R-50-C4, 1/4 width", data="shapes", schedule="500 it"),
    ),
)
