"""Whose weights DensePose R-CNN loads: detectron2's, of all its chart-based networks.

Sources: detectron2 `projects/DensePose/configs/` of 2026; how the stages are set is in `parts/rcnn/conventions.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from torch import Tensor

from cvzoo.nn.pixels import CAFFE
from cvzoo.parts.rcnn import conventions as stages
from cvzoo.weights.conventions import CAFFE_BODY, fitted
from cvzoo.weights.keys import pyramid, rcnn
from cvzoo.weights.keys.rename import Rules, State, renamed
from cvzoo.weights.source import Marker, Source, own
from cvzoo.weights.stated.detectron2 import pool_in
from cvzoo.weights.stated.section import Section
from cvzoo.weights.stated.text import model_of
from cvzoo.zoo.densepose.head import SurfaceHeadConfig, UVConfidence
from cvzoo.zoo.densepose.model import DensePoseConfig


class Variant(NamedTuple):
    """What sets detectron2's networks apart, and their keys tell."""

    decoder: bool
    deeplab: bool
    uv_confidence: UVConfidence | None
    part_confidence: bool


def _head(variant: Variant) -> SurfaceHeadConfig:
    """As `densepose_rcnn_R_*` has it: `_s1x_legacy` without a decoder, `_s1x`, `_DL_`, `_WC1_`, `_WC2_`, `_WC?M_`."""
    head = SurfaceHeadConfig()
    if variant.decoder:
        head = replace(
            head,
            pool=replace(head.pool, size=28, strides=(4,)),
            decoder_channels=256,
            coarse_parts=2,
            coarse_loss_weight=5.0,
            part_loss_weight=1.0,
            uv_loss_weight=0.01,
        )
    if variant.deeplab:
        head = replace(head, dilations=(6, 12, 56), conv_norm="group")
    if variant.uv_confidence is not None:
        head = replace(head, uv_confidence=variant.uv_confidence, uv_loss_weight=5e-4)
    return replace(head, part_confidence=variant.part_confidence)


VARIANTS = map(Variant._make, product((False, True), (False, True), (None, "isotropic", "anisotropic"), (False, True)))
DETECTRON2 = {
    variant: DensePoseConfig(backbone=CAFFE_BODY, pixels=CAFFE, surface_head=_head(variant)) for variant in VARIANTS
}

HEAD = r"^roi_heads\.densepose_head\."
ASPP = rf"{HEAD}ASPP\."
PREDICTOR = r"^roi_heads\.densepose_predictor\."
OUTPUTS = {
    "ann_index": "coarse",
    "index_uv": "parts",
    "u": "u",
    "v": "v",
    "sigma_2": "spread",
    "kappa_u": "skew_u",
    "kappa_v": "skew_v",
    "fine_segm_confidence": "parts_confidence",
    "coarse_segm_confidence": "coarse_confidence",
}
KEYS: Rules = (
    *(
        (rf"^roi_heads\.decoder\.p{level}\.{2 * i}\.{norm}", f"decoder.levels.{level - 2}.{i}.{ours}")
        for level in range(2, 6)
        for i in range(3)
        for norm, ours in ((r"norm\.", "norm."), ("", "conv."))
    ),
    (r"^roi_heads\.decoder\.predictor\.", "decoder.out."),
    (rf"{ASPP}convs\.0\.0\.", "surface_head.around.0.point.conv."),
    (rf"{ASPP}convs\.0\.1\.", "surface_head.around.0.point.norm."),
    # of the last branch the first layer is the mean
    (rf"{ASPP}convs\.4\.1\.", "surface_head.around.0.pooled.conv."),
    (rf"{ASPP}convs\.4\.2\.", "surface_head.around.0.pooled.norm."),
    *((rf"{ASPP}convs\.{i + 1}\.0\.", f"surface_head.around.0.atrous.{i}.conv.") for i in range(3)),
    *((rf"{ASPP}convs\.{i + 1}\.1\.", f"surface_head.around.0.atrous.{i}.norm.") for i in range(3)),
    (rf"{ASPP}project\.0\.", "surface_head.around.0.fuse.conv."),
    (rf"{HEAD}NLBlock\.theta\.", "surface_head.around.1.query."),
    (rf"{HEAD}NLBlock\.phi\.0\.", "surface_head.around.1.key."),
    (rf"{HEAD}NLBlock\.g\.0\.", "surface_head.around.1.value."),
    (rf"{HEAD}NLBlock\.W\.0\.", "surface_head.around.1.out.conv."),
    (rf"{HEAD}NLBlock\.W\.1\.", "surface_head.around.1.out.norm."),
    *((rf"{HEAD}body_conv_fcn{i + 1}\.norm\.", f"surface_head.convs.{i}.norm.") for i in range(8)),
    *((rf"{HEAD}body_conv_fcn{i + 1}\.", f"surface_head.convs.{i}.conv.") for i in range(8)),
    *((rf"{PREDICTOR}{theirs}_lowres\.", f"surface_head.out.{ours}.") for theirs, ours in OUTPUTS.items()),
)


def from_detectron2(state: Mapping[str, Tensor]) -> State:
    """A network's state of detectron2 under our keys."""
    return renamed(rcnn.from_detectron2(state), KEYS)


def detectron2(state: State, row: DensePoseConfig) -> DensePoseConfig:
    """The variant that a state is of, as large as the row's."""
    skewed = "surface_head.out.skew_u.weight" in state
    variant = Variant(
        decoder="decoder.out.weight" in state,
        deeplab="surface_head.around.0.point.conv.weight" in state,
        uv_confidence="anisotropic" if skewed else "isotropic" if "surface_head.out.spread.weight" in state else None,
        part_confidence="surface_head.out.parts_confidence.weight" in state,
    )
    convention = DETECTRON2[variant]
    sizes = {name: getattr(row.surface_head, name) for name in ("convs", "channels", "norm_groups")}
    head = replace(convention.surface_head, **sizes, non_local="surface_head.around.1.query.weight" in state)
    if head.decoder_channels is not None:
        head = replace(head, decoder_channels=state["decoder.out.weight"].shape[1])
    return fitted(replace(convention, surface_head=head), state, row)


def surface_pool(config: DensePoseConfig, record: str) -> DensePoseConfig:
    """How regions are pooled, no key tells: the file's config does."""
    part = Section(model_of(record, "ROI_DENSEPOSE_HEAD"), "MODEL.ROI_DENSEPOSE_HEAD")
    head = replace(config.surface_head, pool=pool_in(config.surface_head.pool, part))
    part.check("its config")
    return replace(config, surface_head=head)


WHAT = "DensePose"
SOURCES = (
    own(WHAT, Marker(has=(stages.OUR_STAGES, stages.BOX_HEAD, stages.SURFACE_HEAD, pyramid.OURS))),
    Source(
        name="detectron2",
        what=WHAT,
        marker=Marker(has=(stages.DETECTRON2_BOX_HEAD, stages.DETECTRON2_PYRAMID, HEAD, PREDICTOR)),
        translate=from_detectron2,
        config=detectron2,
        told=surface_pool,
    ),
)
