"""Commands that hand models on: share, mirror."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Generic

import tyro

from cvzoo.commands.printing import print_json
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


def mirror(
    folder: tyro.conf.Positional[Path], rows: tyro.conf.Positional[tuple[str, ...]] = (), json: bool = False
) -> int:
    """Fill a folder with published weights, for machines without a network.

    Args:
        folder: the mirror; files that are there and whole stay.
        rows: weights of these rows, and of their backbones; without, of all.
        json: print JSON: one object for each file.
    """
    from cvzoo.share.mirror import Copy, files_of, fill

    out = sys.stderr if json else sys.stdout
    files, notes = files_of(rows_named(rows))
    copies: list[Copy] = []
    for copy in fill(folder, files):
        copies.append(copy)
        state = "".join(f"\n  {why}" for why in copy.failures) or (" (was there)" if copy.was_there else "")
        print(f"{len(copies)}/{len(files)}  {copy.bytes / 1e6:8.1f} MB  {copy.path}{state}", file=out, flush=True)
    size, missing = sum(copy.bytes for copy in copies), sum(bool(copy.failures) for copy in copies)
    print(f"{len(files) - missing} files, {size / 1e9:.2f} GB.", end=" ", file=out)
    print(f"Where they are needed: export CVZOO_MIRROR={folder}", *notes, sep="\n", file=out)
    if json:
        print_json([asdict(copy) for copy in copies])
    if missing:
        print(f"no place has {missing} of them; the same command tries again", file=sys.stderr)
    return 2 if missing else 0
