"""Whose weights PSPNet loads: mmsegmentation 1.2.2 `configs/_base_/models/pspnet_r50-d8.py`."""

from __future__ import annotations

from functools import partial

from cvzoo.parts.semantic.fitted import fitted_segmenter
from cvzoo.weights.keys import segmenter
from cvzoo.weights.keys.rename import Rules, State
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.pspnet.model import PSPNetConfig

MMSEGMENTATION = PSPNetConfig()
"""Our defaults."""
HEAD: Rules = (
    (r"\.psp_modules\.(\d)\.1\.", r".pyramid.branches.\1."),
    (r"\.bottleneck\.", ".fuse."),
)


def from_mmsegmentation(state: State) -> State:
    return segmenter.from_mmsegmentation(state, HEAD)


WHAT = "PSPNet"
SOURCES = (
    own(WHAT, Marker(has=(segmenter.OURS, r"^head\.pyramid\."))),
    Source(
        name="mmsegmentation",
        what=WHAT,
        marker=Marker(has=(r"^decode_head\.psp_modules\.",)),
        translate=from_mmsegmentation,
        config=partial(fitted_segmenter, MMSEGMENTATION),
        types=("PSPHead",),
    ),
)
