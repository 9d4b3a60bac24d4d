"""Instance segmentation: one function per row.

Model classes are imported inside the functions, so that listing the rows needs no torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cvzoo.data.config import Data
from cvzoo.recipes import settings
from cvzoo.recipes.detection import cascade_rcnn_r50_fpn_1x
from cvzoo.recipes.recipe import Optim, Recipe

if TYPE_CHECKING:
    from cvzoo.models.cascade_rcnn import CascadeRCNNConfig
    from cvzoo.models.mask_rcnn import MaskRCNNConfig

# Mask R-CNN


def mask_rcnn_r50_fpn_1x() -> Recipe:
    """Mask R-CNN R-50-FPN, 90 000 iterations of 16 images at 800 px, as the reference trains it (1703.06870).

    Expected: box / mask AP 37.9 / 34.6 with torchvision's backbone; 38.6 / 35.2 with detectron2's and scale jitter.
    """
    from cvzoo.models.mask_rcnn import MaskRCNNConfig

    return Recipe(
        row="mask_rcnn_r50_fpn_1x",
        model=MaskRCNNConfig(),
        backbone_weights="imagenet",
        data=Data(masks=True),
        optim=Optim(lr=0.02),
    )


def mask_rcnn_r50_c4_1x() -> Recipe:
    """Mask R-CNN on C4 of ResNet-50, 90 000 iterations of 16 images at 800 px (1703.06870, section 3).

    Expected: box / mask AP 36.8 / 32.2 with detectron2's caffe backbone and scale jitter.
    """
    from cvzoo.models.mask_rcnn import MaskRCNNConfig
    from cvzoo.models.rcnn.c4 import C4_BOX_HEAD, C4_MASK_HEAD, C4_PIXELS, C4_RPN

    model = MaskRCNNConfig(fpn=None, pixels=C4_PIXELS, rpn=C4_RPN, box_head=C4_BOX_HEAD, mask_head=C4_MASK_HEAD)
    return replace(mask_rcnn_r50_fpn_1x(), row="mask_rcnn_r50_c4_1x", model=model)


def mask_rcnn_lite0_fpn_320_mini() -> Recipe:
    """Mask R-CNN with EfficientNet-Lite0 on 285 COCO pictures at 320 px: real data in half an hour on 2 CPU cores."""
    from cvzoo.models.mask_rcnn import MaskRCNNConfig
    from cvzoo.nn.pixels import HALF

    model = MaskRCNNConfig(
        backbone=settings.lite0(),
        fpn=settings.rcnn_fpn(norm="group"),
        pixels=HALF,
        rpn=settings.rcnn_rpn(sizes=(20, 40, 80, 160, 320)),
        box_head=settings.rcnn_box_head(),
        mask_head=settings.rcnn_mask_head(),
    )
    return settings.mini("mask_rcnn_lite0_fpn_320_mini", model, masks=True)


def mask_rcnn_r18_fpn_shapes() -> Recipe:
    """Mask R-CNN on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.models.mask_rcnn import MaskRCNNConfig

    model = MaskRCNNConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=settings.rcnn_fpn(),
        rpn=settings.rcnn_rpn(sizes=(8, 16, 32, 64, 128)),
        box_head=settings.rcnn_box_head(),
        mask_head=settings.rcnn_mask_head(),
    )
    return settings.shapes("mask_rcnn_r18_fpn_shapes", model, masks=True)


# GCNet: Mask R-CNN with context blocks


def mask_rcnn_r50_fpn_gcb_r16_1x() -> Recipe:
    """Mask R-CNN R-50-FPN with a global context block in every block of C3 to C5, 90 000 iterations (1904.11492).

    Expected: box / mask AP 38.5 / 35.1 (authors), 39.7 / 35.9 (mmdetection).
    """
    recipe = mask_rcnn_r50_fpn_1x()
    model = replace(recipe.model, backbone=replace(recipe.model.backbone, context_ratio=1 / 16))
    return replace(recipe, row="mask_rcnn_r50_fpn_gcb_r16_1x", model=model)


def mask_rcnn_r50_fpn_gcb_shapes() -> Recipe:
    """Mask R-CNN with context blocks on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    recipe = mask_rcnn_r18_fpn_shapes()
    backbone = replace(settings.narrow_resnet(depth=50, width=16), context_ratio=1 / 4)
    return replace(recipe, row="mask_rcnn_r50_fpn_gcb_shapes", model=replace(recipe.model, backbone=backbone))


# Cascade Mask R-CNN


def cascade_mask_rcnn_r50_fpn_1x() -> Recipe:
    """Cascade Mask R-CNN R-50-FPN, 90 000 iterations of 16 images at 800 px (1712.00726).

    Expected: box / mask AP 41.7 / 36.1 at 800 px (cvpods), 42.1 / 36.4 with scale jitter (detectron2), both caffe.
    """
    from cvzoo.models.rcnn.mask_head import MaskHeadConfig

    recipe = cascade_rcnn_r50_fpn_1x()
    model = replace(recipe.model, mask_head=MaskHeadConfig())
    return replace(recipe, row="cascade_mask_rcnn_r50_fpn_1x", model=model, data=Data(masks=True))


def cascade_mask_rcnn_lite0_fpn_320_mini() -> Recipe:
    """Cascade Mask R-CNN with EfficientNet-Lite0 on 285 COCO pictures at 320 px."""
    mask_rcnn = mask_rcnn_lite0_fpn_320_mini()
    return replace(mask_rcnn, row="cascade_mask_rcnn_lite0_fpn_320_mini", model=_cascade_of(mask_rcnn.model))


def cascade_mask_rcnn_r18_fpn_shapes() -> Recipe:
    """Cascade Mask R-CNN on drawn shapes from random weights; a few minutes on 2 CPU cores."""
    mask_rcnn = mask_rcnn_r18_fpn_shapes()
    return replace(mask_rcnn, row="cascade_mask_rcnn_r18_fpn_shapes", model=_cascade_of(mask_rcnn.model))


def _cascade_of(model: MaskRCNNConfig) -> CascadeRCNNConfig:
    """Three stages where Mask R-CNN has one, all else alike."""
    from cvzoo.models.cascade_rcnn import CascadeRCNNConfig

    assert model.fpn is not None
    return CascadeRCNNConfig(
        num_classes=model.num_classes,
        backbone=model.backbone,
        fpn=model.fpn,
        pixels=model.pixels,
        rpn=model.rpn,
        box_head=replace(model.box_head, class_agnostic=True),
        mask_head=model.mask_head,
    )
