"""Settings that cannot be meant are refused, each naming its field, all at once."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from cvzoo.data.config import Data


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("short_sides", ()),
        ("short_sides", (8,)),
        ("test_short_side", 8),
        ("max_long_side", 640),
        ("limit", 0),
        ("flip", 1.5),
        ("scale_jitter", (2.0, 1.0)),
        ("scale_jitter", (0.0, 1.0)),
        ("colour_jitter", 1.0),
        ("canvas", (16, 320)),
        ("workers", -1),
        ("window_scales", (0.6, 1.3)),
        ("window_side", 8),
        ("rotation", (10.0, -10.0)),
        ("rotation", (-270.0, 0.0)),
        ("zoom", (1.5, 0.5)),
        ("shear", 45.0),
        ("mosaic", 1.1),
        ("transform", "my.py"),
        ("transform", ":augment"),
    ],
)
def test_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"data.{field.replace('_', '-')}"):
        Data(**{field: value})


def test_label_maps_and_surfaces_refuse_what_cannot_move_them() -> None:
    with pytest.raises(ValueError, match=r"data\.mixup, data\.copy-paste blend or paste objects, .*; leave them out"):
        Data(source="label_maps", mixup=0.5, copy_paste=0.5, mosaic=0.5, rotation=(-10, 10))
    with pytest.raises(ValueError, match=r"data\.rotation cannot move the surfaces of dense pose; leave it out"):
        Data(surfaces=True, rotation=(-10, 10), zoom=(0.5, 2), shift=0.1, mosaic=0.5, mixup=0.5)
    with pytest.raises(ValueError, match=r"data\.vertical-flip, data\.shear, data\.copy-paste cannot move"):
        Data(surfaces=True, vertical_flip=0.5, shear=3, copy_paste=0.1)


def test_all_at_once() -> None:
    with pytest.raises(ValueError, match=r"data\.flip .*; data\.workers"):
        Data(flip=2, workers=-1)


def test_imports_no_torch() -> None:
    code = "import sys, cvzoo.data.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
