"""Data sets of semantic segmentation: images, and for each a label map that gives every pixel a class number.

Everything is read before a training starts: label maps are decoded, of images only the header is.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from cvzoo.data.class_choice import choose
from cvzoo.data.config import LabelMaps, Split
from cvzoo.data.dataset import digest_of
from cvzoo.data.doubts import no_pixels
from cvzoo.data.images import read_image, read_numbers
from cvzoo.data.label_looks import Look, look_at, other_size, recall_or_look
from cvzoo.data.pairs import Pair, find_pairs, read_lines
from cvzoo.data.problems import DataError, Findings, Problem, listing
from cvzoo.structures import IGNORE, Sample, Size, Target, size_of

log = logging.getLogger(__name__)

NUMBERS = 1 << 16
"""Numbers that a pixel of a label map can hold."""
OFTEN = 10
"""A wrong number in more label maps than this is one problem, not a problem of each."""


@dataclass(frozen=True)
class LabelMapDataset:
    """The images of one split; see `LabelMapImages` for the attributes."""

    classes: list[str]
    image_ids: np.ndarray
    """(N,) int64 positions in the order of the split."""
    sizes: np.ndarray
    pixels: np.ndarray
    """(N, K) int64: pixels of each class in each image."""
    pairs: list[Pair]
    """The files of each image."""
    table: np.ndarray
    """(65536,) uint8: from the number in a file to the class, or to IGNORE."""

    @staticmethod
    def open(root: Path, split: Split, settings: LabelMaps, limit: int | None = None) -> LabelMapDataset:
        """Read and check a split, or its first `limit` images.

        Raises: DataError listing every problem of the folders, lists and files.
        """
        if not root.is_dir():
            remedy = "name the data set's folder with --data.root"
            raise DataError([Problem(root, "the folder of the data set is missing", remedy)])
        findings = Findings()
        dataset = read_split(root, split, settings, findings, limit)
        if findings.errors or dataset is None:
            raise DataError(findings.errors)
        if findings.warnings:
            log.warning("%d label maps are skipped:\n%s", len(findings.warnings), listing(findings.warnings))
        if unseen := no_pixels(dataset.absent, root / split.annotations):
            log.warning("%s", listing(unseen))
        return dataset

    def select(self, rows: np.ndarray) -> LabelMapDataset:
        """The data set of these positions only."""
        pairs = [self.pairs[row] for row in rows.tolist()]
        return replace(
            self, image_ids=self.image_ids[rows], sizes=self.sizes[rows], pixels=self.pixels[rows], pairs=pairs
        )

    @property
    def absent(self) -> list[str]:
        """The classes of which no image has a pixel."""
        return [name for name, count in zip(self.classes, self.pixels.sum(axis=0)) if not count]

    @property
    def category_ids(self) -> list[int]:
        """The numbers of the classes, which are their positions."""
        return list(range(len(self.classes)))

    @property
    def digest(self) -> str:
        return digest_of(self.classes, self.names, self.sizes, self.pixels)

    def in_order(self, classes: list[str]) -> LabelMapDataset:
        return self._with_classes(classes, np.argsort([self.classes.index(name) for name in classes]))

    def chosen(self, classes: Sequence[str], rename: Sequence[str], root: Path) -> LabelMapDataset:
        """The same images with these classes under these names only; other pixels are ignored. See `choose`.

        Raises: DataError.
        """
        return self._with_classes(*choose(self.classes, classes, rename, root))

    def _with_classes(self, classes: list[str], labels_K: np.ndarray) -> LabelMapDataset:
        """`labels_K` is the new label of each class, -1 where its pixels are ignored."""
        meaning = np.full(IGNORE + 1, IGNORE, np.uint8)
        meaning[: len(labels_K)] = np.where(labels_K < 0, IGNORE, labels_K)
        pixels = np.zeros((len(self.pixels), len(classes)), np.int64)
        for label, of_class in zip(labels_K.tolist(), self.pixels.T):
            if label >= 0:
                pixels[:, label] += of_class
        return replace(self, classes=classes, pixels=pixels, table=meaning[self.table])

    @property
    def names(self) -> list[str]:
        """The name of each image, without suffix, relative to the split's folder or the root."""
        return [pair.name for pair in self.pairs]

    def path(self, index: int) -> Path:
        """The image's file."""
        return self.pairs[index].image

    def labels(self, index: int) -> np.ndarray:
        """Int64 classes that the image shows, without decoding it."""
        return np.flatnonzero(self.pixels[index])

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """The decoded image with its label map.

        Raises: DataError if one cannot be decoded, or they are not of one size.
        """
        pair = self.pairs[index]
        image, numbers = read_image(pair.image), read_numbers(pair.label_map)
        size = size_of(image)
        if numbers.shape != size:
            raise DataError([other_size(pair, numbers, size)])
        target = replace(Target.empty(), label_map=torch.from_numpy(self.table[numbers]))
        return Sample(image, target, int(self.image_ids[index]), size)


def read_split(
    root: Path,
    split: Split,
    settings: LabelMaps,
    findings: Findings,
    limit: int | None = None,
    measure: Callable[[Path], Size] | None = None,
) -> LabelMapDataset | None:
    """Find and check the images of a split, or the first `limit`; None unless all of them are sound.

    Args:
        measure: gives the size of an image; what it raises is a problem of the image. Then all is looked at anew.
    """
    classes = _read_classes(root, settings, findings)
    pairs = find_pairs(root, split, settings, findings)[:limit]
    meaning = number_meaning(settings, len(classes))
    if measure is None:
        split_name = (str(root.resolve()), split.images, split.annotations, *split.lists, str(limit))
        looks = recall_or_look(pairs, *split_name)
    else:
        looks = look_at(pairs, measure)
    unknown = [[number for number in look.numbers.tolist() if number not in meaning] for look in looks]
    if classes:  # without, every number would be unknown
        findings.errors += _unknown(pairs, unknown, settings, len(classes))
    findings.errors += [problem for look in looks for problem in look.problems]
    if findings.errors:
        return None
    pixels = np.stack([_pixels(look, meaning, len(classes)) for look in looks])
    if not pixels.any():
        remedy = "correct --data.label-maps.ignored, or the label maps"
        findings.errors.append(Problem(pairs[0].label_map.parent, "no pixel of any label map has a class", remedy))
        return None
    table = np.full(NUMBERS, IGNORE, np.uint8)
    table[list(meaning)] = list(meaning.values())
    sizes = np.array([look.size for look in looks], np.int32)
    return LabelMapDataset(classes, np.arange(len(pairs)), sizes, pixels, pairs, table)


def number_meaning(settings: LabelMaps, classes: int) -> dict[int, int]:
    """The class, or IGNORE, of every number that a file may hold."""
    first = int(settings.reduce_zero)
    meaning = {first + label: label for label in range(classes)}
    ignored = {IGNORE, *settings.ignored} | ({0} if settings.reduce_zero else set())
    # Negative numbers count from the end of a table of all numbers, where everything is ignored.
    return meaning | {number: IGNORE for number in ignored if classes - NUMBERS < number < NUMBERS}


def _read_classes(root: Path, settings: LabelMaps, findings: Findings) -> list[str]:
    """The names of the classes; none, with the reason in `findings`, if they cannot be used."""
    file = root
    classes = list(settings.classes)
    if not classes:
        file = root / "classes.txt"
        lines = read_lines(file, findings, "name the classes with --data.label-maps.classes")
        if lines is None:
            return []
        classes = list(lines.values())
    room = IGNORE - settings.reduce_zero
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if not classes:
        findings.errors.append(Problem(file, "names no class", "name one in each line"))
    elif len(classes) > room:
        reason = f"there are {len(classes)} classes, but only {room} fit into a label map"
        findings.errors.append(Problem(file, reason, "merge or leave out some classes"))
    elif twice:
        reason = f"the classes {', '.join(twice)} are named more than once"
        findings.errors.append(Problem(file, reason, "give every class its own name"))
    else:
        return classes
    return []


def _pixels(look: Look, meaning: dict[int, int], classes: int) -> np.ndarray:
    """(K,) int64 pixels of each class."""
    pixels = np.zeros(IGNORE + 1, np.int64)
    np.add.at(pixels, [meaning[number] for number in look.numbers.tolist()], look.counts)
    return pixels[:classes]


def _unknown(pairs: Sequence[Pair], unknown: Sequence[list[int]], settings: LabelMaps, classes: int) -> list[Problem]:
    """The numbers that mean nothing: those of many label maps once, the others with each label map."""
    first = int(settings.reduce_zero)
    there = f"there are {classes} classes ({first} to {classes - 1 + first})"
    remedy = "name it in --data.label-maps.ignored, or correct the label maps or the classes"
    often = {n: count for n, count in Counter(n for numbers in unknown for n in numbers).items() if count > OFTEN}
    problems: list[Problem] = []
    for number, count in sorted(often.items()):
        file = next(pair.label_map for pair, found in zip(pairs, unknown) if number in found)
        reason = f"holds the number {number}, as do {count - 1} other label maps, but {there}"
        problems.append(Problem(file, reason, remedy))
    for pair, found in zip(pairs, unknown):
        numbers = [str(number) for number in found if number not in often]
        if numbers:
            shown = ", ".join(numbers[:OFTEN]) + (", ..." if len(numbers) > OFTEN else "")
            reason = f"holds the number{'s' if len(numbers) > 1 else ''} {shown}, but {there}"
            problems.append(Problem(pair.label_map, reason, remedy))
    return problems
