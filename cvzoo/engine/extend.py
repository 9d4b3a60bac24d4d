"""A run continues with the recipe it began with, which may have become longer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cvzoo.engine.log import say
from cvzoo.engine.optim import lr_factor
from cvzoo.recipes import Recipe, Schedule
from cvzoo.recipes.codec import OF_PATIENCE, disagreements, from_json, to_json

LENGTHS = {f"schedule.{name}" for name in ("iterations", "epochs", "milestones", "extended_from")}
LENGTHS |= {"run.patience", *OF_PATIENCE}
"""Fields that tell when a run ends. They may change, as long as its learning rate so far stays what it was."""
COSTS = {"run.checkpoint_activations"}
"""Fields that change what a step costs, and nothing else: a run that ran out of memory goes on with less."""


def continued(recipe: Recipe, saved: dict[str, Any], iteration: int, folder: Path) -> Recipe:
    """The recipe as it goes on with the run in `folder`: after `iteration` steps of the recipe `saved`.

    A longer schedule extends the run. With milestones that is what a run of that length would have been all along; with
    `cosine` and `poly` the learning rate goes to the end of the shorter run as it would have, then as that of the
    longer one, which the recipe records in `schedule.extended_from`.

    Raises: ValueError where anything else differs, where the run would get shorter, or where the learning rate so far
    would have been another.
    """
    differing = disagreements(to_json(recipe), saved)
    if recipe.weights != saved["weights"]:
        differing["weights"] = (recipe.weights, saved["weights"])
    before: Schedule = from_json(saved["schedule"], Schedule())
    schedule = recipe.schedule
    longer = schedule.iterations > before.iterations
    changes_course = longer and schedule.policy != "step"
    extended = (*before.extended_from, before.iterations) if changes_course else before.extended_from
    other = {name: values for name, values in differing.items() if name not in LENGTHS | COSTS}
    if other or schedule.iterations < before.iterations:
        raise ValueError(_refused(other or differing, folder))
    schedule = replace(schedule, extended_from=extended)
    if any(lr_factor(schedule, step) != lr_factor(before, step) for step in range(iteration)):
        passed = " ".join(str(milestone) for milestone in before.milestones if milestone < iteration)
        remedy = f"; to make it longer, keep --schedule.milestones {passed}"
        raise ValueError(_refused(differing, folder) + remedy)
    if longer:
        course = f"up to {before.iterations} the learning rate goes as before, then as in a run of that length"
        exact = "as if the run had been that long from the start"
        say(f"extended from {before.iterations} to {schedule.iterations} iterations: {course if extended else exact}")
    return replace(recipe, schedule=schedule)


def _refused(differing: dict[str, tuple[Any, Any]], folder: Path) -> str:
    fields = "; ".join(f"{name} is {now}, was {before}" for name, (now, before) in differing.items())
    return (
        f"{folder} holds a run of another recipe: {fields}. Repeat that run with its own values to continue it,"
        f" choose another folder with --run.out, or delete {folder} to start afresh"
    )
