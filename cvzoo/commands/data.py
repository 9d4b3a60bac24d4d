"""Commands on a data set: data check, data view, data convert."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import cvzoo
from cvzoo.commands.printing import print_json
from cvzoo.data.config import Data, DataSet, LabelMaps, Source, Split
from cvzoo.recipes import Recipe
from cvzoo.recipes.folder import lies_in, recognised


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is meant of a folder; all commands on a data set have these."""

    source: Source | None = None
    """What lies in the folder, as --data.source of a training; None recognises it."""
    train: Split = Data.train
    """The training split, where it is not to be recognised."""
    val: Split = Data.val
    """The validation split, where it is not to be recognised."""
    masks: bool = False
    """Read the objects' segmentations too."""
    surfaces: bool = False
    """Read the surfaces of people too."""
    label_maps: LabelMaps = Data.label_maps
    """What the numbers of label maps mean."""
    classes: tuple[str, ...] = ()
    """Only these classes, in this order, as --data.classes of a training."""
    rename: tuple[str, ...] = ()
    """New names of classes, old=new, as --data.rename of a training."""

    def data(self, root: Path, row: Data | None = None) -> tuple[Data, Split | None]:
        """As a recipe has them, and the test part that was found besides; says what the folder is taken for, where no
        splits are named, nor lie there as the row has them for whom it is looked at."""
        named: dict[str, Any] = vars(self) | {"source": self.source or "coco"}
        asked = Data(root=root, keep_empty=True, **named)
        if (self.train, self.val) != (Data.train, Data.val) or self.source == "shapes" or not root.is_dir():
            return asked, None
        if row is not None and self.source in (None, row.source) and lies_in(replace(row, root=root)):
            given = {} if self.label_maps != Data.label_maps else {"label_maps": row.label_maps}
            return replace(asked, source=row.source, train=row.train, val=row.val, **given), None
        data, found = recognised(asked, self.source)
        print(found, file=sys.stderr)
        return data, found.test


Flat = Annotated[Options, tyro.conf.arg(name="")]


def check(root: tyro.conf.Positional[Path], options: Flat, json: bool = False) -> int:
    """Check a data set: lists everything that is wrong, or hardly meant.

    Args:
        root: folder of the data set.
        json: print JSON: every error and warning with file, ids, reason and remedy, and a line for each split.
    """
    from cvzoo.data.check import check

    data, _ = options.data(root)
    found = check(data)
    if json:
        print_json(
            {name: [asdict(problem) for problem in getattr(found, name)] for name in ("errors", "warnings")}
            | {"summary": found.summary}
        )
    else:
        print(found)
    return 2 if found.errors else 0


def view(root: tyro.conf.Positional[Path], options: Flat, row: str = "", output: Path = Path("data_view.html")) -> int:
    """Look at a data set: one page with its classes, sizes, images, and what is suspicious.

    Args:
        root: folder of the data set.
        row: show training images as this row sees them, too.
        output: the page to write.
    """
    from cvzoo.report.data_view import write_view

    own = cvzoo.recipe(row) if row else None
    data, _ = options.data(root, None if own is None else own.data)
    recipe = None if own is None else _on(own, data)
    found = write_view(data if recipe is None else replace(data, masks=recipe.data.masks), output, recipe)
    print(found, *([output] if found.splits else []), sep="\n")
    return 0 if found.splits else 2


def _on(recipe: Recipe, data: Data) -> Recipe:
    """The recipe with other data, prepared as it prepares its own. ValueError where they cannot teach its model."""
    from cvzoo.tasks import task_of

    own = {field.name: getattr(data, field.name) for field in fields(DataSet)}
    own |= {"masks": data.masks or recipe.data.masks, "surfaces": data.surfaces or recipe.data.surfaces}
    own |= {"charts": recipe.data.charts, "smpl": recipe.data.smpl}
    found = replace(recipe, data=replace(recipe.data, **own))
    task_of(found).check(found)
    return found


def convert(
    root: tyro.conf.Positional[Path],
    out: tyro.conf.Positional[Path],
    options: Flat,
    to: Literal["coco", "yolo", "voc"] = tyro.MISSING,
) -> None:
    """Convert a data set of objects with all its parts to another format: --to coco, yolo or voc.

    Args:
        root: folder of the data set.
        out: a new folder for the converted one.
        to: format of the converted one.
    """
    from cvzoo.data.formats.writers import convert

    data, test = options.data(root)
    print(*convert(data, test, out, to), out, sep="\n")
