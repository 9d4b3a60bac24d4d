"""Whose weights CenterNet loads: mmdetection 3 `configs/centernet`; cvpods; the authors' xingyizhou/CenterNet.

The authors' networks with ResNets are `resdcn_*`, with deformable convolutions, and `res_*`, without any 3x3
convolutions; `dla_34` has deformable ones, too. cvpods' are `resdcn_*` (`meta_arch/centernet.py`).
"""

from __future__ import annotations

from dataclasses import replace

from cvzoo.nn.deconv import DeconvConfig
from cvzoo.nn.dla_up import DLAUpConfig
from cvzoo.nn.hourglass import HourglassConfig
from cvzoo.nn.pixels import Pixels
from cvzoo.parts.heatmap.frame import Frame
from cvzoo.parts.heatmap.targets import GaussianConfig
from cvzoo.weights.class_count import with_classes_of
from cvzoo.weights.conventions import fitted
from cvzoo.weights.keys import body, hourglass
from cvzoo.weights.keys.rename import Rules, State, renamed
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.centernet.model import CenterNetConfig

SIZES = ("head_channels", "detections")
"""Options that are the row's."""
MMDETECTION = CenterNetConfig(frame=Frame(), clip=False)
"""`centernet_r18_8xb16-crop512-140e_coco` and, with a deformable neck, `centernet_r18-dcnv2_...`."""
CVPODS = CenterNetConfig(
    gaussian=GaussianConfig(min_overlap=0.7, rule="undivided"),
    margin=0.25,
    normaliser="objects",
    frame=Frame(),
    clip=False,
)
"""`centernet.res50.coco.512size` and `centernet.res18.coco.512size`."""
AUTHORS = CenterNetConfig(
    pixels=Pixels(
        mean=(104.01362, 114.034221, 119.916599),
        std=(73.602761, 69.890818, 70.915079),
        bgr=True,
    ),
    gaussian=GaussianConfig(min_overlap=0.7, rule="undivided", round_up=True),
    margin=1.0,
    clamp=1e-4,
    normaliser="objects",
    frame=Frame(),
    clip=False,
)
"""`ctdet` with `res_*` and `resdcn_*`; the statistics of its pixels are of 0..1 there."""
AUTHORS_HOURGLASS = replace(AUTHORS, backbone=HourglassConfig(), neck=None, head_channels=256, frame=Frame(mask=127))
"""`ctdet` with `hourglass`."""
DECONVOLUTIONS = 3
UNUSED_IN_DLA = r"^base\.(fc|level[34]\.project)\."
"""The body's classifier, and convolutions whose outputs nobody takes."""
BRANCHES = {
    "cls": ("heatmap_head", "hm", "cls_head"),
    "size": ("wh_head", "wh", "wh_head"),
    "offset": ("offset_head", "reg", "reg_head"),
}
"""Our name, mmdetection's, the authors', cvpods'."""


def _branches(prefix: str, column: int) -> Rules:
    """A branch is a list there: convolution, ReLU, convolution."""
    return tuple(
        (rf"^{prefix}{theirs[column]}\.{place}\.", f"head.{ours}.{part}.")
        for ours, theirs in BRANCHES.items()
        for place, part in ((0, "conv"), (2, "out"))
    )


def from_mmdetection(state: State) -> State:
    """The neck is one list there: convolution, deconvolution, convolution ..."""
    layers = [
        (rf"^neck\.deconv_layers\.{2 * i + part}\.", f"neck.{name}.{i}.")
        for i in range(DECONVOLUTIONS)
        for part, name in enumerate(("convs", "ups"))
    ]
    rules = (*layers, (r"^(neck\.\w+\.\d)\.(?:bn|gn)\.", r"\1.norm."), *body.MMDETECTION)
    return renamed(state, (*rules, *_branches(r"bbox_head\.", 0)))


def from_cvpods(state: State) -> State:
    """Layers have names there; the body is detectron2's."""
    layers = [
        (rf"^upsample\.deconv{i + 1}\.{theirs}\.", f"neck.{ours}.")
        for i in range(DECONVOLUTIONS)
        for theirs, ours in (
            (r"dcn\.offset_mask_conv", f"convs.{i}.conv.offset"),
            (r"dcn\.dcnv2", f"convs.{i}.conv"),
            ("dcn_bn", f"convs.{i}.norm"),
            ("up_sample", f"ups.{i}.conv"),
            ("up_bn", f"ups.{i}.norm"),
        )
    ]
    branches = [
        (rf"^head\.{theirs[2]}\.{part}_conv\.", f"head.{ours}.{name}.")
        for ours, theirs in BRANCHES.items()
        for part, name in (("feat", "conv"), ("out", "out"))
    ]
    return body.with_detectron2_body(state, (*layers, *branches))


def from_authors(state: State) -> State:
    """The neck is one list there: (deformable convolution, norm, ReLU,) deconvolution, norm, ReLU ..."""
    blocks = ("convs", "ups") if "deconv_layers.0.conv_offset_mask.weight" in state else ("ups",)
    layers = [
        (rf"^deconv_layers\.{3 * (len(blocks) * i + block) + place}\.", f"neck.{name}.{i}.{part}.")
        for i in range(DECONVOLUTIONS)
        for block, name in enumerate(blocks)
        for place, part in enumerate(("conv", "norm"))
    ]
    rules = (*layers, (r"\.conv_offset_mask\.", ".offset."), (r"^(?=(conv1|bn1|layer[1-4])\.)", "backbone."))
    return renamed(state, (*rules, *_branches("", 1)))


def from_authors_dla(state: State) -> State:
    """A step counts its maps from 1 there, the finest being 0."""
    steps = [
        (rf"^{theirs}\.{part}_(?={i + 1}\.)\d", f"neck.{ours}.{name}.{i}")
        for theirs, ours in (*((rf"dla_up\.ida_{step}", f"steps.{step}") for step in range(3)), ("ida_up", "last"))
        for part, name in (("proj", "project"), ("up", "enlarge"), ("node", "node"))
        for i in range(3)
    ]
    layers = ((r"^(neck\..*)\.actf\.0\.", r"\1.norm."), (r"\.conv\.conv_offset_mask\.", ".conv.offset."))
    return renamed(state, (*steps, *layers, (r"^base\.", "backbone.body."), *_branches("", 1)), drop=UNUSED_IN_DLA)


def from_authors_hourglass(state: State) -> State:
    """The branches of all hourglasses are lists there; the last one's are our head."""
    last = max((int(key.split(".")[1]) for key in state if key.startswith("hm.")), default=0)
    branches = [
        (rf"^{theirs}\.{number}\.{place}\.", f"{'head' if number == last else f'earlier.{number}'}.{ours}.{part}.")
        for ours, (_, theirs, _) in BRANCHES.items()
        for number in range(last + 1)
        for place, part in ((r"0\.conv", "conv"), ("1", "out"))
    ]
    return renamed(state, (*branches, *hourglass.ORIGINAL))


def mmdetection(state: State, row: CenterNetConfig) -> CenterNetConfig:
    assert row.neck is not None
    config = fitted(MMDETECTION, state, row, SIZES)
    return replace(config, neck=replace(row.neck, norm="batch", conv_bias=False))


def cvpods(state: State, row: CenterNetConfig) -> CenterNetConfig:
    assert row.neck is not None
    config = fitted(CVPODS, state, row, SIZES)
    return replace(config, neck=replace(row.neck, norm="batch", conv="deform", conv_bias=True))


def authors(state: State, row: CenterNetConfig) -> CenterNetConfig:
    assert row.neck is not None
    config = fitted(AUTHORS, state, row, SIZES)
    if "neck.convs.0.conv.weight" in state:
        return replace(config, neck=replace(row.neck, norm="batch", conv="deform", conv_bias=True))
    channels = tuple(state[f"neck.ups.{i}.conv.weight"].shape[1] for i in range(DECONVOLUTIONS))
    return replace(config, neck=replace(row.neck, norm="batch", conv="none", channels=channels))


def authors_hourglass(state: State, row: CenterNetConfig) -> CenterNetConfig:
    sizes = {name: getattr(row, name) for name in SIZES}
    body = replace(row.backbone, norm="batch")
    return with_classes_of(state, replace(AUTHORS_HOURGLASS, backbone=body, **sizes))


def authors_dla(state: State, row: CenterNetConfig) -> CenterNetConfig:
    assert row.neck is not None
    return replace(fitted(AUTHORS, state, row, SIZES), neck=replace(row.neck, norm="batch"))


def on_dla(config: CenterNetConfig) -> bool:
    return isinstance(config.neck, DLAUpConfig)


def on_hourglasses(config: CenterNetConfig) -> bool:
    return isinstance(config.backbone, HourglassConfig)


def on_others(config: CenterNetConfig) -> bool:
    return isinstance(config.neck, DeconvConfig)


WHAT, WHAT_DLA, WHAT_HOURGLASS = "CenterNet", "CenterNet with deep layer aggregation", "CenterNet with hourglasses"
SOURCES = (
    own(WHAT, Marker(has=(r"^neck\.ups\.", r"^head\.size\.out\.")), on_others),
    own(WHAT_DLA, Marker(has=(r"^neck\.steps\.", r"^head\.size\.out\.")), on_dla),
    own(WHAT_HOURGLASS, Marker(has=(r"^backbone\.hourglasses\.", r"^head\.size\.out\.")), on_hourglasses),
    Source(
        name="mmdetection",
        what=WHAT,
        marker=Marker(has=(r"^neck\.deconv_layers\.", r"^bbox_head\.heatmap_head\.", r"^bbox_head\.wh_head\.")),
        translate=from_mmdetection,
        config=mmdetection,
        types=("CenterNetHead",),
        fits=on_others,
    ),
    Source(
        name="cvpods",
        what=WHAT,
        marker=Marker(has=(r"^upsample\.deconv1\.dcn\.dcnv2\.", r"^head\.wh_head\.", r"^head\.reg_head\.")),
        translate=from_cvpods,
        config=cvpods,
        fits=on_others,
    ),
    Source(
        name="xingyizhou/CenterNet",
        what=WHAT,
        marker=Marker(has=(r"^deconv_layers\.", r"^hm\.", r"^wh\.", r"^reg\.")),
        translate=from_authors,
        config=authors,
        fits=on_others,
    ),
    Source(
        name="xingyizhou/CenterNet",
        what=WHAT_DLA,
        marker=Marker(has=(r"^dla_up\.", r"^ida_up\.", r"^hm\.", r"^wh\.", r"^reg\.")),
        translate=from_authors_dla,
        config=authors_dla,
        fits=on_dla,
    ),
    Source(
        name="xingyizhou/CenterNet",
        what=WHAT_HOURGLASS,
        marker=Marker(has=(r"^kps\.", r"^hm\.", r"^wh\.", r"^reg\.")),
        translate=from_authors_hourglass,
        config=authors_hourglass,
        fits=on_hourglasses,
    ),
)
