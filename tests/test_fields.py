"""What fields may hold: one check for every dataclass of a recipe."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest

from cvzoo.fields import (
    Count,
    Fraction,
    Needs,
    NotNegative,
    Positive,
    Range,
    Share,
    field_problems,
    hints_of,
    idle_problems,
    recipe_problems,
)
from cvzoo.recipes.codec import with_changes
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
            limits = [limit for limit in get_args(hint) if isinstance(limit, Range)]
            if get_origin(hint) is Annotated and limits:
                yield f"{prefix}{field.name}", value, limits[0]


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


IDLE = [
    ("retinanet_r50_fpn_1x", "data.window_side", 320, "data.window-scales is set"),
    ("retinanet_r50_fpn_1x", "data.window_border", 64, "data.window-scales is set"),
    ("retinanet_r50_fpn_1x", "data.crop_max_share", 0.75, "data.source is label_maps"),
    ("retinanet_r50_fpn_1x", "data.mixed_until", 0.5, "data.mosaic is set or data.mixup is set"),
    ("retinanet_r50_fpn_1x", "data.min_visible", 0.3, "data.rotation is set or data.zoom is set"),
    ("retinanet_r50_fpn_1x", "data.shapes.max_objects", 3, "data.source is shapes"),
    ("retinanet_r50_fpn_1x", "data.label_maps.ignored", [0], "data.source is label_maps"),
    ("retinanet_r50_fpn_1x", "data.smpl", "elsewhere", "data.surfaces is set"),
    ("retinanet_r50_fpn_1x", "schedule.floor", 0.1, "schedule.policy is poly"),
    ("pspnet_r50_d8_cityscapes", "schedule.milestones", [10], "schedule.policy is step"),
    ("retinanet_r50_fpn_1x", "weights_style", "caffe", "weights is set"),
    ("retinanet_r50_fpn_1x", "optim.kept_lr_factor", 0.1, "weights is set"),
    ("retinanet_r50_fpn_1x", "model.tower_norm_groups", 8, "model.tower-norm is group"),
    ("retinanet_r50_fpn_1x", "model.backbone.deform_groups", 4, "model.backbone.deform is set"),
    ("centernet_r18_512", "data.short_sides", [96], "data.window-scales is not set"),
]


@pytest.mark.parametrize(("row", "field", "value", "needed"), IDLE)
def test_what_has_no_effect_is_named(row: str, field: str, value: Any, needed: str) -> None:
    own = ROWS[row].recipe()
    (problem,) = idle_problems(with_changes(own, {field: value}), own)
    assert problem.startswith(".".join(field.replace("_", "-").split(".")[:2]))
    assert f" has no effect unless {needed}" in problem


def test_what_has_an_effect_passes() -> None:
    own = ROWS["retinanet_r50_fpn_1x"].recipe()
    windows = {"data.window_side": 320, "data.window_scales": [0.5], "data.crop": [320, 320]}
    others = {"data.mixed_until": 0.5, "data.mixup": 0.1, "data.min_visible": 0.2, "optim.kept_lr_factor": 0.5}
    policy = {"schedule.policy": "poly", "schedule.floor": 0.1, "weights": "torchvision", "weights_style": "caffe"}
    groups = {"model.tower_norm": "group", "model.tower_norm_groups": 8, "optim.lr": 0.1, "model.backbone.depth": 101}
    assert idle_problems(with_changes(own, windows | others | policy | groups), own) == []


@pytest.mark.parametrize("row", ROWS)
def test_what_a_row_says_itself_needs_no_reason(row: str) -> None:
    recipe = ROWS[row].recipe()
    assert idle_problems(recipe, recipe) == []
    for name, part in conditional(recipe):
        for condition in name.conditions:
            first = condition.partition("=")[0].partition(".")[0]
            assert first in hints_of(type(part)) or first in hints_of(type(recipe)), condition


def conditional(part: Any) -> Iterator[tuple[Needs, Any]]:
    """Every declaration of what a field needs, with its dataclass."""
    for field in fields(part):
        yield from ((x, part) for x in get_args(hints_of(type(part))[field.name]) if isinstance(x, Needs))
        if is_dataclass(inner := getattr(part, field.name)):
            yield from conditional(inner)
