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
    ],
)
def test_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"data.{field.replace('_', '-')}"):
        Data(**{field: value})


def test_all_at_once() -> None:
    with pytest.raises(ValueError, match=r"data\.flip .*; data\.workers"):
        Data(flip=2, workers=-1)


def test_imports_no_torch() -> None:
    code = "import sys, cvzoo.data.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
