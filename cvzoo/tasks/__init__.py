"""Kinds of answer: how each is evaluated, saved, read back, drawn and reported. A new one is a module and a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cvzoo.recipes import Recipe
    from cvzoo.tasks.task import Task


def task_of(recipe: Recipe[Any]) -> Task:
    """What answers the recipe's model gives."""
    from cvzoo.tasks import boxes, dense_pose, label_maps

    tasks: dict[str, Task] = {"boxes": boxes, "label_maps": label_maps, "dense_pose": dense_pose}
    return tasks[recipe.model.answer]
