"""Everything that changes while a run trains, which is what a checkpoint holds. The recipe says all the rest.

No random state is kept: weights, every step and every sample are seeded from the recipe's seed and the iteration.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import nn

from cvzoo.engine import checkpoint, dist
from cvzoo.engine.extend import continued
from cvzoo.engine.optim import EMA, build_optimiser, freeze, peak_lr
from cvzoo.engine.place import laid_out
from cvzoo.engine.unread import Unread
from cvzoo.nn.blocks import save_memory
from cvzoo.nn.model import Model
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import portable, to_json


class Best(TypedDict):
    """The best evaluation of a run so far."""

    figure: str
    """What it is judged by: `run.keep_best`."""
    value: float
    iteration: int
    worse: int
    """Evaluations since it."""
    evaluated: int
    """The iteration of the last one."""


@dataclass
class State:
    """A run in progress."""

    model: Model
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: EMA | None
    unread: Unread
    """Steps whose losses have not been asked for."""
    data: dict[str, Any]
    """What the run learns from: see `cvzoo.data.dataset.identity`."""
    iteration: int = 0
    """Finished optimiser steps."""
    window: dict[str, float] = field(default_factory=dict)
    """Sums of the losses since the last line of the log, and their `count`."""
    seconds: list[float] = field(default_factory=list)
    """Wall time of each iteration, waiting for data included."""
    earlier: list[float] = field(default_factory=list)
    """Of the iterations before the run was resumed: on another day, or machine, and with a warm-up of their own."""
    memory_gb: float = 0.0
    """Peak memory of this process over the training iterations."""
    best: Best | None = None
    """The best evaluation, where the recipe keeps its weights."""

    @staticmethod
    def begin(
        recipe: Recipe,
        model: Model,
        device: torch.device,
        data: dict[str, Any] | None = None,
        kept: Collection[str] = (),
    ) -> State:
        """The state before the first iteration; `model` moves to the device.

        `data` tells the run's data sets, `kept` the parameters that come from weights.
        """
        model = laid_out(model, recipe.run, device).train()
        freeze(model, recipe.optim.freeze, recipe.row)
        if recipe.run.checkpoint_activations and not save_memory(model.backbone):
            raise ValueError(f"{recipe.row}: the backbone has no blocks; leave --run.checkpoint-activations out")
        return State(
            model=model,
            optimiser=build_optimiser(model, recipe.optim, peak_lr(recipe.optim, recipe.schedule), kept),
            scaler=torch.amp.GradScaler(device.type, enabled=recipe.run.precision == "fp16"),
            ema=EMA(model, recipe.optim.ema_decay) if recipe.optim.ema_decay else None,
            unread=Unread(torch.zeros((), device=device), overflows=recipe.run.precision == "fp16"),
            data=data or {},
        )

    @property
    def result(self) -> Model:
        """The model to evaluate and publish: the moving average where there is one."""
        return self.ema.model if self.ema else self.model

    def origin(self, recipe: Recipe) -> dict[str, Any]:
        """What published weights say of themselves."""
        return {"row": recipe.row, "recipe": portable(to_json(recipe))} | self.data

    def parameters(self) -> list[nn.Parameter]:
        """Every parameter that is trained."""
        return [parameter for group in self.optimiser.param_groups for parameter in group["params"]]

    def read(self) -> bool:
        """Take in what came of the latest steps: see `Unread.read`. True if the run is asked to stop."""
        steps, stopped = self.unread.read()
        for numbers in steps:
            self.seconds.append(numbers["seconds"])
            for name, value in (numbers | {"count": 1}).items():
                self.window[name] = self.window.get(name, 0.0) + value
        return stopped

    def line(self) -> dict[str, float]:
        """A line of the log: means since the line before. Starts the next one."""
        count = self.window.pop("count")
        means = {name: total / count for name, total in self.window.items()}
        self.window = {}
        lr = max(group["lr"] for group in self.optimiser.param_groups)
        return {"iteration": self.iteration, "lr": lr} | means | {"memory_gb": self.memory_gb}

    def save(self, recipe: Recipe, folder: Path) -> None:
        """Write the checkpoint atomically, once for all processes."""
        kept = {"recipe": to_json(recipe), "data": self.data}
        dist.in_main(lambda: checkpoint.save(folder, self._tensors() | self._numbers() | kept))

    def resume(self, recipe: Recipe, folder: Path, device: torch.device) -> Recipe:
        """Continue from the folder's checkpoint, if there is one; returns the recipe of the whole run, see `continued`.

        ValueError if it belongs to another recipe, or to other data.
        """
        saved = checkpoint.load(folder, device)
        if saved is None:
            return recipe
        recipe = continued(recipe, saved["recipe"], saved["iteration"], folder)
        _check_same_data(self.data, saved.get("data") or self.data, folder, recipe.data.root)
        self.model.load_state_dict(saved["model"])
        for group in saved["optimiser"]["param_groups"]:
            group["fused"] = True  # not so in the optimisers of runs that began with an older cvzoo
        self.optimiser.load_state_dict(saved["optimiser"])
        self.scaler.load_state_dict(saved["scaler"])
        if self.ema:
            self.ema.model.load_state_dict(saved["ema"])
        for name in self._numbers():
            setattr(self, name, saved.get(name))  # older checkpoints have no `best`
        self.earlier, self.seconds = self.seconds, []
        return recipe

    def _tensors(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.model.state_dict() if self.ema else None,
        }

    def _numbers(self) -> dict[str, Any]:
        numbers = {name: getattr(self, name) for name in ("iteration", "window", "memory_gb", "best")}
        return numbers | {"seconds": self.seconds or self.earlier}


def _check_same_data(now: dict[str, Any], saved: dict[str, Any], folder: Path, root: Path) -> None:
    if now == saved:
        return
    if now["classes"] != saved["classes"]:
        reason = f"its classes were {', '.join(saved['classes'])}, now they are {', '.join(now['classes'])}"
    else:
        reason = "its annotations are not those that the run has seen"
    raise ValueError(
        f"{folder} holds a run on another data set than there is in {root} now: {reason}. Put that data set back to"
        f" continue the run, choose another folder with --run.out, or delete {folder} to start afresh"
    )
