"""The commands of docs/command-line.md, executed as they stand there, and the status it promises."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from guides import BLOCK, ROOT, execute

import cvzoo
from cvzoo.cli import PLAIN_COMMANDS


def test_every_command_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    blocks = BLOCK.findall((ROOT / "docs/command-line.md").read_text())
    # whether `head` is gone before `list` ends is a matter of chance, and pipefail would tell
    listed, _ = (
        execute(language, text.replace("| head -3", "| sed -n 1,3p"), tmp_path) for _, language, text in blocks
    )
    assert listed.splitlines()[0].startswith("row  ")
    assert len(listed.splitlines()) == 3
    rows, row, machine = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("rows", "row", "machine"))
    assert {line["row"] for line in rows} < set(cvzoo.rows())
    assert row["recipe"]["row"] == "mask_rcnn_r50_fpn_1x"
    assert {"cause", "remedy", "state"} < machine[0].keys()
    scripts = (".local/share/bash-completion/completions/cvzoo", ".zfunc/_cvzoo", ".config/fish/completions/cvzoo.fish")
    assert all("mask_rcnn_r50_fpn_1x" in (tmp_path / name).read_text() for name in scripts)
    assert (tmp_path / ".zfunc/_cvzoo").read_text().startswith("#compdef cvzoo\n")


def test_every_listing_takes_json() -> None:
    text = (ROOT / "docs/command-line.md").read_text()
    takes = [name for name, function in PLAIN_COMMANDS.items() if "json" in function.__annotations__]
    assert sorted([*takes, "prove", "show"]) == ["compare", "data check", "doctor", "list", "mirror", "prove", "show"]
    assert "`cvzoo list`, `show`, `compare`, `data check`, `doctor`, `mirror` and `prove` take `--json`" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_command_with_its_status(number: signal.Signals, tmp_path: Path) -> None:
    code = (
        "import os, signal, cvzoo.cli as cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # jobs in the background are born ignoring it
        f"cli.PLAIN_COMMANDS['doctor'] = lambda: os.kill(os.getpid(), {int(number)})\n"
        "raise SystemExit(cli.main(['doctor']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr
    assert done.returncode in (128 + number, -number)  # a shell shows both as 128 + the number
