"""Recipes: everything that decides the result of a row."""

from cvzoo.recipes.recipe import Optim, Recipe, Run, Schedule

__all__ = ["Optim", "Recipe", "Run", "Schedule"]
