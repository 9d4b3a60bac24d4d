"""How a row is trained on from `weights` by few images. Imports no torch."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, TypeVar

from cvzoo.recipes.recipe import Config, Recipe, Schedule

EPOCHS = 50
"""Of up to `FEW` images; of more, as many as the square root of their number lets images be seen."""
FEW = 1000
LEAST = 300
"""Iterations, however few the images."""
WARMUP = 20
"""The warm-up is this part of the run."""
KEPT = 0.5
"""Learning rate of what comes from the weights, in that of the outputs that begin anew."""

Part = TypeVar("Part")


def finetuned(recipe: Recipe[Config], own: Recipe[Config], images: int) -> Recipe[Config]:
    """The recipe for training on from `weights` by so many images, resolved: without `recipe`.

    What is kept learns at a lower rate than the outputs that begin anew, after a short warm-up the rate falls in half a
    cosine, and the run is as long as the images need, at most as the row's `own`. Fields in which the recipe differs
    from `own` stay as they are.

    ValueError when the recipe names no weights.
    """
    if recipe.weights is None:
        raise ValueError(
            "recipe finetune trains on from weights; name them with --weights (a published name, a run folder or a"
            " file), or leave --recipe finetune out to train as the row does"
        )
    iterations = iterations_of(images, recipe.schedule, own.schedule)
    schedule = replace(
        own.schedule,
        policy="cosine",
        iterations=iterations,
        warmup_iterations=iterations // WARMUP,
        warmup_factor=0.01,
    )
    optim = replace(own.optim, kept_lr_factor=KEPT)
    return replace(
        recipe,
        recipe=None,
        optim=_under(optim, recipe.optim, own.optim),
        schedule=_under(schedule, recipe.schedule, own.schedule),
    )


def iterations_of(images: int, schedule: Schedule, own: Schedule) -> int:
    """Iterations that are asked for, or that so many images need in batches of the schedule, at most those of `own`."""
    if schedule.epochs is not None or schedule.iterations != own.iterations:
        return schedule.of_epochs(images).iterations
    seen = EPOCHS * (images if images <= FEW else (images * FEW) ** 0.5)
    return min(max(round(seen / schedule.batch), LEAST), schedule.iterations)


def _under(part: Part, recipe: Part, own: Part) -> Part:
    """A part of a recipe, with the fields in which the recipe differs from its row's own laid over it."""
    values: dict[str, Any] = {field.name: getattr(recipe, field.name) for field in fields(own)}  # pyright: ignore[reportArgumentType]
    return replace(part, **{name: value for name, value in values.items() if value != getattr(own, name)})  # pyright: ignore[reportArgumentType]
