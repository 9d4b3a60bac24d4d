"""Objects and images that are sound, but worth a look: what `cvzoo data view` shows first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvzoo.data.facts import Facts, Viewed
from cvzoo.data.label_maps import LabelMapDataset
from cvzoo.files import file_digest

TINY = 4.0
"""Pixels: objects with a shorter side are lost in every network's first layers."""
WHOLE = 0.95
"""Share of the image from which on a box says nothing of a place."""
LONG = 20.0
"""Boxes so many times as long as wide are rarely meant."""
SAME = 0.95
"""IoU from which on two boxes are one."""
FEW = 10
"""Objects, or images, below which a class can hardly be learnt."""


@dataclass(frozen=True)
class Item:
    """An image, and what of it is meant."""

    split: str
    index: int
    objects: list[int]
    """Positions among the image's objects; of none the whole image is meant."""
    note: str


@dataclass(frozen=True)
class Suspicion:
    """Images that have something in common."""

    title: str
    advice: str
    items: list[Item]
    count: int
    """Objects, or images."""


def suspicions(datasets: Mapping[str, Viewed], facts: Mapping[str, Facts]) -> list[Suspicion]:
    """Those of which there are any, over all splits."""
    found = [_twins(datasets)]
    for title, advice, chosen in OF_OBJECTS:
        items = [item for split, own in facts.items() for item in _items(split, own, chosen(own))]
        found.append(Suspicion(title, advice, items, sum(len(item.objects) for item in items)))
    return [one for one in found if one.items]


def rare_classes(dataset: Viewed, facts: Facts, few: int) -> list[str]:
    """Classes of which there are fewer objects, or images with label maps, each with how many."""
    what = "images" if isinstance(dataset, LabelMapDataset) else "objects"
    amounts = facts.images_K if what == "images" else facts.amounts_K
    return [f"{name}: {amount} {what}" for name, amount in zip(dataset.classes, amounts.tolist()) if amount < few]


def _tiny(facts: Facts) -> np.ndarray:
    return facts.sides_G2.min(1, initial=np.inf) < TINY


def _whole(facts: Facts) -> np.ndarray:
    return facts.sides_G2.prod(1) >= WHOLE * facts.sizes_N2[facts.rows_G].prod(1)


def _long(facts: Facts) -> np.ndarray:
    return facts.sides_G2.max(1, initial=0) >= LONG * facts.sides_G2.min(1, initial=np.inf)


def _doubled(facts: Facts) -> np.ndarray:
    """Boxes on which another one of the image lies, of any class."""
    found = np.zeros(len(facts.rows_G), bool)
    starts = np.searchsorted(facts.rows_G, np.arange(len(facts.sizes_N2) + 1))
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist()):
        if end - start > 1:
            ious = _ious(facts.boxes_G4[start:end])
            np.fill_diagonal(ious, 0)
            found[start:end] = (ious >= SAME).any(1)
    return found


def _ious(boxes_G4: np.ndarray) -> np.ndarray:
    """(G, G) of boxes with an area."""
    low, high = boxes_G4[:, :2], boxes_G4[:, 2:]
    shared = (np.minimum(high[:, None], high) - np.maximum(low[:, None], low)).clip(0).prod(2)
    areas = (high - low).prod(1)
    return shared / (areas[:, None] + areas - shared)


OF_OBJECTS: tuple[tuple[str, str, Callable[[Facts], np.ndarray]], ...] = (
    ("Boxes that lie on each other", f"Two annotations of one object? Their IoU is {SAME} or more.", _doubled),
    ("Tiny boxes", f"Clicks without a drag? They are narrower than {TINY:g} pixels.", _tiny),
    ("Boxes of the whole image", f"A class of the image, not an object? They cover {WHOLE:.0%} or more.", _whole),
    ("Long boxes", f"A slip? They are {LONG:g} times as long as wide, or more.", _long),
)


def _items(split: str, facts: Facts, chosen_G: np.ndarray) -> list[Item]:
    """An item for each image that has chosen objects."""
    objects: dict[int, list[int]] = defaultdict(list)
    firsts = np.searchsorted(facts.rows_G, np.arange(len(facts.sizes_N2)))
    for number in np.flatnonzero(chosen_G).tolist():
        row = int(facts.rows_G[number])
        objects[row].append(number - int(firsts[row]))
    return [Item(split, row, own, f"{len(own)} boxes" if len(own) > 1 else "") for row, own in objects.items()]


def _twins(datasets: Mapping[str, Viewed]) -> Suspicion:
    """Image files of equal content; only those of equal length are read."""
    every = [
        (split, index, dataset.path(index)) for split, dataset in datasets.items() for index in range(len(dataset))
    ]
    lengths: dict[int, list[tuple[str, int, Path]]] = defaultdict(list)
    for split, index, path in every:
        if path.is_file():
            lengths[path.stat().st_size].append((split, index, path))
    contents: dict[str, list[tuple[str, int, Path]]] = defaultdict(list)
    for alike in lengths.values():
        for split, index, path in alike if len(alike) > 1 else ():
            contents[file_digest(path)].append((split, index, path))
    groups = [group for group in contents.values() if len(group) > 1]
    groups.sort(key=lambda group: len({split for split, *_ in group}), reverse=True)  # those of several splits first
    items = [
        Item(group[0][0], group[0][1], [], " = ".join(f"{split}: {path.name}" for split, _, path in group))
        for group in groups
    ]
    advice = "Keep one of each: an image of both splits makes the evaluation look better than it is."
    return Suspicion("Images that are there several times", advice, items, sum(map(len, groups)))
