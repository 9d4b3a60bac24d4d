"""Start of the command line: median wall and CPU seconds of fresh processes; each is to stay under 0.5 s.

python benchmarks/startup.py [--rounds 7]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import tyro
from common import report

COMMANDS = {
    "help": [str(Path(sys.executable).parent / "cvzoo"), "--help"],
    "list": [str(Path(sys.executable).parent / "cvzoo"), "list"],
    "list_task": [str(Path(sys.executable).parent / "cvzoo"), "list", "--task", "segmentation"],
    "module_list": [sys.executable, "-m", "cvzoo", "list"],
}


def seconds(command: list[str], rounds: int) -> dict[str, float]:
    """Median of `rounds` starts, after one that fills the disk cache."""
    wall, cpu = [], []
    for _ in range(rounds + 1):
        before, start = os.times(), time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        wall.append(time.perf_counter() - start)
        cpu.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return {"wall": round(statistics.median(wall[1:]), 3), "cpu": round(statistics.median(cpu[1:]), 3)}


def main(rounds: int = 7) -> None:
    figures = {name: seconds(command, rounds) for name, command in COMMANDS.items()}
    report("startup", **figures)


if __name__ == "__main__":
    tyro.cli(main)
