"""Object detection in two stages: one function per row.

Model classes are imported inside the functions, so that listing the rows needs no torch.
"""

from __future__ import annotations

from dataclasses import replace

from cvzoo.recipes import settings
from cvzoo.recipes.recipe import Optim, Recipe

# Faster R-CNN


def faster_rcnn_r50_c4_1x() -> Recipe:
    """Faster R-CNN on C4 of ResNet-50, 90 000 iterations of 16 images (1506.01497; 1512.03385, appendix A).

    Expected: box AP 35.7 with detectron2's caffe backbone and scale jitter.
    """
    from cvzoo.models.faster_rcnn import FasterRCNNConfig
    from cvzoo.models.rcnn.c4 import C4_BOX_HEAD, C4_PIXELS, C4_RPN

    return Recipe(
        row="faster_rcnn_r50_c4_1x",
        model=FasterRCNNConfig(fpn=None, pixels=C4_PIXELS, rpn=C4_RPN, box_head=C4_BOX_HEAD),
        backbone_weights="imagenet",
        optim=Optim(lr=0.02),
    )


def faster_rcnn_r50_fpn_1x() -> Recipe:
    """Faster R-CNN R-50-FPN, 90 000 iterations of 16 images at 800 px, as the reference trains it (1612.03144).

    Expected: box AP 37.0 with torchvision's backbone.
    """
    from cvzoo.models.faster_rcnn import FasterRCNNConfig

    return Recipe(
        row="faster_rcnn_r50_fpn_1x",
        model=FasterRCNNConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.02),
    )


def faster_rcnn_r50_fpn_ms_1x() -> Recipe:
    """`faster_rcnn_r50_fpn_1x` on short sides of 640 to 800 px, as detectron2 and cvpods train it.

    Expected: box AP 37.9 with detectron2's caffe backbone.
    """
    recipe = faster_rcnn_r50_fpn_1x()
    data = replace(recipe.data, short_sides=settings.MULTI_SCALE)
    return replace(recipe, row="faster_rcnn_r50_fpn_ms_1x", data=data)


def faster_rcnn_lite0_fpn_320_mini() -> Recipe:
    """Faster R-CNN with EfficientNet-Lite0 on 285 COCO pictures at 320 px: real data in half an hour on 2 CPU cores."""
    from cvzoo.models.faster_rcnn import FasterRCNNConfig
    from cvzoo.nn.pixels import HALF

    model = FasterRCNNConfig(
        backbone=settings.lite0(),
        fpn=settings.rcnn_fpn(norm="group"),
        pixels=HALF,
        rpn=settings.rcnn_rpn(sizes=(20, 40, 80, 160, 320)),
        box_head=settings.rcnn_box_head(),
    )
    return settings.mini("faster_rcnn_lite0_fpn_320_mini", model)


def faster_rcnn_r50_c4_320_mini() -> Recipe:
    """Faster R-CNN on C4 of a thin ResNet-50 from random weights, on 285 COCO pictures at 320 px."""
    return replace(
        faster_rcnn_r50_c4_shapes(),
        row="faster_rcnn_r50_c4_320_mini",
        model=replace(faster_rcnn_r50_c4_shapes().model, num_classes=80, rpn=settings.c4_rpn(sizes=(32, 64, 128, 256))),
        data=settings.COCO_320,
        schedule=settings.MINI_SCHEDULE,
    )


def faster_rcnn_r18_fpn_shapes() -> Recipe:
    """Faster R-CNN on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.models.faster_rcnn import FasterRCNNConfig

    model = FasterRCNNConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=settings.rcnn_fpn(),
        rpn=settings.rcnn_rpn(sizes=(8, 16, 32, 64, 128)),
        box_head=settings.rcnn_box_head(),
    )
    return settings.shapes("faster_rcnn_r18_fpn_shapes", model)


def faster_rcnn_r50_c4_shapes() -> Recipe:
    """Faster R-CNN on C4 of a thin ResNet-50, on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.models.faster_rcnn import FasterRCNNConfig
    from cvzoo.models.rcnn.c4 import C4_PIXELS

    model = FasterRCNNConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=50, width=16),
        fpn=None,
        pixels=C4_PIXELS,
        rpn=settings.c4_rpn(sizes=(16, 32, 64)),
        box_head=settings.c4_box_head(),
    )
    return settings.shapes("faster_rcnn_r50_c4_shapes", model)


# Cascade R-CNN


def cascade_rcnn_r50_fpn_1x() -> Recipe:
    """Cascade R-CNN R-50-FPN without masks, 90 000 iterations of 16 images at 800 px (1712.00726)."""
    from cvzoo.models.cascade_rcnn import CascadeRCNNConfig

    return Recipe(
        row="cascade_rcnn_r50_fpn_1x",
        model=CascadeRCNNConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.02),
    )


# TridentNet


def tridentnet_r50_c4_1x() -> Recipe:
    """TridentNet fast on C4 of ResNet-50, 90 000 iterations of 16 images at 800 px (1901.01892).

    Infers with the middle branch; `--model.all-branches` with all three.
    Expected: box AP 37.7 at 800 px (cvpods), 38.0 with scale jitter (detectron2), both from caffe backbones.
    """
    from cvzoo.models.tridentnet import TridentNetConfig

    return Recipe(
        row="tridentnet_r50_c4_1x",
        model=TridentNetConfig(),
        backbone_weights="imagenet",
        optim=Optim(lr=0.02),
    )


def tridentnet_r50_c4_320_mini() -> Recipe:
    """TridentNet on C4 of a thin ResNet-50 from random weights, on 285 COCO pictures at 320 px."""
    return replace(
        tridentnet_r50_c4_shapes(),
        row="tridentnet_r50_c4_320_mini",
        model=replace(tridentnet_r50_c4_shapes().model, num_classes=80, rpn=settings.c4_rpn(sizes=(32, 64, 128, 256))),
        data=settings.COCO_320,
        schedule=settings.MINI_SCHEDULE,
    )


def tridentnet_r50_c4_shapes() -> Recipe:
    """TridentNet on C4 of a thin ResNet-50, on drawn shapes from random weights; some minutes on 2 CPU cores."""
    from cvzoo.models.tridentnet import TridentNetConfig

    box_head = settings.c4_box_head()
    model = TridentNetConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=50, width=16),
        rpn=settings.c4_rpn(sizes=(16, 32, 64)),
        box_head=replace(box_head, samples=box_head.samples // 2, positive_fraction=0.5, append_truth=False),
    )
    recipe = settings.shapes("tridentnet_r50_c4_shapes", model)
    # every branch sees every picture
    return replace(recipe, schedule=replace(recipe.schedule, batch=8, base_batch=8))
