"""Commands around trainings: compare, lr-range."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic

import tyro

from cvzoo.commands.printing import print_json, print_table
from cvzoo.commands.rows import Flat
from cvzoo.fields import Count, Positive, recipe_problems
from cvzoo.recipes import Recipe
from cvzoo.recipes.recipe import Config


def compare(
    runs: tyro.conf.Positional[tuple[Path, ...]], output: Path = Path("compare.png"), json: bool = False
) -> None:
    """Compare runs: what differs in their recipes, figures, costs; draws their curves.

    Args:
        runs: two or more run folders, finished or not.
        output: the image of the curves.
        json: print JSON: one object for each run.
    """
    from cvzoo.report.compare import common, lines, read, values
    from cvzoo.report.curves import draw_runs

    if len(runs) < 2:
        raise ValueError("compare what? usage: cvzoo compare RUN RUN ...")
    found = [read(run) for run in runs]
    if json:
        print_json(values(found))
    else:
        print_table(lines(found))
    figures = [name for name in common(found) if name.endswith("_AP") or name == "mIoU"]
    if not figures:
        print("these runs have no figure in common yet: another kind of answer, or no evaluation", file=sys.stderr)
    if logs := {run.name: run.log for run in found if run.trained}:
        draw_runs(output, logs, figures)
        print(output, file=sys.stderr if json else sys.stdout)


@dataclass(frozen=True, kw_only=True)
class LrRange(Generic[Config]):
    """Options of `cvzoo lr-range`."""

    recipe: Annotated[Recipe[Config], Flat]
    """The row."""
    low: Positive | None = None
    """The `optim.lr` to begin with; None is a thousandth of the recipe's."""
    high: Positive | None = None
    """The `optim.lr` to end with; None is a hundred times the recipe's."""
    iterations: Count = 100
    """Steps from one to the other."""
    output: Path = Path("lr_range.png")
    """The image of the curve."""

    def __post_init__(self) -> None:
        problems = recipe_problems(self)
        if not problems and self.rates[0] >= self.rates[1]:
            problems.append(f"low must lie below high, not {self.rates[0]:g} and {self.rates[1]:g}")
        if problems:
            raise ValueError("; ".join(problems))

    @property
    def rates(self) -> tuple[float, float]:
        """The first and the last."""
        lr = self.recipe.optim.lr
        return self.low or lr / 1000, self.high or lr * 100


def lr_range(options: LrRange) -> None:
    """Find a learning rate: the loss while the rate rises, a curve and a suggestion."""
    from cvzoo.engine.lr_range import lr_range as test
    from cvzoo.report.curves import draw_range

    found = test(options.recipe, *options.rates, options.iterations)
    if not found.rates:
        raise ValueError(f"the loss is not finite at {options.rates[0]:g}; begin lower with --low, or check the data")
    if found.suggestion is None:
        print(f"the loss is least at {found.least:.2g}, an end of what was tried; set --low or --high beyond it")
    else:
        print(
            f"the averaged loss is least at {found.least:.2g}; half a decade below: --optim.lr {found.suggestion:.2g}"
        )
    draw_range(options.output, found)
    print(options.output)
