"""`cvzoo data`: commands on a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import tyro

from cvzoo.data.config import Data, LabelMaps, Split


def data(
    action: tyro.conf.Positional[Literal["check"]],
    root: tyro.conf.Positional[Path],
    source: Literal["coco", "label_maps"] = "coco",
    train: Split = Data.train,
    val: Split = Data.val,
    masks: bool = False,
    surfaces: bool = False,
    label_maps: LabelMaps = Data.label_maps,
) -> int:
    """Check a data set of COCO's format or of label maps: `cvzoo data check DIR` lists all its problems.

    Args:
        action: what to do.
        root: folder of the data set.
        source: a COCO-format JSON for each split, or label maps.
        train: the training split.
        val: the validation split.
        masks: check the objects' segmentations too.
        surfaces: check the surfaces of people too.
        label_maps: what the numbers of label maps mean.
    """
    from cvzoo.data.check import check

    parts = {"masks": masks, "surfaces": surfaces, "label_maps": label_maps}
    found = check(Data(source=source, root=root, train=train, val=val, **parts))
    print(found)
    return 2 if found.errors else 0
