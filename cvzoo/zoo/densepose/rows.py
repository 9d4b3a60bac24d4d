"""The rows of DensePose R-CNN. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cvzoo.recipes import Optim, Recipe, Schedule, settings
from cvzoo.recipes.data_sets import COCO_DENSE_POSE, FIGURES, MULTI_SCALE
from cvzoo.zoo.published import DETECTRON2, detectron2, original
from cvzoo.zoo.system import Published, Reference, Row, System

SCHEDULE_S1X = Schedule(iterations=130_000, milestones=(100_000, 120_000), warmup_factor=0.1)


def densepose_r50_fpn_s1x() -> Recipe:
    """DensePose R-CNN R-50-FPN as detectron2 had it in 2019, 130 000 iterations of 16 images at 800 px (1802.00434)."""
    from cvzoo.zoo.densepose.model import DensePoseConfig

    return Recipe(
        row="densepose_r50_fpn_s1x",
        model=DensePoseConfig(),
        backbone_weights="imagenet",
        data=replace(COCO_DENSE_POSE, flip_uv_self_parts=False),
        optim=Optim(lr=0.002),
        schedule=SCHEDULE_S1X,
    )


def densepose_r50_fpn_s1x_ms() -> Recipe:
    """`densepose_r50_fpn_s1x` on short sides of 640 to 800 px."""
    recipe = densepose_r50_fpn_s1x()
    return replace(recipe, row="densepose_r50_fpn_s1x_ms", data=replace(recipe.data, short_sides=MULTI_SCALE))


def densepose_r101_fpn_s1x() -> Recipe:
    """`densepose_r50_fpn_s1x` with ResNet-101."""
    recipe = densepose_r50_fpn_s1x()
    backbone = replace(recipe.model.backbone, depth=101)
    return replace(recipe, row="densepose_r101_fpn_s1x", model=replace(recipe.model, backbone=backbone))


def densepose_r101_fpn_s1x_ms() -> Recipe:
    """`densepose_r101_fpn_s1x` on short sides of 640 to 800 px."""
    recipe = densepose_r101_fpn_s1x()
    return replace(recipe, row="densepose_r101_fpn_s1x_ms", data=replace(recipe.data, short_sides=MULTI_SCALE))


def densepose_r18_fpn_shapes() -> Recipe:
    """DensePose R-CNN on drawn people from random weights; a few minutes on 2 CPU cores."""
    from cvzoo.nn.roi_pool import RoIPoolConfig
    from cvzoo.parts.rcnn import small
    from cvzoo.zoo.densepose.head import SurfaceHeadConfig
    from cvzoo.zoo.densepose.model import DensePoseConfig

    model = DensePoseConfig(
        backbone=settings.narrow_resnet(depth=18, width=32),
        fpn=small.pyramid(),
        rpn=small.rpn(sizes=(8, 16, 32, 64, 128)),
        box_head=small.BOX_HEAD,
        surface_head=SurfaceHeadConfig(
            pool=RoIPoolConfig(size=14, strides=(4,)),
            decoder_channels=64,
            convs=4,
            channels=64,
            coarse_parts=2,
            half_cells=True,
            coarse_loss_weight=5.0,
            part_loss_weight=1.0,
            uv_loss_weight=0.02,
        ),
    )
    return replace(settings.shapes("densepose_r18_fpn_shapes", model), data=FIGURES)


PAGE = "projects/DensePose/doc/DENSEPOSE_IUV.md"
OF_2019 = "taken for detectron2's recipe of 2019"
"""The page does not say which: its figures at several sizes are nearest to those."""


def _detectron2(path: str, name: str, note: str, box: float, gps: float) -> Published:
    store = "https://dl.fbaipublicfiles.com/densepose"
    return detectron2(path, name=name, page=PAGE, note=note, store=store, box_AP=box, gps_AP=gps)


def _of_2019(mem_gb: float, train: float, inf: float, box: float, gps: float) -> Reference:
    """What detectron2 stated of the same recipe before it mirrored U and V of the torso, too."""
    page = f"{DETECTRON2.replace('main', 'eb63aed8')}/projects/DensePose/doc/MODEL_ZOO.md"
    return Reference(
        name="detectron2",
        results={"box_AP": box, "gps_AP": gps},
        page=page,
        note="October 2019",
        mem_gb=mem_gb,
        train_s_per_iter=train,
        inf_s_per_im=inf,
    )


LEGACY = "U and V of the torso mirrored, too"
DECODER = "decoder, 2 coarse parts, finer maps"
DEEPLAB = f"{DECODER}, DeepLab head"
CONFIDENCE = {
    "WC1": "confidence of U and V",
    "WC2": "confidence of U and V by direction",
    "WC1M": "confidence of U and V, and of parts",
    "WC2M": "confidence of U and V by direction, and of parts",
}


def _with_confidence(body: str, *files: tuple[str, str, float, float]) -> Iterator[Published]:
    """Of a body: the variant, the file, box AP and GPS AP."""
    for variant, file, box, gps in files:
        head, _, kind = variant.rpartition("_")
        yield _detectron2(
            f"densepose_rcnn_{body}_FPN_{variant}_s1x/{file}",
            name=f"detectron2_{'deeplab_' if head else ''}{kind.lower()}",
            note=f"{DEEPLAB if head else DECODER}, {CONFIDENCE[kind]}",
            box=box,
            gps=gps,
        )


SYSTEM = System(
    name="DensePose",
    papers={"1802.00434": "DensePose: Dense Human Pose Estimation In The Wild"},
    module=__name__,
    rows=(
        Row(
            recipe=densepose_r50_fpn_s1x,
            task="pose",
            backbone="R-50-FPN",
            data="COCO DensePose",
            schedule="s1x",
            references=(original(note=OF_2019, box_AP=0.556, gps_AP=0.463),),
        ),
        Row(
            recipe=densepose_r50_fpn_s1x_ms,
            task="pose",
            backbone="R-50-FPN",
            data="COCO DensePose",
            schedule="s1x, 640-800",
            published=(
                _detectron2(
                    "densepose_rcnn_R_50_FPN_s1x_legacy/164832157/model_final_d366fa",
                    name="detectron2_legacy",
                    note=LEGACY,
                    box=0.581,
                    gps=0.521,
                ),
                _detectron2(
                    "densepose_rcnn_R_50_FPN_s1x/165712039/model_final_162be9",
                    name="detectron2",
                    note=DECODER,
                    box=0.612,
                    gps=0.637,
                ),
                _detectron2(
                    "densepose_rcnn_R_50_FPN_DL_s1x/165712097/model_final_0ed407",
                    name="detectron2_deeplab",
                    note=DEEPLAB,
                    box=0.611,
                    gps=0.656,
                ),
                *_with_confidence(
                    "R_50",
                    ("WC1", "173862049/model_final_289019", 0.605, 0.642),
                    ("WC2", "173861455/model_final_3abe14", 0.607, 0.642),
                    ("DL_WC1", "173067973/model_final_b1e525", 0.611, 0.658),
                    ("DL_WC2", "173859335/model_final_60fed4", 0.608, 0.656),
                    ("WC1M", "217144516/model_final_48a9d9", 0.606, 0.640),
                    ("WC2M", "216245640/model_final_d79ada", 0.607, 0.642),
                    ("DL_WC1M", "216245703/model_final_61971e", 0.607, 0.652),
                    ("DL_WC2M", "216245758/model_final_7bfb43", 0.608, 0.650),
                ),
            ),
            references=(
                original(note=OF_2019, box_AP=0.576, gps_AP=0.498),
                _of_2019(mem_gb=3.2, train=0.281, inf=0.064, box=0.578, gps=0.498),
            ),
        ),
        Row(
            recipe=densepose_r101_fpn_s1x,
            task="pose",
            backbone="R-101-FPN",
            data="COCO DensePose",
            schedule="s1x",
            references=(original(note=OF_2019, box_AP=0.573, gps_AP=0.491),),
        ),
        Row(
            recipe=densepose_r101_fpn_s1x_ms,
            task="pose",
            backbone="R-101-FPN",
            data="COCO DensePose",
            schedule="s1x, 640-800",
            published=(
                _detectron2(
                    "densepose_rcnn_R_101_FPN_s1x_legacy/164832182/model_final_10af0e",
                    name="detectron2_legacy",
                    note=LEGACY,
                    box=0.595,
                    gps=0.532,
                ),
                _detectron2(
                    "densepose_rcnn_R_101_FPN_s1x/165712084/model_final_c6ab63",
                    name="detectron2",
                    note=DECODER,
                    box=0.623,
                    gps=0.645,
                ),
                _detectron2(
                    "densepose_rcnn_R_101_FPN_DL_s1x/165712116/model_final_844d15",
                    name="detectron2_deeplab",
                    note=DEEPLAB,
                    box=0.623,
                    gps=0.663,
                ),
                *_with_confidence(
                    "R_101",
                    ("WC1", "171402969/model_final_9e47f0", 0.625, 0.649),
                    ("WC2", "173860702/model_final_5ea023", 0.623, 0.648),
                    ("DL_WC1", "173858525/model_final_f359f3", 0.620, 0.662),
                    ("DL_WC2", "173294801/model_final_6e1ed1", 0.617, 0.659),
                    ("WC1M", "216453687/model_final_0a7287", 0.620, 0.648),
                    ("WC2M", "216245682/model_final_e354d9", 0.625, 0.645),
                    ("DL_WC1M", "216245771/model_final_0ebeb3", 0.620, 0.664),
                    ("DL_WC2M", "216245790/model_final_de6e7a", 0.619, 0.661),
                ),
            ),
            references=(
                original(note=OF_2019, box_AP=0.595, gps_AP=0.512),
                _of_2019(mem_gb=4.3, train=0.365, inf=0.076, box=0.595, gps=0.511),
            ),
        ),
        Row(
            recipe=densepose_r18_fpn_shapes,
            task="pose",
            backbone="R-18-FPN, 1/2 width",
            data="shapes",
            schedule="500 it",
        ),
    ),
)
