"""One training step of the dense detectors beside RetinaNet's: forward, losses, backward and an SGD step.

    python benchmarks/training_vs_retinanet.py [fcos atss ...] [--rounds 7] [--height 512 --width 512] [--batch 2]
        [--precision bf16] [--device cuda]

R-50-FPN at full width with the configurations of the 1x rows, random weights and the same images. Each detector takes
turns with RetinaNet in one process and prints one JSON line.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import tyro
from common import alternate, built, our_step, ratios, report
from side_by_side import batch_of, sample
from torch import nn

from cvzoo.nn.layers import FixedBatchNorm2d
from cvzoo.recipes import Run
from cvzoo.structures import Batch
from cvzoo.zoo.atss.model import ATSS, ATSSConfig
from cvzoo.zoo.fcos.model import FCOS, FCOSConfig
from cvzoo.zoo.freeanchor.model import FreeAnchor, FreeAnchorConfig
from cvzoo.zoo.reppoints.model import RepPoints, RepPointsConfig
from cvzoo.zoo.retinanet.model import RetinaNet, RetinaNetConfig

System = Literal["fcos", "freeanchor", "reppoints", "atss"]
Detector = FCOS | FreeAnchor | RepPoints | ATSS | RetinaNet
BUILDERS: dict[str, Callable[[], Detector]] = {
    "fcos": lambda: FCOSConfig().build(),
    "freeanchor": lambda: FreeAnchorConfig().build(),
    "reppoints": lambda: RepPointsConfig().build(),
    "atss": lambda: ATSSConfig().build(),
    "retinanet": lambda: RetinaNetConfig().build(),
}


def random_model(system: str) -> Detector:
    """The detector in training mode with random weights under which activations stay near 1, as trained ones do."""
    torch.manual_seed(0)
    model = BUILDERS[system]().train()
    for module in model.modules():
        if isinstance(module, FixedBatchNorm2d):
            nn.init.constant_(module.weight, 0.5)
    return model


def compare(system: System, batch: Batch, rounds: int, run: Run, device: torch.device) -> dict[str, float]:
    """Cost of a step relative to RetinaNet's. The two models are gone when it returns."""
    builders = {name: partial(our_step, random_model(name), batch, run, device) for name in (system, "retinanet")}
    sides, memory = built(builders, device)
    return ratios(alternate(sides, rounds, device=device, in_a_row=5), system, "retinanet") | memory


def main(
    systems: tyro.conf.Positional[tuple[System, ...]] = ("fcos", "freeanchor", "reppoints", "atss"),
    rounds: int = 7,
    height: int = 512,
    width: int = 512,
    batch: int = 2,
    precision: Literal["fp32", "bf16"] = "fp32",
    device: Literal["cpu", "cuda"] = "cpu",
) -> None:
    images, on = batch_of([sample((height, width))] * batch), torch.device(device)
    for system in systems:
        figures = compare(system, images, rounds, Run(precision=precision, device=device), on)
        report(f"training_{system}_vs_retinanet_{precision}", on, **figures, size=[height, width], batch=batch)


if __name__ == "__main__":
    tyro.cli(main)
