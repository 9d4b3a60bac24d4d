"""Recipes: one function per row of the zoo, and the table of all rows."""

from cvzoo.recipes.recipe import Optim, Recipe, Run, Schedule
from cvzoo.recipes.rows import ROWS, Reference, Row

__all__ = ["ROWS", "Optim", "Recipe", "Reference", "Row", "Run", "Schedule"]
