"""Commands on a data set: data check."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from cvzoo.data.config import Data, LabelMaps, Split


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which data are meant; all commands on a data set have these."""

    root: tyro.conf.Positional[Path]
    """Folder of the data set."""
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

    @property
    def data(self) -> Data:
        """As a recipe has them."""
        return Data(**vars(self))


Flat = Annotated[Options, tyro.conf.arg(name="")]


def check(options: Flat) -> int:
    """Check a data set: lists everything that is wrong, or hardly meant."""
    from cvzoo.data.check import check

    found = check(options.data)
    print(found)
    return 2 if found.errors else 0
