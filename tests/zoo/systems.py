"""What the tests know of each system of the zoo: one module `zoo/<system>.py` each, found by the system's folder name.

Such a module has

- `narrow(config)`: the config of any of the system's rows with few channels, proposals and classes (3 of objects, 4 of
  pixels), so that the model builds in a tenth of a second and yet has all its parts;
- `PARAMETERS`: row to the parameters that the reference counts for it;
- `GOLDEN`: folder of golden cases to `Golden`, the reference's name and how such a case is compared;
- `BY_PREDICTIONS`, if any: the losses whose normaliser counts what is near a predicted box, not only a true one;
- `MANIFESTS`: path of a manifest (`detectron2/...`) to `Fits`, the row whose model has those keys and shapes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import torch
from parity.golden import Case, Report
from torch import Tensor

from cvzoo.recipes import Recipe
from cvzoo.structures import Batch, Prediction
from cvzoo.zoo import ROWS, SYSTEMS, system_of


@dataclass(frozen=True)
class Golden:
    """How the cases of a folder are compared."""

    source: str
    """The reference that made them, as the system's sources call it."""
    run: Callable[[Case], Report]


@dataclass(frozen=True)
class Fits:
    """The row that reads a published file with a manifest's keys and shapes."""

    row: str
    body: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the body's config in which the file's differs from the row's own."""
    classes: int = 80
    """How many the file's config must have."""


class Facts(Protocol):
    """A module of this folder."""

    PARAMETERS: Mapping[str, int]
    GOLDEN: Mapping[str, Golden]
    MANIFESTS: Mapping[str, Fits]

    def narrow(self, config: Any) -> Any: ...


FACTS: dict[str, Facts] = {system.key: cast(Facts, importlib.import_module(f"zoo.{system.key}")) for system in SYSTEMS}
"""By the name of the system's folder."""


def built(row: str, **options: Any) -> Any:
    """The narrow model of a row."""
    return narrow(row, **options).model.build()


def total(losses: dict[str, Tensor]) -> Tensor:
    """What is minimised."""
    return torch.stack(list(losses.values())).sum()


def overfits(config: Any, batch: Batch) -> None:
    """A fresh model halves its loss on one batch. A single loss may jump, so that five in a row count."""
    torch.manual_seed(1)
    model = config.build().train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses: list[float] = []
    while len(losses) < 150:
        loss = total(model(batch))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimiser.step()
        losses.append(loss.item())
        if max(losses[-5:]) < 0.5 * losses[0]:
            return
    raise AssertionError(f"the loss fell from {losses[0]:.3g} to no less than {min(losses):.3g} in {len(losses)} steps")


def same_detections(ours: Prediction, theirs: Prediction, tolerance: float = 1e-3) -> None:
    """Each side has the other's detections: of one class, within a twentieth of a pixel and the tolerance of scores.

    Their order may differ where scores are nearly equal, and one in a hundred may have been suppressed by another one.
    """
    assert len(theirs) > 0
    ours, theirs = ours.to("cpu"), theirs.to("cpu")
    far = (ours.boxes[:, None] - theirs.boxes).abs().amax(-1) > 0.05
    far |= (ours.scores[:, None] - theirs.scores).abs() > tolerance
    far |= ours.labels[:, None] != theirs.labels
    strays = len(theirs) // 100
    assert abs(len(ours) - len(theirs)) <= strays
    assert far.all(0).sum() <= strays
    assert far.all(1).sum() <= strays


def trained_by(parameters: Iterable[Tensor]) -> bool:
    """Whether all that learns has got a finite gradient: what has none keeps the other processes waiting."""
    return all(p.grad is not None and bool(p.grad.isfinite().all()) for p in parameters if p.requires_grad)


def narrow(row: str, **options: Any) -> Recipe[Any]:
    """A row's recipe without ImageNet weights, its model narrow and, on top, with these options changed."""
    recipe = ROWS[row].recipe()
    config = FACTS[system_of(row).key].narrow(recipe.model)
    return replace(recipe, backbone_weights=None, model=replace(config, **options))
