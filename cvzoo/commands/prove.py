"""`cvzoo prove`: published weights, evaluated one by one, and one page about all of them."""

from __future__ import annotations

import shutil
import sys
import traceback
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TextIO

import tyro

from cvzoo.commands.printing import print_json
from cvzoo.commands.rows import rows_named
from cvzoo.files import alone_in, locked
from cvzoo.recipes import Recipe
from cvzoo.recipes.folder import has_split
from cvzoo.recipes.recipe import Device, Precision
from cvzoo.results.proofs import FAULT, FOUND, PAGE, place_of, proofs
from cvzoo.results.published import Comparison, comparison
from cvzoo.results.row_files import read_row


@dataclass(frozen=True, kw_only=True)
class Prove:
    """Options of `cvzoo prove`."""

    rows: tyro.conf.Positional[tuple[str, ...]] = ()
    """Only these rows; without, all that have published weights."""
    root: Annotated[Path, tyro.conf.arg(name="data.root")]
    """Folder of a data set as it unpacks: COCO, Cityscapes, ADE20K or PASCAL VOC. Rows of other data are left out."""
    output: Path = Path("runs/prove")
    """Folder of the page, prove.html, and of a run for each of the weights."""
    device: Device = "auto"
    """Where to evaluate; `auto` takes CUDA where there is one."""
    precision: Precision = "fp32"
    """Autocast precision."""
    json: bool = False
    """Print JSON: one object for each of the weights."""


def prove(options: Annotated[Prove, tyro.conf.arg(name="")]) -> int:
    """Evaluate all published weights on a data set: our figures, the published ones, one page.

    What is finished is kept: the same command goes on where it ended. Several commands share the work.
    """
    recipes = _wanted(options)
    recipes.sort(key=lambda recipe: recipe.run.out.exists())  # what ended a command before comes last
    for recipe in recipes:
        _settle(recipe, sys.stderr if options.json else sys.stdout)
        _write_page(options.output)
    found = {proof.folder: proof for proof in proofs(options.output)}
    proven = [found[recipe.run.out] for recipe in recipes]
    states = Counter(proof.state for proof in proven)
    if options.json:
        print_json([proof.values for proof in proven])
    else:
        print(", ".join(f"{count} {state}" for state, count in states.items()))
        print(options.output / PAGE)
    return 2 if states["failed"] or states["differs"] else 0


def _wanted(options: Prove) -> list[Recipe]:
    """A recipe for each of the weights whose validation split is in the folder. ValueError where there are none."""
    chosen = rows_named(options.rows)
    having = [row for row in chosen if row.published]
    if options.rows and len(having) < len(chosen):
        unpublished = ", ".join(row.name for row in chosen if not row.published)
        raise ValueError(f"nothing is published for {unpublished}; leave that out")
    own = {row.name: row.recipe() for row in having}
    found = [row for row in having if has_split(options.root, own[row.name].data.val)]
    if not found:
        splits = dict.fromkeys(own[row.name].data.val.annotations for row in having)
        raise ValueError(
            f"{options.root} holds no validation split of these rows; --data.root is a folder that has"
            f" {' or '.join(splits)}, and their images"
        )
    return [_evaluation(own[row.name], entry.name, options) for row in found for entry in row.published]


def _evaluation(recipe: Recipe, weights: str, options: Prove) -> Recipe:
    out = place_of(options.output, recipe.row, weights)
    run = replace(recipe.run, out=out, device=options.device, precision=options.precision)
    return replace(recipe, weights=weights, data=replace(recipe.data, root=options.root), run=run)


def _settle(recipe: Recipe, out: TextIO) -> None:
    """Evaluate the weights, unless that is done or under way; say what was found, and keep it or what went wrong."""
    folder, name = recipe.run.out, f"{recipe.row} --weights {recipe.weights}"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(alone_in(folder))
        except ValueError:
            print(f"{name}: another command is at it", file=sys.stderr)
            return
        if _is_done(recipe):
            print(f"{name}: done before", file=sys.stderr)
            return
        try:
            print(recipe.row, _evaluated(recipe), file=out)
            (folder / FAULT).unlink(missing_ok=True)
        except Exception as error:  # whatever is wrong with one, the others are evaluated
            known = isinstance(error, ValueError | OSError)
            (folder / FAULT).write_text(str(error) if known else traceback.format_exc())
            print(f"{name}: failed: {error}", file=sys.stderr)


def _is_done(recipe: Recipe) -> bool:
    """Whether there are figures, of the same folder of data and in the same precision."""
    path = recipe.run.out / FOUND
    if not path.exists():
        return False
    before = read_row(path).recipe
    return (before["data"]["root"], before["run"]["precision"]) == (str(recipe.data.root), recipe.run.precision)


def _evaluated(recipe: Recipe) -> Comparison | None:
    from cvzoo.engine.finish import evaluate_row
    from cvzoo.report.run_report import write_report

    result = evaluate_row(recipe)
    write_report(result)
    assert result.row_file is not None
    shutil.copy(result.row_file, recipe.run.out / FOUND)
    return comparison(read_row(recipe.run.out / FOUND))


def _write_page(output: Path) -> None:
    from cvzoo.report.proof_page import write_page

    output.mkdir(parents=True, exist_ok=True)
    with locked(output / ".page.lock"):  # of several commands, one writes at a time
        write_page(output)
