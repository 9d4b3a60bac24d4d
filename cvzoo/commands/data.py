"""Commands on a data set: data check, data view, data convert."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cvzoo.data.config import Data, LabelMaps, Split


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is meant of a folder; all commands on a data set have these."""

    source: Literal["coco", "label_maps"] = "coco"
    """A COCO-format JSON for each split, or label maps."""
    train: Split = Data.train
    """The training split."""
    val: Split = Data.val
    """The validation split."""
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
        """As a recipe has them."""
        return Data(root=root, keep_empty=True, **vars(self))


Flat = Annotated[Options, tyro.conf.arg(name="")]


def check(root: tyro.conf.Positional[Path], options: Flat) -> int:
    """Check a data set: lists everything that is wrong, or hardly meant.

    Args:
        root: folder of the data set.
    """
    from cvzoo.data.check import check

    found = check(options.data(root))
    print(found)
    return 2 if found.errors else 0


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
