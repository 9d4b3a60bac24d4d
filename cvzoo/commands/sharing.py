"""Commands that hand models on: share, mirror."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic

import tyro

from cvzoo.commands.rows import Flat, rows_named
from cvzoo.recipes import Recipe
from cvzoo.recipes.recipe import Config
from cvzoo.weights.hub import SCHEME, is_hub


@dataclass(frozen=True, kw_only=True)
class Share(Generic[Config]):
    """Options of `cvzoo share`."""

    recipe: Annotated[Recipe[Config], Flat]
    """The row."""
    to: str = tyro.MISSING
    """A folder to write to, or hf:OWNER/NAME to upload to the Hugging Face hub."""
    licence: str = ""
    """Licence of the weights, by the hub's name for it (apache-2.0, cc-by-4.0); without, that of published weights."""
    private: bool = False
    """Show a new repository on the hub to nobody else."""


def share(options: Share) -> None:
    """Share weights with their recipe, figures and a model card: --to FOLDER or hf:OWNER/NAME."""
    from cvzoo.engine.finish import with_weights
    from cvzoo.share.folder import push, save

    o, recipe = options, with_weights(options.recipe)
    if is_hub(o.to):
        print(push(recipe, o.to.removeprefix(SCHEME), licence=o.licence, private=o.private))
    else:
        print(save(recipe, Path(o.to), licence=o.licence))


def mirror(folder: tyro.conf.Positional[Path], rows: tyro.conf.Positional[tuple[str, ...]] = ()) -> None:
    """Fill a folder with published weights, for machines without a network.

    Args:
        folder: the mirror; files that are there and whole stay.
        rows: weights of these rows, and of their backbones; without, of all.
    """
    from cvzoo.share.mirror import fill

    for line in fill(folder, rows_named(rows)):
        print(line, flush=True)
