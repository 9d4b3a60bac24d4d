"""Random faults in tiny training runs: what each leaves behind, and whether the repeated command puts it right.

A run is signalled, killed, short of disk, or given a damaged image or checkpoint, at a random moment. Its command is
then repeated until it ends well; whoever is told of a damaged file first puts it right. A fault is survived if

- every run ends by the signal (after the last iteration there is nothing to save), or with status 0, 143 or 2, and
  with 2 it has said why, without a traceback;
- all its processes end;
- the last run's weights, metrics and curve are those of an undisturbed run, bit for bit.

    PYTHONPATH=tests python benchmarks/faults.py --faults 60 --seed 0
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from common import report
from engine.on_files import on_files, write
from engine.processes import Started, train
from engine.tiny import losses
from safetensors.torch import load_file

from cvzoo.engine.checkpoint import CHECKPOINT, WEIGHTS
from cvzoo.engine.dist import LOST
from cvzoo.recipes import Recipe

ITERATIONS = 8
RUNS = 6
"""A run that is not done after so many tries never will be."""
HANG = 120
"""Seconds after which a run is said to hang."""


@dataclass
class Trial:
    """A run, and the fault it meets."""

    folder: Path
    kind: str
    workers: int
    world: int
    random: np.random.Generator
    wrong: list[str] = field(default_factory=list)
    """What should not have been."""
    runs: int = 0
    seconds: float = 0.0
    repeated: int = 0
    """Iterations that were done again."""
    done: int = 0
    """Iterations that are known to be done."""

    @property
    def recipe(self) -> Recipe[Any]:
        changed = {"data__workers": self.workers, "run__checkpoint_every": 3, "run__eval_every": 5}
        return on_files(self.folder, schedule__iterations=ITERATIONS, **changed)

    def run(self, disturb: Callable[[Started], object] = lambda started: None) -> bool:
        """Run the command once, disturbed or not; returns whether it ended well."""
        self.runs += 1
        begun = time.perf_counter()
        started = train(self.recipe, self.folder, self.world)
        disturb(started)
        statuses = started.wait(HANG)
        said = "".join(started.said())
        self.seconds += time.perf_counter() - begun
        if None in statuses:
            os.killpg(started.group, signal.SIGKILL)
            self.wrong.append(f"hangs, {statuses}: {said[-500:]}")
        if set(statuses) - {0, 2, 143, -signal.SIGTERM, -signal.SIGKILL, None}:
            self.wrong.append(f"ended with {statuses}: {said[-2000:]}")
        if "Traceback" in said:
            self.wrong.append(f"traceback: {said[-3000:]}")
        told = said.count("cvzoo: error:")
        told -= said.count(LOST) if told > 1 else 0  # from who noticed too late to be told
        if 2 in statuses and told != 1:
            self.wrong.append(f"told {told} times: {said[-2000:]}")
        self._count(said)
        return not any(statuses)

    def _count(self, said: str) -> None:
        """Take in how far the run says it has come, and from where."""
        for line in said.splitlines():
            if ": iteration " in line:
                self.repeated += max(self.done - int(line.split(": iteration ")[1].split()[0]), 0)
            if logged := re.match(r"\[(\d+)/", line):
                self.done = int(logged[1])

    def at_random_moment(self, act: Callable[[Started], object]) -> Callable[[Started], None]:
        """Act after a random iteration, the last one included, or before the first."""
        iteration, delay = self.random.integers(ITERATIONS + 1), self.random.uniform(0, 0.2)

        def disturb(started: Started) -> None:
            awaited = f"[{iteration}/" if iteration else "learning rate"
            while awaited not in started.said()[0] and started.processes[0].is_alive():
                time.sleep(0.002)
            time.sleep(delay)
            act(started)

        return disturb


def undisturbed(folder: Path, world: int) -> Trial:
    """The run that all others with as many processes are compared to."""
    write(folder / "data")
    trial = Trial(folder, "none", 0, world, np.random.default_rng(0))
    assert trial.run(), "the undisturbed run must end well"
    return trial


def compare(trial: Trial, whole: Trial) -> None:
    """Note where a finished run differs from the undisturbed one, or leaves something behind."""
    mine, other = trial.recipe.folder, whole.recipe.folder
    ours, theirs = load_file(mine / WEIGHTS), load_file(other / WEIGHTS)
    if any(not ours[name].equal(tensor) for name, tensor in theirs.items()):
        trial.wrong.append("other weights")
    if (mine / "metrics.json").read_bytes() != (other / "metrics.json").read_bytes():
        trial.wrong.append("other metrics")
    if losses(mine) != losses(other):
        trial.wrong.append("another curve")
    if strange := {path.name for path in mine.iterdir()} - {path.name for path in other.iterdir()}:
        trial.wrong.append(f"left behind: {strange}")


# Faults


def kill(trial: Trial, started: Started, rank: int) -> None:
    """Like the system does when memory is short."""
    if started.processes[rank].is_alive():
        started.processes[rank].kill()


def kill_worker(trial: Trial, started: Started) -> None:
    """A loader worker of one of the processes, if any is left."""
    pid = started.processes[trial.random.integers(trial.world)].pid
    with suppress(OSError, ValueError):  # it has ended
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        os.kill(int(trial.random.choice(workers)), signal.SIGKILL)


def terminate(started: Started) -> None:
    """As a queue system does: the whole group."""
    with suppress(ProcessLookupError):  # all have ended
        os.killpg(started.group, signal.SIGTERM)


def disturbed(trial: Trial, whole: Trial) -> None:
    """The first run or runs, with the fault, and what its user does about it."""
    match trial.kind:
        case "SIGTERM":
            trial.run(trial.at_random_moment(terminate))
        case "SIGKILL of main":
            trial.run(trial.at_random_moment(lambda started: kill(trial, started, 0)))
        case "SIGKILL of the second":
            trial.run(trial.at_random_moment(lambda started: kill(trial, started, 1)))
        case "SIGKILL of a worker":
            trial.run(trial.at_random_moment(lambda started: kill_worker(trial, started)))
        case "full disk":
            full_disk(trial, whole)
        case "unreadable image":
            unreadable_image(trial)
        case "truncated checkpoint":
            truncated_checkpoint(trial)


def full_disk(trial: Trial, whole: Trial) -> None:
    """A disk that has room for a part of the run; then a larger one."""
    needed = sum(path.stat().st_size for path in whole.recipe.run.out.rglob("*") if path.is_file())
    size = int(needed * trial.random.uniform(0.05, 1.2)) // 4096 * 4096
    out = trial.recipe.run.out
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "cvzoo-faults", out], check=True)
    trial.run()
    subprocess.run(["mount", "-o", f"remount,size={16 * needed}", out], check=True)


def unreadable_image(trial: Trial) -> None:
    """One of either split, of which only the head is left."""
    file = trial.folder / "data" / trial.random.choice(["train", "val"]) / f"{trial.random.integers(4)}.png"
    whole = file.read_bytes()
    file.write_bytes(whole[: trial.random.integers(len(whole))])
    if trial.run():
        trial.wrong.append("did not notice the image")
    elif file.name not in "".join((trial.folder / f"said-{rank}.txt").read_text() for rank in range(trial.world)):
        trial.wrong.append("did not name the image")
    file.write_bytes(whole)


def truncated_checkpoint(trial: Trial) -> None:
    """As after a power cut on a disk that lies about what it has written. Told of it, the user deletes it."""
    trial.run(trial.at_random_moment(terminate))
    file = trial.recipe.folder / CHECKPOINT
    if not file.exists():
        return
    content = file.read_bytes()
    file.write_bytes(content[: trial.random.integers(len(content))])
    if trial.run():
        trial.wrong.append("did not notice the checkpoint")
    file.unlink()


def can_mount() -> bool:
    """Whether the system lets us make a small disk."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "cvzoo-faults", folder], capture_output=True, check=False)
        if mounted.returncode == 0:
            subprocess.run(["umount", folder], check=True)
    return mounted.returncode == 0


def drawn(number: int, seed: int, folder: Path, mounts: bool) -> Trial:
    """The trial of that number."""
    random = np.random.default_rng([seed, number])
    kinds = ["SIGTERM", "SIGKILL of main", "unreadable image", "truncated checkpoint"] + ["full disk"] * mounts
    workers, world = int(random.choice([0, 2])), int(random.choice([1, 2]))
    kinds += ["SIGKILL of a worker"] * (workers > 0) + ["SIGKILL of the second"] * (world > 1)
    write(folder / "data")
    return Trial(folder, str(random.choice(kinds)), workers, world, random)


def tried(trial: Trial, whole: Trial) -> None:
    """The fault, then the command again until it is done."""
    disturbed(trial, whole)
    while not trial.run():
        if trial.runs == RUNS:
            trial.wrong.append(f"not done after {RUNS} runs")
            return
    compare(trial, whole)


def main(faults: int = 60, seed: int = 0, first: int = 0) -> None:
    """Try so many faults.

    Args:
        faults: how many.
        seed: of all that is random.
        first: the number of the first one, to try one again.
    """
    mounts = can_mount()
    if not mounts:
        print("no full disks are tried: this system does not let us mount a tmpfs")
    kinds, survived, trials = Counter[str](), 0, []
    with tempfile.TemporaryDirectory(prefix="cvzoo-faults-") as name:
        base = Path(name)
        whole = {world: undisturbed(base / f"whole-{world}", world) for world in (1, 2)}
        for number in range(first, first + faults):
            trial = drawn(number, seed, base / str(number), mounts)
            tried(trial, whole[trial.world])
            if trial.kind == "full disk":
                subprocess.run(["umount", "--lazy", trial.recipe.run.out], check=True)
            shutil.rmtree(trial.folder)
            kinds[trial.kind] += 1
            survived += not trial.wrong
            trials.append(trial)
            where = f"{trial.workers} workers, {trial.world} processes, {trial.runs} runs, {trial.repeated} repeated"
            print(f"{number} {trial.kind}: {where}: {'; '.join(trial.wrong) or 'survived'}", flush=True)
        lost = [trial.seconds - whole[trial.world].seconds for trial in trials]
    report(
        "faults",
        tried=faults,
        survived=survived,
        kinds=dict(kinds),
        iterations_repeated=sum(trial.repeated for trial in trials),
        seconds_lost=sum(lost),
        seconds_lost_at_most=max(lost),
        seconds_of_a_run={world: trial.seconds for world, trial in whole.items()},
    )


if __name__ == "__main__":
    tyro.cli(main)
