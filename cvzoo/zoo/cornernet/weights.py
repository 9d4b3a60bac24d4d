"""Whose weights CornerNet loads.

Sources: mmdetection 3 `configs/cornernet`; the authors' princeton-vl/CornerNet.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from cvzoo.nn.pixels import Pixels
from cvzoo.ops.soft_nms import SoftNMSConfig
from cvzoo.parts.heatmap.frame import Frame
from cvzoo.weights.class_count import with_classes_of
from cvzoo.weights.keys import hourglass
from cvzoo.weights.keys.rename import Rules, State, renamed
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.cornernet.model import CornerNetConfig
from cvzoo.zoo.cornernet.tags import TagLoss

SIZES = ("backbone", "pool_channels", "branch_channels", "head_norm_groups")
"""Options that are the row's."""
MMDETECTION = CornerNetConfig(focal_epsilon=1e-12, clip="left_top")
"""`cornernet_hourglass104_10xb5-crop511-210e-mstest_coco`."""
AUTHORS = CornerNetConfig(
    pixels=Pixels(
        mean=(0.40789654 * 255, 0.44719302 * 255, 0.47026115 * 255),
        std=(0.28863828 * 255, 0.27408164 * 255, 0.27809835 * 255),
        bgr=True,
        divisor=1,
    ),
    frame=Frame(mask=127, extra=0),
    focal_clamp=1e-4,
    offsets_of="objects",
    # means over the two hourglasses there, sums here
    tags=TagLoss(pull_weight=0.05, push_weight=0.05, epsilon=1e-4),
    nms=SoftNMSConfig(extent=1.0),
)
"""The authors' repository, which gives with every image its mirror image."""
CORNERS = ("tl", "top_left"), ("br", "bottom_right")
"""Their names of the two kinds of corners, and ours."""
MMDETECTION_HEAD: Rules = (
    *((rf"^bbox_head\.{theirs}_(\w+)\.(\d)\.", rf"head.{ours}.\2.\1.") for theirs, ours in CORNERS),
    (r"^(head\.\w+\.\d\.pool)\.direction1_conv\.", r"\1.before.0."),
    (r"^(head\.\w+\.\d\.pool)\.direction2_conv\.", r"\1.before.1."),
    (r"^(head\.\w+\.\d\.pool)\.aftpool_conv\.", r"\1.after."),
    (r"^(head\.\w+\.\d\.pool)\.conv1\.", r"\1.shortcut."),
    (r"^(head\.\w+\.\d\.pool)\.conv2\.", r"\1.out."),
    (r"^(head\.\w+\.\d)\.emb\.", r"\1.tag."),
    (r"^(head\.\w+\.\d)\.off\.", r"\1.offset."),
    (r"^(head\.\w+\.\d\.\w+)\.0\.conv\.", r"\1.conv."),
    (r"^(head\.\w+\.\d\.\w+)\.1\.conv\.", r"\1.out."),
)
AUTHORS_HEAD: Rules = (
    *((rf"^{theirs}_cnvs\.(\d)\.", rf"head.{ours}.\1.pool.") for theirs, ours in CORNERS),
    *((rf"^{theirs}_(\w+)s\.(\d)\.", rf"head.{ours}.\2.\1.") for theirs, ours in CORNERS),
    (r"^(head\.\w+\.\d\.pool)\.p1_conv1\.", r"\1.before.0."),
    (r"^(head\.\w+\.\d\.pool)\.p2_conv1\.", r"\1.before.1."),
    (r"^(head\.\w+\.\d\.pool)\.p_conv1\.", r"\1.after.conv."),
    (r"^(head\.\w+\.\d\.pool)\.p_bn1\.", r"\1.after.norm."),
    (r"^(head\.\w+\.\d\.pool)\.conv1\.", r"\1.shortcut.conv."),
    (r"^(head\.\w+\.\d\.pool)\.bn1\.", r"\1.shortcut.norm."),
    (r"^(head\.\w+\.\d\.pool)\.conv2\.", r"\1.out."),
    (r"^(head\.\w+\.\d)\.regr\.", r"\1.offset."),
    (r"^(head\.\w+\.\d\.\w+)\.0\.conv\.", r"\1.conv."),
    (r"^(head\.\w+\.\d\.\w+)\.1\.", r"\1.out."),
)


def from_mmdetection(state: State) -> State:
    return renamed(state, (*hourglass.MMDETECTION, *MMDETECTION_HEAD))


def from_authors(state: State) -> State:
    return renamed(state, (*hourglass.ORIGINAL, *AUTHORS_HEAD))


def sized(convention: CornerNetConfig, state: State, row: CornerNetConfig) -> CornerNetConfig:
    """The toolbox's convention, as large as the row's and with as many outputs as the state has."""
    sizes = {name: getattr(row, name) for name in SIZES}
    sizes["backbone"] = replace(row.backbone, norm=convention.backbone.norm)
    return with_classes_of(state, replace(convention, **sizes))


WHAT = "CornerNet"
SOURCES = (
    own(WHAT, Marker(has=(r"^head\.top_left\.\d\.pool\.", r"^head\.bottom_right\.\d\.tag\."))),
    Source(
        name="mmdetection",
        what=WHAT,
        marker=Marker(has=(r"^bbox_head\.tl_pool\.", r"^bbox_head\.br_emb\.")),
        translate=from_mmdetection,
        config=partial(sized, MMDETECTION),
        types=("CornerHead",),
    ),
    Source(
        name="princeton-vl/CornerNet",
        what=WHAT,
        marker=Marker(has=(r"^(module\.)?tl_cnvs\.", r"^(module\.)?br_tags\.")),
        translate=from_authors,
        config=partial(sized, AUTHORS),
    ),
)
