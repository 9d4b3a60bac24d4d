"""The range test: it trains from the start at rising rates, leaves nothing behind, and finds the knee of a curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine.tiny import losses, tiny

from cvzoo.commands.training import LrRange, lr_range
from cvzoo.engine import lr_range as module
from cvzoo.engine.lr_range import RangeTest
from cvzoo.engine.train import train

pytestmark = pytest.mark.usefixtures("inside")


def test_rates_rise_evenly_and_nothing_is_kept(tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "runs", optim__ema_decay=0.9, schedule__batch=2)
    found = module.lr_range(recipe, 1e-4, 1e-2, 5)
    assert found.rates == pytest.approx([1e-4, 10**-3.5, 1e-3, 10**-2.5, 1e-2])
    assert found == module.lr_range(recipe, 1e-4, 1e-2, 5)
    assert not (tmp_path / "runs").exists()


def test_losses_at_one_rate_are_those_of_a_run(tmp_path: Path) -> None:
    """Without warm-up, and at half the rate for half the batch, as the recipe has it."""
    changed: dict[str, Any] = {"schedule__batch": 2, "schedule__iterations": 3, "schedule__warmup_iterations": 0}
    recipe = tiny(tmp_path / "runs", optim__lr=1e-3, schedule__policy="step", **changed)
    found = module.lr_range(tiny(tmp_path / "runs", optim__lr=0.5, schedule__batch=2), 1e-3, 1e-3, 3)
    assert found.losses == [line["loss"] for line in losses(train(recipe).folder)]


def test_a_rate_that_is_too_high_ends_the_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = module.lr_range(tiny(tmp_path / "runs"), 1.0, 1e12, 20)
    assert 0 < len(found.rates) < 20
    assert np.isfinite(found.losses).all()
    said = capsys.readouterr().err
    assert "diverges at learning rate" in said or "no longer finite at learning rate" in said


def test_the_suggestion_lies_below_the_knee() -> None:
    rates = np.geomspace(1e-6, 1, 120)
    noise = np.random.default_rng(0).normal(0, 0.1, 120)
    losses = 3 - 2 / (1 + (1e-3 / rates)) + 40 * np.maximum(rates - 0.05, 0) + noise
    found = RangeTest(rates.tolist(), losses.tolist(), 0.02)
    assert found.suggestion
    assert 2e-3 < found.suggestion < 0.05
    assert found.least == pytest.approx(found.suggestion * 10**0.5)


@pytest.mark.parametrize("losses", [np.linspace(1, 2, 50), np.linspace(2, 1, 50)], ids=["rising", "falling"])
def test_a_curve_without_a_knee_gives_no_suggestion(losses: np.ndarray) -> None:
    assert RangeTest(np.geomspace(1e-5, 1, 50).tolist(), losses.tolist(), 0.02).suggestion is None


def test_the_command_draws_and_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lr_range(LrRange(recipe=tiny(tmp_path / "runs"), low=1e-6, high=1e-5, iterations=3))
    said = capsys.readouterr().out
    assert "set --low or --high" in said or "--optim.lr" in said
    assert (tmp_path / "lr_range.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="low must lie below high"):
        LrRange(recipe=tiny(tmp_path / "runs"), low=1.0, high=0.1)
