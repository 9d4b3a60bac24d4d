"""What came of the latest steps, which lies on the device until the program asks for it.

A GPU works off a queue: who asks it for a loss after every step leaves it idle while the next step is prepared. So the
program asks once in a while. Until then a number on the device keeps the optimiser from steps that cannot be used.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from cvzoo.engine import dist
from cvzoo.engine.stop import TrainingError


class Step(NamedTuple):
    """What one step left behind."""

    iteration: int
    """Steps before it."""
    losses: dict[str, Tensor]
    """Of this process, with their sum `loss`."""
    numbers: Tensor
    """The means over the processes of the losses, of the norm of the gradient, and of whether a signal has come."""
    image_ids: list[int]


@dataclass
class Unread:
    """Steps that nobody has asked about yet."""

    bad: Tensor
    """() float32: 1 from the first step on that cannot be used, else 0. An optimiser takes no step while it is 1."""
    overflows: bool
    """A gradient may overflow: fp16's scaler then skips the step and goes on."""
    steps: list[Step] = field(default_factory=list)
    since: float = field(default_factory=time.perf_counter)
    """When the first of them began."""
    waited: float = 0.0
    """Seconds of that time in which there was no batch."""

    def add(self, step: Step) -> None:
        loss, norm = step.numbers[-3], step.numbers[-2]
        usable = loss.isfinite() if self.overflows else loss.isfinite() & norm.isfinite()
        self.bad = torch.maximum(self.bad, (~usable).float())
        self.steps.append(step)

    def read(self) -> tuple[list[dict[str, float]], bool]:
        """The losses of each step with its `seconds` and `data_seconds`; and whether any process has got a signal.

        The program waits for the device. Every process calls this after the same steps. TrainingError for a step that
        cannot be used.
        """
        rows = torch.stack([step.numbers for step in self.steps]).tolist() if self.steps else []
        spent = {"seconds": time.perf_counter() - self.since, "data_seconds": self.waited}
        found = []
        for step, row in zip(self.steps, rows):
            means = dict(zip(step.losses, row))
            if not (math.isfinite(means["loss"]) and (self.overflows or math.isfinite(row[-2]))):
                raise TrainingError(_non_finite(means, step))
            found.append(means | {name: seconds / len(rows) for name, seconds in spent.items()})
        self.steps = []
        self.start()
        return found, any(row[-1] > 0 for row in rows)

    def start(self) -> None:
        """The next step begins now; what has been done since the last one is no part of it."""
        if not self.steps:
            self.since, self.waited = time.perf_counter(), 0.0


def _non_finite(means: dict[str, float], step: Step) -> str:
    """Why the run stops, with the images of the process where it happened. Every process calls this."""
    here = [name for name, loss in step.losses.items() if not loss.isfinite()]
    image_ids = [i for part in dist.gather(step.image_ids if here else []) for i in part]
    names = ", ".join(name for name, value in means.items() if not math.isfinite(value) and name != "loss")
    return (
        f"training stopped at iteration {step.iteration}: {names or 'the gradient'} is not finite"
        f" (image ids {', '.join(map(str, image_ids or step.image_ids))}). The last good checkpoint is kept."
        " Lower --optim.lr, lengthen --schedule.warmup-iterations, set --optim.clip-norm, or check these images with"
        " `cvzoo data check`"
    )
