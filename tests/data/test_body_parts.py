"""The tables of parts agree with each other."""

from __future__ import annotations

import subprocess
import sys

from cvzoo.data.body_parts import COARSE_MIRRORED, COARSE_OF, COARSE_PARTS, KAPPAS, MIRRORED, PARTS


def test_sizes() -> None:
    assert len(PARTS) == len(set(PARTS)) == 24
    assert len(COARSE_PARTS) == len(set(COARSE_PARTS)) == 14
    assert len(MIRRORED) == len(COARSE_OF) == len(KAPPAS) == 25
    assert len(COARSE_MIRRORED) == 15
    assert set(COARSE_OF) == set(range(15))


def test_mirroring_swaps_left_and_right() -> None:
    for names, mirrored in ((PARTS, MIRRORED), (COARSE_PARTS, COARSE_MIRRORED)):
        assert sorted(mirrored) == list(range(len(names) + 1))
        for part, name in enumerate(names, start=1):
            other = names[mirrored[part] - 1]
            swapped = name.replace("left", "?").replace("right", "left").replace("?", "right")
            assert other == swapped
            assert mirrored[mirrored[part]] == part


def test_a_mirrored_part_lies_in_the_mirrored_coarse_part_and_is_scaled_alike() -> None:
    for part in range(25):
        assert COARSE_OF[MIRRORED[part]] == COARSE_MIRRORED[COARSE_OF[part]]
        assert KAPPAS[MIRRORED[part]] == KAPPAS[part]


def test_imports_no_torch() -> None:
    code = "import sys, cvzoo.data.body_parts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
