"""What a run says while it trains: metrics.jsonl and TensorBoard always, W&B when asked, a bar or plain lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from cvzoo.data.dataset import Dataset
from cvzoo.engine import dist
from cvzoo.engine.examples import examples
from cvzoo.files import atomic
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import to_json
from cvzoo.tasks.sections import SUMMARY, metric_title
from cvzoo.tasks.task import Evaluation

METRICS = "metrics.jsonl"
"""A line for each iteration that is logged or evaluated; what an evaluation finds joins the line of its iteration."""
VALIDATION = "val/"
"""Begins the names of what an evaluation finds."""


def say(message: str) -> None:
    """Tell the user something, once for all processes."""
    if dist.is_main():
        print(message, file=sys.stderr, flush=True)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl. A last line cut off by a crash is left out."""
    path = folder / METRICS
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


class Log:
    """A context manager that the main process writes to; in the other processes it does nothing."""

    def __init__(self, recipe: Recipe, folder: Path, start: int) -> None:
        """Continue the run in `folder` after `start` iterations; what was logged beyond belongs to lost iterations."""
        self.recipe = recipe
        self.path = folder / METRICS
        self._stack = ExitStack()
        self._progress = self._board = self._wandb = None
        dist.in_main(lambda: self._open(recipe, folder, start))

    def _open(self, recipe: Recipe, folder: Path, start: int) -> None:
        self._keep([line for line in read_metrics(folder) if line["iteration"] <= start])
        from torch.utils.tensorboard import SummaryWriter  # a second to import: only a training run pays for it

        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)
        self._stack.callback(self._board.close)
        if recipe.run.wandb:
            self._wandb = _start_wandb(recipe, folder)
            self._stack.callback(self._wandb.finish)
        console = Console(stderr=True)
        if console.is_terminal:
            columns = (TextColumn("{task.completed}/{task.total}"), BarColumn(), TextColumn("{task.description}"))
            self._progress = self._stack.enter_context(Progress(*columns, console=console))
            self._task = self._progress.add_task("", total=self.recipe.schedule.iterations, completed=start)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def advance(self, iteration: int) -> None:
        """Move the bar to `iteration` finished iterations."""
        if self._progress:
            self._progress.update(self._task, completed=iteration)

    def write(self, line: dict[str, Any]) -> None:
        """Record one line, which has `iteration` and any other named numbers. Every process calls this."""
        dist.in_main(lambda: self._write(line))

    def evaluation(
        self, iteration: int, found: Evaluation | None, dataset: Dataset, losses: Mapping[str, float]
    ) -> dict[str, float]:
        """Record what the main process has `found` on `dataset`, and the losses there, once: a finished run can be
        repeated.

        Every process calls this. Returns: the figures, in every process.
        """
        dist.in_main(lambda: self._evaluation(iteration, found, dataset, losses))
        return dist.gather(found and found.figures.stats)[0]

    def _evaluation(
        self, iteration: int, found: Evaluation | None, dataset: Dataset, losses: Mapping[str, float]
    ) -> None:
        assert found, "the main process has it"
        stats, lines = found.figures.stats, read_metrics(self.path.parent)
        if not lines or lines[-1]["iteration"] != iteration:
            lines.append({"iteration": iteration})
        figures = {VALIDATION + name: value for name, value in (*stats.items(), *losses.items())}
        if figures.keys() <= lines[-1].keys():
            return
        lines[-1] |= figures
        self._keep(lines)
        self._plot(iteration, figures)
        self._draw(iteration, dict(examples(self.recipe, dataset, found)))
        shown = [f"{metric_title(name)} {stats[name]:.3f}" for name in SUMMARY if name in stats]
        shown += [f"loss {losses['loss']:.4f}"] if losses else []
        say(f"[{iteration}/{self.recipe.schedule.iterations}] val  {'  '.join(shown)}")

    def _keep(self, lines: list[dict[str, Any]]) -> None:
        with atomic(self.path) as path:
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def _draw(self, iteration: int, images: dict[int, Image.Image]) -> None:
        assert self._board
        for image_id, image in images.items():
            self._board.add_image(f"val/image {image_id}", np.asarray(image), iteration, dataformats="HWC")
        if self._wandb:
            import wandb  # pyright: ignore[reportMissingImports]

            shown = [wandb.Image(image, caption=f"image {image_id}") for image_id, image in images.items()]
            self._wandb.log({"val/images": shown}, step=iteration)

    def _write(self, line: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._plot(line["iteration"], {name: value for name, value in line.items() if name != "iteration"})
        self._show(line)

    def _plot(self, iteration: int, numbers: dict[str, float]) -> None:
        assert self._board
        for name, value in numbers.items():
            self._board.add_scalar(name, value, iteration)
        if self._wandb:
            self._wandb.log(numbers, step=iteration)

    def _show(self, line: dict[str, Any]) -> None:
        left = timedelta(seconds=round((self.recipe.schedule.iterations - line["iteration"]) * line["seconds"]))
        text = (
            f"loss {line['loss']:.4f}  lr {line['lr']:.3g}  {self.recipe.schedule.batch / line['seconds']:.1f} img/s"
            f"  waits for data {line['data_seconds'] / line['seconds']:.0%}  {line['memory_gb']:.2f} GB  ETA {left}"
        )
        if self._progress:
            self._progress.update(self._task, completed=line["iteration"], description=text)
        else:
            say(f"[{line['iteration']}/{self.recipe.schedule.iterations}] {text}")


def _start_wandb(recipe: Recipe, folder: Path) -> Any:
    try:
        import wandb  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError("run.wandb needs a package: pip install 'cvzoo[wandb]', or leave --run.wandb out") from error
    return wandb.init(project="cvzoo", name=recipe.row, dir=folder, config=to_json(recipe))
