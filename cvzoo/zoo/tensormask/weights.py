"""Whose weights TensorMask loads.

Source: detectron2 0.6 `projects/TensorMask/configs/tensormask_*`; cvpods' files have its keys, and P6 from P5.
"""

from __future__ import annotations

from dataclasses import replace

from cvzoo.nn.pixels import CAFFE
from cvzoo.weights.conventions import CAFFE_BODY, as_begun, fitted
from cvzoo.weights.keys import body, dense, pyramid
from cvzoo.weights.keys.rename import Rules, State
from cvzoo.weights.source import Marker, Source, own
from cvzoo.weights.stated.text import model_of
from cvzoo.zoo.tensormask.model import TensorMaskConfig

DETECTRON2 = TensorMaskConfig(backbone=CAFFE_BODY, pixels=CAFFE)
"""`tensormask_R_50_FPN_{1x,6x}`: our defaults on a caffe backbone."""
MASKS: Rules = (
    *((rf"^head\.mask_subnet\.{2 * i}\.", f"head.mask_tower.{i}.conv.") for i in range(8)),
    (r"^head\.mask_fuse\.0\.", "head.mask_fuse.conv."),
    (r"^head\.mask_pred_0*(\d+)\.", r"head.mask_out.\1."),
)
ROWS_OWN = ("tower_convs", "cls_channels", "box_channels", "mask_channels", "windows")
"""Options that no file tells."""


def from_detectron2(state: State) -> State:
    return body.with_detectron2_body(state, (*pyramid.detectron2(state), *dense.detectron2(state), *MASKS))


def detectron2(state: State, row: TensorMaskConfig) -> TensorMaskConfig:
    """Only a bipyramid fuses levels; only the shape of its weight tells what P6 is made of."""
    config = fitted(as_begun(DETECTRON2, state, row), state, row, ROWS_OWN)
    if "head.mask_fuse.conv.weight" not in state:
        config = replace(config, representation="natural" if row.representation == "natural" else "aligned")
    p6, p5 = state.get("neck.extra.0.conv.weight"), state.get("neck.lateral.3.conv.weight")
    if p6 is not None and p5 is not None and p6.shape[1] != p5.shape[1]:
        config = replace(config, fpn=replace(config.fpn, extra_from="output"))
    return config


def representation(config: TensorMaskConfig, record: str) -> TensorMaskConfig:
    """Whether masks are aligned, no key tells: the file's config does."""
    part = model_of(record, "TENSOR_MASK")
    if not part:
        return config
    told = "bipyramid" if part.get("BIPYRAMID_ON") else "aligned" if part.get("ALIGNED_ON") else "natural"
    return replace(config, representation=told)


WHAT = "TensorMask"
SOURCES = (
    own(WHAT, Marker(has=(pyramid.OURS, dense.MASKS))),
    Source(
        name="detectron2",
        what=WHAT,
        marker=Marker(has=(pyramid.DETECTRON2_MARK, dense.DETECTRON2_MASKS)),
        translate=from_detectron2,
        config=detectron2,
        told=representation,
    ),
)
