"""A range test of the learning rate (Smith, 1506.01186): the loss while the rate rises exponentially, step by step."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from cvzoo.engine import dist
from cvzoo.engine.log import say
from cvzoo.engine.place import place
from cvzoo.engine.state import State
from cvzoo.engine.stop import TrainingError, whole_workers
from cvzoo.engine.train import batches_of, ready, step
from cvzoo.recipes import Recipe

KEEP = 0.9
"""Of the average of the losses, with each step."""
BELOW = 10**0.5
"""How far the suggestion lies below the rate of the least loss; the average is about as late."""
DIVERGED = 4
"""The test ends where the averaged loss is so many times its least."""


@dataclass(frozen=True)
class RangeTest:
    """What a range test saw: `optim.lr` at each step, as the recipe would state it, and the loss of that step."""

    rates: list[float]
    losses: list[float]
    used: float
    """The rate that the recipe has."""

    @property
    def averaged(self) -> list[float]:
        """Moving averages of the losses, without a start-up bias."""
        average, found = 0.0, []
        for count, loss in enumerate(self.losses, start=1):
            average = KEEP * average + (1 - KEEP) * loss
            found.append(average / (1 - KEEP**count))
        return found

    @property
    def least(self) -> float:
        """The rate at which the averaged loss is least: above it training gets worse, or diverges."""
        return self.rates[int(np.argmin(self.averaged))]

    @property
    def suggestion(self) -> float | None:
        """Half a decade below the rate at which the averaged loss is least. None where that is the first or last one.

        Not where the loss falls steepest, as is often done: from random weights it falls at the smallest rates too,
        and a batch of a few images moves it more than a step does.
        """
        return self.least / BELOW if self.rates[0] < self.least < self.rates[-1] else None


def lr_range(recipe: Recipe, low: float, high: float, iterations: int) -> RangeTest:
    """Train for so many steps from the recipe's start while `optim.lr` rises from `low` to `high`; nothing is saved.

    Ends early where the loss is no longer finite, or has grown to DIVERGED times its least.

    Raises: ValueError where recipe and data do not fit, or there are several processes.
    """
    with dist.joined(recipe.run) as device:
        if dist.world() > 1:
            raise ValueError("a range test runs in one process; start it without torchrun or srun")
        loaded, datasets = ready(recipe)
        recipe = _flat(loaded.recipe, iterations)
        state = State.begin(recipe, loaded.model, device, kept=loaded.kept)
        peaks = [group["peak_lr"] / recipe.optim.lr for group in state.optimiser.param_groups]
        found = RangeTest([], [], recipe.optim.lr)
        with whole_workers(), closing(batches_of(datasets["train"], recipe, 0, device)) as batches:
            for number, batch in enumerate(batches):
                rate = low * (high / low) ** (number / max(iterations - 1, 1))
                for group, peak in zip(state.optimiser.param_groups, peaks):
                    group["peak_lr"] = rate * peak
                step(state.model, place(batch, recipe.run, device), state, recipe)
                if not _took_in(state, rate, found):
                    break
        return found


def _flat(recipe: Recipe, iterations: int) -> Recipe:
    """The recipe with a learning rate that stays where it is, for so many steps."""
    schedule = replace(
        recipe.schedule, iterations=iterations, policy="step", milestones=(), warmup_iterations=0, extended_from=()
    )
    return replace(recipe, schedule=schedule, optim=replace(recipe.optim, ema_decay=None))


def _took_in(state: State, rate: float, found: RangeTest) -> bool:
    """Read the loss of a step; whether the test goes on."""
    try:
        state.read()
    except TrainingError:
        say(f"the loss is no longer finite at learning rate {rate:.3g}")
        return False
    found.rates.append(rate)
    found.losses.append(state.line()["loss"])
    averaged = found.averaged
    if averaged[-1] > DIVERGED * min(averaged):
        say(f"the loss diverges at learning rate {rate:.3g}")
        return False
    return True
