"""Several processes: what goes wrong in one of them ends all, and is said once, with its cause."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from engine.on_files import on_files, write
from engine.processes import Started, start, train
from engine.tiny import tiny

from cvzoo.data.shapes import ShapesDataset
from cvzoo.engine import checkpoint
from cvzoo.engine.evaluate import evaluate
from cvzoo.engine.stop import TrainingError, undisturbed, whole_workers
from cvzoo.files import alone_in
from cvzoo.recipes import Recipe
from cvzoo.structures import Sample


def prepared(folder: Path, **changed: Any) -> Recipe[Any]:
    write(folder / "data")
    return on_files(folder, **changed)


def spoil(file: Path) -> None:
    """Keep the head of an image alone, so that its size is known, and nothing else."""
    file.write_bytes(file.read_bytes()[:200])


def ended(started: Started, seconds: float = 120) -> str:
    """What the processes have said, each of which must have ended in time with status 2, without a traceback."""
    statuses = started.wait(seconds)
    said = "".join(started.said())
    assert statuses == [2] * len(statuses), said
    assert "Traceback" not in said
    return said


def until(condition: Callable[[], bool], started: Started) -> None:
    """Look on while the processes work."""
    while not condition():
        assert all(process.is_alive() for process in started.processes), started.said()


@pytest.mark.parametrize(
    ("image", "process"), [("val/0.png", 0), ("val/3.png", 1)], ids=["of the first process", "of the second"]
)
def test_a_bad_image_of_one_process_is_told_once(image: str, process: int, tmp_path: Path) -> None:
    recipe = prepared(tmp_path)
    spoil(tmp_path / "data" / image)
    said = ended(train(recipe, tmp_path, world=2))
    assert said.count("cvzoo: error:") == 1
    assert f"{image}: cannot be decoded" in said
    assert f"(process {process} of 2)" in said


def test_a_bad_image_of_the_evaluation_ends_the_workers(tmp_path: Path) -> None:
    """They leave signals to the loop, so that the process would wait for them at its end."""
    recipe = prepared(tmp_path, data__workers=1)
    spoil(tmp_path / "data" / "val/0.png")
    assert "val/0.png: cannot be decoded" in ended(train(recipe, tmp_path), seconds=60)


def test_what_all_processes_find_is_told_once(tmp_path: Path) -> None:
    said = ended(train(prepared(tmp_path, model__num_classes=7), tmp_path, world=2))
    assert said.count("cvzoo: error:") == 1
    assert "add --model.num-classes 3" in said
    said = ended(start(["train", "no-such-row"], tmp_path, world=2))
    assert said.count("cvzoo: error:") == 1


def test_a_folder_in_use_is_refused_by_all(tmp_path: Path) -> None:
    recipe = prepared(tmp_path)
    recipe.folder.mkdir(parents=True)
    with alone_in(recipe.folder):
        said = ended(train(recipe, tmp_path, world=2))
    assert said.count("cvzoo: error:") == 1
    assert "another command is at work" in said


def test_a_full_disk_of_the_first_process_ends_the_other(tmp_path: Path) -> None:
    started = train(prepared(tmp_path, schedule__iterations=10_000), tmp_path, world=2)
    until(lambda: "[1/" in started.said()[0], started)
    resource.prlimit(started.group, resource.RLIMIT_FSIZE, (10_000, 10_000))
    said = ended(started)
    assert said.count("cvzoo: error:") == 1
    assert "Free disk space" in said


def test_a_killed_process_ends_the_other_with_a_message(tmp_path: Path) -> None:
    recipe = prepared(tmp_path, schedule__iterations=10_000, run__checkpoint_every=1)
    started = train(recipe, tmp_path, world=2)
    until((recipe.folder / checkpoint.CHECKPOINT).exists, started)
    pid = started.processes[1].pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    assert started.wait() == [2, -signal.SIGKILL]
    said = started.said()[0]
    assert "another process has ended" in said
    assert "Traceback" not in said
    assert checkpoint.load(recipe.folder, "cpu") is not None


def test_a_signal_that_comes_twice_still_saves(tmp_path: Path) -> None:
    """torchrun sends its processes what they have already got as members of its group."""
    recipe = prepared(tmp_path, schedule__iterations=10_000)
    started = train(recipe, tmp_path, world=2)
    until(lambda: "[1/" in started.said()[0], started)
    os.killpg(started.group, signal.SIGTERM)
    os.killpg(started.group, signal.SIGTERM)
    assert started.wait() == [128 + signal.SIGTERM] * 2
    assert "stopped and saved at iteration" in started.said()[0]


class Deadly(ShapesDataset):
    """Ends whoever asks for an image."""

    def __getitem__(self, index: int) -> Sample:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


def test_a_worker_that_is_killed_in_an_evaluation_is_told(tmp_path: Path) -> None:
    recipe = tiny(tmp_path, data__workers=1)
    with pytest.raises(TrainingError, match=r"a loader worker was killed.*what was saved is kept"), whole_workers():
        evaluate(recipe.model.build(), Deadly(recipe.data.shapes, "val"), recipe, torch.device("cpu"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_worker_that_is_killed_amid_a_step_is_told_after_it() -> None:
    """As torch tells it, from a handler of SIGCHLD."""

    def tell(*call: object) -> None:
        raise RuntimeError("DataLoader worker is killed")

    steps: list[str] = []

    def learn() -> None:
        with whole_workers(lambda: f"saved {steps}"), undisturbed():
            os.kill(os.getpid(), signal.SIGCHLD)
            steps.append("one step")

    before = signal.signal(signal.SIGCHLD, tell)
    try:
        with pytest.raises(TrainingError, match=r"saved \['one step'\]"):
            learn()
    finally:
        signal.signal(signal.SIGCHLD, before)
