"""The rows of CenterNet. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

from cvzoo.recipes import Optim, Recipe, Schedule, settings
from cvzoo.recipes.data_sets import COCO_512
from cvzoo.zoo.published import cvpods, mmdetection
from cvzoo.zoo.system import Reference, Row, System

SGD = Optim(lr=0.02, norm_weight_decay=1e-4, clip_norm=35.0)
"""mmdetection's and, but for the clipping, cvpods'."""
SCHEDULE_140E = Schedule(
    iterations=128_240, batch=128, base_batch=128, milestones=(82_440, 109_920), warmup_iterations=1000
)
"""140 epochs."""
SCHEDULE_126K = Schedule(
    iterations=126_000, batch=128, base_batch=128, milestones=(81_000, 108_000), warmup_iterations=1000
)
"""cvpods' 126 000 iterations."""
SCHEDULE_230E = Schedule(
    iterations=210_680, batch=128, base_batch=128, milestones=(164_880, 192_360), warmup_iterations=0
)
"""230 epochs, the authors' "2x"."""
SCHEDULE_50E = Schedule(iterations=244_300, batch=24, base_batch=24, milestones=(195_440,), warmup_iterations=0)
"""50 epochs, the authors' with an hourglass."""


def centernet_r18_512() -> Recipe:
    """CenterNet R-18 on windows of 512 px, 140 epochs, with plain convolutions before each deconvolution."""
    from cvzoo.parts.heatmap.frame import Frame
    from cvzoo.zoo.centernet.model import CenterNetConfig

    return Recipe(
        row="centernet_r18_512",
        model=CenterNetConfig(frame=Frame()),
        backbone_weights="imagenet",
        data=replace(COCO_512, window_side=512, colour_jitter=0.0, distort_colours=True),
        optim=SGD,
        schedule=SCHEDULE_140E,
    )


def centernet_r18_dcn_512() -> Recipe:
    """`centernet_r18_512` with deformable convolutions (v2) before each deconvolution."""
    recipe = centernet_r18_512()
    model = replace(recipe.model, neck=replace(recipe.model.neck, conv="deform"))
    return replace(recipe, row="centernet_r18_dcn_512", model=model)


def centernet_r50_512() -> Recipe:
    """CenterNet R-50 on windows of 512 px, 126 000 iterations of 128 images (cvpods)."""
    from cvzoo.nn.resnet import ResNetConfig
    from cvzoo.parts.heatmap.targets import GaussianConfig

    recipe = centernet_r18_dcn_512()
    model = replace(
        recipe.model,
        backbone=ResNetConfig(depth=50, norm="batch", frozen_stages=0),
        neck=replace(recipe.model.neck, conv_bias=True),
        gaussian=GaussianConfig(min_overlap=0.7, rule="undivided"),
        margin=0.25,
        normaliser="objects",
    )
    optim = replace(SGD, clip_norm=None)
    return replace(recipe, row="centernet_r50_512", model=model, data=COCO_512, optim=optim, schedule=SCHEDULE_126K)


def centernet_r101_512() -> Recipe:
    """`centernet_r50_512` with ResNet-101."""
    recipe = centernet_r50_512()
    model = replace(recipe.model, backbone=replace(recipe.model.backbone, depth=101))
    return replace(recipe, row="centernet_r101_512", model=model)


def centernet_dla34_512() -> Recipe:
    """CenterNet DLA-34 on windows of 512 px, 230 epochs (the authors')."""
    from cvzoo.nn.dla_up import DLAUpConfig
    from cvzoo.nn.timm_backbone import TimmConfig
    from cvzoo.parts.heatmap.frame import Frame
    from cvzoo.parts.heatmap.targets import GaussianConfig
    from cvzoo.zoo.centernet.model import CenterNetConfig

    model = CenterNetConfig(
        backbone=TimmConfig(name="dla34", norm="batch"),
        neck=DLAUpConfig(),
        head_channels=256,
        gaussian=GaussianConfig(min_overlap=0.7, rule="undivided", round_up=True),
        margin=1.0,
        clamp=1e-4,
        normaliser="objects",
        frame=Frame(),
    )
    return Recipe(
        row="centernet_dla34_512",
        model=model,
        backbone_weights="imagenet",
        data=COCO_512,
        optim=Optim(name="adamw", lr=5e-4, weight_decay=0.0),
        schedule=SCHEDULE_230E,
    )


def centernet_hourglass104_512() -> Recipe:
    """`centernet_dla34_512` with Hourglass-104, 50 epochs (the authors'), from random weights."""
    from cvzoo.nn.hourglass import HourglassConfig
    from cvzoo.parts.heatmap.frame import Frame

    recipe = centernet_dla34_512()
    model = replace(recipe.model, backbone=HourglassConfig(), neck=None, frame=Frame(mask=127))
    optim = replace(recipe.optim, lr=2.5e-4)
    return replace(
        recipe,
        row="centernet_hourglass104_512",
        model=model,
        backbone_weights=None,
        optim=optim,
        schedule=SCHEDULE_50E,
    )


def centernet_lite0_320_mini() -> Recipe:
    """CenterNet with EfficientNet-Lite0 on 285 COCO images at 320 px: real data in minutes on 2 CPU cores.

    One cell learns each object. On a map of stride 16 there are few others, and they see enough of the image to tell 80
    classes apart after a few hundred iterations; finer maps learn the images by heart before they do.
    """
    from cvzoo.nn.dla_up import DLAUpConfig
    from cvzoo.nn.pixels import MINUS_ONE_TO_ONE
    from cvzoo.zoo.centernet.model import CenterNetConfig

    model = CenterNetConfig(
        backbone=settings.lite0(),
        neck=DLAUpConfig(conv="plain", first_level=4, min_channels=128),
        head_channels=128,
        pixels=MINUS_ONE_TO_ONE,
    )
    recipe = settings.lasting(settings.mini("centernet_lite0_320_mini", model), iterations=2000)
    return replace(recipe, data=replace(recipe.data, zoom=(0.7, 1.2), shift=0.1, colour_jitter=0.3))


def centernet_r18_shapes() -> Recipe:
    """CenterNet on drawn shapes from random weights; minutes on 2 CPU cores. One cell learns each object: that takes
    longer than where many do."""
    from cvzoo.nn.dla_up import DLAUpConfig
    from cvzoo.zoo.centernet.model import CenterNetConfig

    model = CenterNetConfig(
        num_classes=3,
        backbone=settings.narrow_resnet(depth=18, width=32),
        neck=DLAUpConfig(conv="plain"),
        head_channels=32,
    )
    return settings.lasting(settings.shapes("centernet_r18_shapes", model), iterations=1000)


AUTHORS = "https://github.com/xingyizhou/CenterNet/blob/master/readme/MODEL_ZOO.md"
CVPODS = "detection/coco/centernet/centernet"
SYSTEM = System(
    name="CenterNet",
    papers={"1904.07850": "Objects as Points"},
    module=__name__,
    rows=(
        Row(
            recipe=centernet_r18_512,
            backbone="R-18",
            schedule="140 epochs of 512 px",
            published=(
                mmdetection(
                    "centernet/centernet_resnet18_140e_coco/centernet_resnet18_140e_coco_20210705_093630-bb5b3bf7",
                    box_AP=0.259,
                ),
            ),
        ),
        Row(
            recipe=centernet_r18_dcn_512,
            backbone="R-18-DCN",
            schedule="140 epochs of 512 px",
            published=(
                mmdetection(
                    "centernet/centernet_resnet18_dcnv2_140e_coco"
                    "/centernet_resnet18_dcnv2_140e_coco_20210702_155131-c8cd631f",
                    box_AP=0.295,
                ),
            ),
            references=(
                cvpods(f"{CVPODS}.res18.coco.512size", box_AP=0.298),
                Reference(name="authors", results={"box_AP": 0.281}, page=AUTHORS),
            ),
        ),
        Row(
            recipe=centernet_r50_512,
            backbone="R-50-DCN",
            schedule="126k it of 512 px",
            references=(cvpods(f"{CVPODS}.res50.coco.512size", box_AP=0.349),),
        ),
        Row(
            recipe=centernet_r101_512,
            backbone="R-101-DCN",
            schedule="126k it of 512 px",
            references=(
                cvpods("README.md", box_AP=0.368),
                Reference(name="authors", results={"box_AP": 0.346}, page=AUTHORS),
            ),
        ),
        Row(
            recipe=centernet_dla34_512,
            backbone="DLA-34-DCN",
            schedule="230 epochs of 512 px",
            references=(Reference(name="authors", results={"box_AP": 0.374}, page=AUTHORS),),
        ),
        Row(
            recipe=centernet_hourglass104_512,
            backbone="Hourglass-104",
            schedule="50 epochs of 512 px",
            references=(Reference(name="authors", results={"box_AP": 0.403}, page=AUTHORS),),
        ),
        Row(recipe=centernet_lite0_320_mini, backbone="EfficientNet-Lite0", data="COCO mini", schedule="2000 it"),
        Row(recipe=centernet_r18_shapes, backbone="R-18, 1/2 width", data="shapes", schedule="1000 it"),
    ),
)
