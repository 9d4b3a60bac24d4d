"""Reading golden cases and comparing with them. One Report per case collects every mismatch before it fails."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from parity.options import Options
from safetensors.torch import load_file
from torch import Tensor

from cvzoo.loading import read_state
from cvzoo.recipes import Recipe
from cvzoo.weights.strict import load_state

GOLDEN = Path(os.environ.get("CVZOO_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))


@dataclass
class Case:
    """One golden case: the reference's options, weights, inputs and results."""

    name: str
    """<system>/<case>."""
    info: dict[str, Any]
    weights: dict[str, Tensor]
    inputs: dict[str, Tensor]
    expected: dict[str, Tensor]

    def ours(self, config: Any) -> dict[str, Tensor]:
        """The weights under our keys, through the importer a user would use, for a model of this config."""
        return under_our_keys(self.weights, config, self.name)

    def model(self, config: Any) -> Any:
        """The config's model with the weights."""
        model = config.build()
        load_state(model, self.ours(config), self.name)
        return model

    def group(self, prefix: str) -> list[Tensor]:
        """The expected tensors `prefix`.0, `prefix`.1, ..."""
        found = []
        while f"{prefix}.{len(found)}" in self.expected:
            found.append(self.expected[f"{prefix}.{len(found)}"])
        return found


def under_our_keys(weights: dict[str, Tensor], config: Any, name: str) -> dict[str, Tensor]:
    """As a row of the config's system reads them."""
    return read_state(weights, Recipe(row="a row of none", model=config), name)[0]


def case_names() -> list[str]:
    """Every <system>/<case> folder."""
    return sorted(str(path.parent.relative_to(GOLDEN)) for path in GOLDEN.glob("*/*/case.json"))


def load_case(name: str) -> Case:
    folder = GOLDEN / name
    parts = []
    for part in ("weights", "inputs", "expected"):
        path = folder / f"{part}.safetensors"
        parts.append(load_file(path) if path.exists() else {})
    info = json.loads((folder / "case.json").read_text())
    stated = {part: Options(info[part]) for part in ("options", "model") if part in info}
    return Case(name, info | stated, *parts)


@dataclass
class Report:
    """Compares tensors within a relative tolerance of the largest expected value, and remembers what differs."""

    relative: float = 1e-4
    compared: int = 0
    problems: list[str] = field(default_factory=list)
    deviation: float = 0.0
    """The largest one, relative to the largest number of its tensor."""
    share: float = 0.0
    """The largest share of its tolerance that a deviation took."""

    def close(self, name: str, actual: Tensor, expected: Tensor, relative: float | None = None) -> None:
        """Elementwise: max |actual - expected| <= relative * max |expected|."""
        self.compared += 1
        if actual.shape != expected.shape:
            self.problems.append(f"{name}: shape {tuple(actual.shape)}, expected {tuple(expected.shape)}")
            return
        if not expected.numel():
            return
        gap = (actual.double() - expected.double()).abs().max().item()
        self._within(name, gap, expected.double().abs().max().item(), relative or self.relative)

    def equal(self, name: str, actual: Tensor, expected: Tensor) -> None:
        """Integers and masks, exactly."""
        self.compared += 1
        if actual.shape != expected.shape or not torch.equal(actual.long(), expected.long()):
            wrong = "shape" if actual.shape != expected.shape else f"{(actual != expected).sum().item()} entries"
            self.problems.append(f"{name}: {wrong} differ")

    def same_set(
        self, name: str, actual: dict[str, Tensor], expected: dict[str, Tensor], relative: float | None = None
    ) -> list[int]:
        """Rows (boxes, scores and, where given, labels) in any order: each expected row finds a partner of its own.

        Returns the partners; fewer than the rows when that has failed.
        """
        self.compared += 1
        relative = relative or self.relative
        if len(actual["scores"]) != len(expected["scores"]):
            self.problems.append(f"{name}: {len(actual['scores'])} rows, expected {len(expected['scores'])}")
            return []
        if not len(expected["scores"]):
            return []
        boxes, scores = expected["boxes"].abs().max().item(), expected["scores"].abs().max().item()
        box_gaps = (actual["boxes"][None] - expected["boxes"][:, None]).abs().amax(-1)
        score_gaps = (actual["scores"][None] - expected["scores"][:, None]).abs()
        fits = (box_gaps <= relative * boxes) & (score_gaps <= relative * scores)
        if "labels" in expected:
            fits &= actual["labels"][None] == expected["labels"][:, None]
        partners: list[int] = []
        for row in range(len(fits)):
            free = [partner for partner in torch.where(fits[row])[0].tolist() if partner not in partners]
            if not free:
                self.problems.append(f"{name}: no partner for expected row {row}")
                return partners
            partners.append(free[0])
        rows = torch.arange(len(partners))
        self._within(f"{name} boxes", box_gaps[rows, partners].max().item(), boxes, relative)
        self._within(f"{name} scores", score_gaps[rows, partners].max().item(), scores, relative)
        return partners

    def _within(self, name: str, gap: float, largest: float, relative: float) -> None:
        if not gap <= relative * largest:
            self.problems.append(f"{name}: differs by {gap:.3g}, allowed {relative * largest:.3g}")
        elif largest:
            self.deviation = max(self.deviation, gap / largest)
            self.share = max(self.share, gap / largest / relative)

    def finish(self) -> None:
        assert self.compared > 0, "nothing was compared"
        assert not self.problems, "\n".join([f"{len(self.problems)} of {self.compared} differ:", *self.problems])
