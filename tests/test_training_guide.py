"""The commands of docs/training.md, executed as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

from guides import BLOCK, ROOT, execute

import cvzoo


def test_every_command_of_the_guide(tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / "docs/training.md").read_text())
    kept, extended, ranged, compared = (execute(language, text, tmp_path) for _, language, text in blocks)
    run = tmp_path / "runs/retinanet_r18_fpn_shapes"
    assert len(re.findall(r"^retinanet_r18_fpn_shapes  box AP ", kept, re.MULTILINE)) == 2
    assert (run / "best.safetensors").exists()
    assert "box AP" in extended
    assert cvzoo.recipe(str(run)).schedule.extended_from == (8,)
    assert re.search(r"--optim\.lr|set --low or --high", ranged)
    assert (tmp_path / "lr_range.png").exists()
    assert re.search(r"^optim\.lr +0\.002 +0\.004$", compared, re.MULTILINE)
    assert (tmp_path / "compare.png").exists()
