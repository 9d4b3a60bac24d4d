"""The best weights of a run, by one figure of its evaluations, and the end of a training that finds no better ones."""

from __future__ import annotations

import difflib
from pathlib import Path

from cvzoo.engine import dist
from cvzoo.engine.checkpoint import BEST, save_weights
from cvzoo.engine.log import say
from cvzoo.engine.state import Best, State
from cvzoo.recipes import Recipe
from cvzoo.tasks import task_of


def check_figure(recipe: Recipe) -> None:
    """ValueError where the evaluations will not find the figure by which the best weights are kept."""
    figure, known = recipe.run.keep_best, task_of(recipe).metrics(recipe)
    if figure and figure not in known:
        near = difflib.get_close_matches(figure, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"they are {', '.join(known)}"
        raise ValueError(f"run.keep-best: {figure!r} is no figure of an evaluation of {recipe.row}; {hint}")


def keep_best(recipe: Recipe, state: State, figures: dict[str, float], folder: Path) -> None:
    """Take in what an evaluation of `state.result` found, and keep these weights if none before were better.

    The checkpoint is saved too, so that a resumed run knows of it. Every process calls this, with the same figures.
    """
    name = recipe.run.keep_best
    best = state.best if state.best and state.best["figure"] == name else None
    if not name or (best and best["evaluated"] == state.iteration):
        return
    value = figures[name]
    if best is None or value > best["value"]:
        metadata = state.origin(recipe) | {"iteration": state.iteration, "metrics": figures}
        dist.in_main(lambda: save_weights(folder, state.result.state_dict(), metadata, BEST))
        say(f"{name} {value:.4f} at iteration {state.iteration} is the best so far: {folder / BEST}")
        state.best = Best(figure=name, value=value, iteration=state.iteration, worse=0, evaluated=state.iteration)
    else:
        state.best = {**best, "worse": best["worse"] + 1, "evaluated": state.iteration}
    state.save(recipe, folder)


def exhausted(recipe: Recipe, state: State) -> bool:
    """Whether the training ends early: so many evaluations have found nothing better."""
    return bool(state.best) and 0 < recipe.run.patience <= state.best["worse"]
