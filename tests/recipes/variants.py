"""Recipes with a few fields changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cvzoo.recipes import Recipe


def with_part(recipe: Recipe[Any], part: str, **values: Any) -> Recipe[Any]:
    """The recipe with these fields of `data`, `optim`, `model` ... changed."""
    return replace(recipe, **{part: replace(getattr(recipe, part), **values)})
