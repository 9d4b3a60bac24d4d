"""What fields may hold: one check for every dataclass of a recipe."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest

from cvzoo.fields import Count, Fraction, NotNegative, Positive, Range, Share, field_problems, recipe_problems
from cvzoo.zoo import ROWS


@dataclass(frozen=True, kw_only=True)
class Inner:
    rate: Positive = 1.0
    share: Share | None = None


@dataclass(frozen=True, kw_only=True)
class Outer:
    kind: Literal["sgd", "adamw"] = "sgd"
    count: Count = 1
    weights: tuple[NotNegative, ...] = ()
    pair: tuple[int, float] = (1, 2.0)
    on: bool = False
    folder: Path = Path()
    decay: Fraction = 0.5
    inner: Inner = Inner()


def test_what_is_sound_passes() -> None:
    assert recipe_problems(Outer()) == []
    assert recipe_problems(Outer(weights=(0, 1.5), decay=0.9, inner=Inner(rate=2, share=1))) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "SGD"}, "optim.kind must be sgd or adamw, not 'SGD'; did you mean sgd?"),
        ({"count": 0}, "optim.count must be a whole number of at least 1, not 0"),
        ({"count": 1.0}, "optim.count must be a whole number of at least 1, not 1.0"),
        ({"count": True}, "optim.count must be a whole number of at least 1, not True"),
        ({"weights": (1.0, -1.0)}, "optim.weights must be a list, each a number of at least 0, not (1.0, -1.0)"),
        ({"pair": (1, 2.0, 3)}, "optim.pair must be a list of 2, each a whole number, not (1, 2.0, 3)"),
        ({"on": "no"}, "optim.on must be true or false, not 'no'"),
        ({"folder": 3}, "optim.folder must be a path, not 3"),
        ({"decay": 1}, "optim.decay must be a number above 0 and below 1, not 1"),
        ({"inner": Inner(rate=math.nan)}, "optim.inner.rate must be a number above 0, not nan"),
        ({"inner": Inner(rate=math.inf)}, "optim.inner.rate must be a number above 0, not inf"),
        (
            {"inner": Inner(share=1.5)},
            "optim.inner.share must be a number of at least 0 and of at most 1 or None, not 1.5",
        ),
        ({"inner": None}, "optim.inner must be Inner, not None"),
    ],
)
def test_what_is_not_is_named(values: dict[str, Any], message: str) -> None:
    assert recipe_problems(Outer(**values), "optim.") == [message]


def test_all_problems_are_told_at_once() -> None:
    assert len(recipe_problems(Outer(kind="x", count=0, inner=Inner(rate=0)))) == 3  # type: ignore[arg-type]
    assert field_problems(Outer, {"count": 0, "unknown": 1}) == ["count must be a whole number of at least 1, not 0"]


def bounded(value: Any, prefix: str = "") -> Iterator[tuple[str, Any, Range]]:
    """Every single number in a recipe that has a range: its dotted name, its dataclass and the range."""
    hints = get_type_hints(type(value), include_extras=True)
    for field in fields(value):
        inner = getattr(value, field.name)
        if is_dataclass(inner):
            yield from bounded(inner, f"{prefix}{field.name}.")
        for hint in (hints[field.name], *get_args(hints[field.name])):
            if get_origin(hint) is Annotated:
                yield f"{prefix}{field.name}", value, get_args(hint)[1]


@pytest.mark.parametrize("row", ["mask_rcnn_r50_fpn_1x", "centernet_r18_512", "pspnet_r50_d8_cityscapes"])
def test_every_number_of_a_recipe_is_bounded(row: str) -> None:
    """A number just outside of its range is refused by its name, wherever it stands."""
    found = list(bounded(ROWS[row].recipe()))
    names = [name for name, *_ in found]
    assert {"optim.clip_norm", "run.log_every", "schedule.gamma", "model.num_classes", "data.flip"} <= set(names)
    for name, holder, limit in found:
        low = limit.low if limit.above else limit.low - 1
        leaf = name.rpartition(".")[2]
        prefix = name.removesuffix(leaf).replace("_", "-")
        problems = field_problems(type(holder), {leaf: int(low)}, prefix)
        assert problems
        assert problems[0].startswith(f"{name.replace('_', '-')} must be "), problems


def test_recipes_are_checked_however_they_are_made() -> None:
    recipe = ROWS["retinanet_r18_fpn_shapes"].recipe()
    with pytest.raises(ValueError, match=r"optim\.clip-norm must be .* above 0 or None, not -1"):
        replace(recipe, optim=replace(recipe.optim, clip_norm=-1))
    with pytest.raises(ValueError, match=r"run\.device must be auto or cpu or cuda, not 'gpu'"):
        replace(recipe, run=replace(recipe.run, device="gpu"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"model\.num-classes must be a whole number of at least 1, not 0"):
        replace(recipe, model=replace(recipe.model, num_classes=0))
    with pytest.raises(ValueError, match=r"run\.seed must be .* below 4\.29"):
        replace(recipe, run=replace(recipe.run, seed=2**32))
