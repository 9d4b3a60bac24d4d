"""Commands on a data set: data check, data view, data convert; and what lies in the folder that a row is given."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import cvzoo
from cvzoo.commands.printing import print_json
from cvzoo.data.config import Data, DataSet, LabelMaps, Source, Split
from cvzoo.recipes import Recipe


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

    def data(self, root: Path) -> Data:
        """As a recipe has them; says what the folder is taken for, where no splits are named."""
        named: dict[str, Any] = vars(self) | {"source": self.source or "coco"}
        asked = Data(root=root, keep_empty=True, **named)
        if (self.train, self.val) != (Data.train, Data.val) or self.source == "shapes" or not root.is_dir():
            return asked
        found, said = recognised(asked, self.source)
        print(said, file=sys.stderr)
        return found


Flat = Annotated[Options, tyro.conf.arg(name="")]


def check(root: tyro.conf.Positional[Path], options: Flat, json: bool = False) -> int:
    """Check a data set: lists everything that is wrong, or hardly meant.

    Args:
        root: folder of the data set.
        json: print JSON: every error and warning with file, ids, reason and remedy, and a line for each split.
    """
    from cvzoo.data.check import check

    found = check(options.data(root))
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

    data = options.data(root)
    recipe = _on(cvzoo.recipe(row), data) if row else None
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
    """Convert a data set of objects to another format: --to coco, yolo or voc.

    Args:
        root: folder of the data set.
        out: a new folder for the converted one.
        to: format of the converted one.
    """
    from cvzoo.data.formats.writers import convert

    print(*convert(options.data(root), out, to), out, sep="\n")


def in_the_folder(asked: Recipe, own: Recipe, words: Sequence[str]) -> Recipe:
    """The recipe for what lies in the folder that `--data.root` names, where nothing else is said of the data's place.

    Where the row's own splits lie in there, it is them that are meant.

    Args:
        own: the recipe before the command line's `words`.
    """
    names = [word.partition("=")[0] for word in words]
    told = any(name.startswith(("--data.train.", "--data.val.")) for name in names)
    if "--data.root" not in names or told or not asked.data.root.is_dir():
        return asked
    source = asked.data.source if "--data.source" in names else None
    if source == "shapes" or (source in (None, own.data.source) and _lies_in(asked.data)):
        return asked
    if not any(name.startswith("--data.label-maps.") for name in names):
        asked = replace(asked, data=replace(asked.data, label_maps=LabelMaps()))
    data, said = recognised(asked.data, source, own.data.semantic)
    print(said, file=sys.stderr)
    return replace(asked, data=data)


def recognised(data: Data, source: Source | None, semantic: bool | None = None) -> tuple[Data, str]:
    """The data with the source and the splits of what lies in the root, and a line that says so; see `recognise`."""
    from cvzoo.data.formats.recognise import recognise

    found = recognise(data.root, source, semantic)
    suffixes = {name: getattr(found.label_maps, name) for name in ("image_suffix", "label_suffix")}
    label_maps = replace(data.label_maps, **suffixes) if found.source == "label_maps" else data.label_maps
    return replace(data, source=found.source, train=found.train, val=found.val, label_maps=label_maps), str(found)


def _lies_in(data: Data) -> bool:
    """Whether one of the splits, as the recipe names them, is in the folder."""
    return data.source != "shapes" and any(has_split(data.root, split) for split in (data.train, data.val))


def has_split(root: Path, split: Split) -> bool:
    """Whether a folder holds the images, annotations and lists of a split."""
    named = [name for names in (split.images, split.annotations) for name in names.split(",")]
    return all((root / name).exists() for name in [*named, *split.lists])
