"""`cvzoo data check`: everything that is wrong with a data set, found by reading all of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from cvzoo.data.coco import CocoDataset, coco_files
from cvzoo.data.coco_json import read_index
from cvzoo.data.config import Data, Split
from cvzoo.data.doubts import no_objects, no_pixels, other_classes, same_splits
from cvzoo.data.facts import Viewed
from cvzoo.data.formats.converted import coco_split, split_of
from cvzoo.data.images import read_image
from cvzoo.data.label_maps import LabelMapDataset, read_split
from cvzoo.data.problems import DataError, Findings, Problem, listing
from cvzoo.data.shapes import SplitName
from cvzoo.structures import IGNORE, Size, size_of

SHOWN = 40
"""Numbers of classes without names that a line lists."""
UNNAMED = "the file is missing, so classes are called by their numbers here"
NAME_THEM = (
    "list their names in it, one a line in the order of the numbers, or give them as --data.label-maps.classes; only a"
    " row made for this data set is trained without"
)


@dataclass
class Report:
    """The outcome of a check: it is sound when there are no errors."""

    errors: list[Problem] = field(default_factory=list)
    """What stops a training."""
    warnings: list[Problem] = field(default_factory=list)
    """Objects or label maps that training skips."""
    summary: list[str] = field(default_factory=list)
    """One line per sound split, or COCO-format file: images, objects or pixels, classes."""
    splits: dict[str, Viewed] = field(default_factory=dict)
    """What is sound of each split that could be read."""

    def __str__(self) -> str:
        parts = list(self.summary)
        for name, problems in (("error", self.errors), ("warning", self.warnings)):
            if problems:
                plural = "" if len(problems) == 1 else "s"
                parts.append(f"{len(problems)} {name}{plural}:\n{listing(problems)}")
        return "\n".join(parts or ["nothing to check"])


def check(data: Data, decode: bool = True) -> Report:
    """Check both splits of a data set: the annotations or label maps and, to `decode`, every image by decoding it.

    Segmentations are checked with `data.masks`, surfaces with `data.surfaces`.
    """
    report = Report()
    if data.source == "shapes":
        report.summary.append("shapes: drawn on the fly, nothing to check")
    elif not data.root.is_dir():
        problem = Problem(data.root, "the folder of the data set is missing", "name another one")
        report.errors.append(problem)
    else:
        check_split = _check_label_maps if data.source == "label_maps" else _check_objects
        if unnamed := _names_no_class(data):
            report.warnings.append(Problem(data.root / "classes.txt", UNNAMED, NAME_THEM))
            data = _by_numbers(data)
        found = {
            "train": check_split(data, "train", report, decode),
            "val": check_split(data, "val", report, decode),
        }
        report.splits = {name: dataset for name, dataset in found.items() if dataset is not None}
        if unnamed:
            report.splits = _that_occur(report.splits, data.root)
        if len(report.splits) == 2:
            train, val = report.splits.values()
            report.errors += other_classes(train, val, data.root / data.val.annotations)
            report.warnings += same_splits(train, val, data.root)
    return report


def _check_label_maps(data: Data, name: SplitName, report: Report, decode: bool) -> LabelMapDataset | None:
    findings, split = Findings(), split_of(data, name)
    dataset = read_split(data.root, split, data.label_maps, findings, measure=_decoded_size if decode else None)
    report.warnings += findings.warnings
    report.errors = list(dict.fromkeys([*report.errors, *findings.errors]))  # both splits have the classes' problems
    if dataset is None:
        return None
    try:
        dataset = dataset.chosen(data.classes, data.rename, data.root)
    except DataError as error:
        report.errors = list(dict.fromkeys([*report.errors, *error.problems]))
        return None
    if not _is_by_numbers(data):
        report.warnings += no_pixels(dataset.absent, data.root / split.annotations)
    pixels = dataset.pixels.sum(axis=0)
    every = int(dataset.sizes.astype("int64").prod(axis=1).sum())
    report.summary.append(
        f"{data.root / split.images}: {len(dataset)} images, {_classes(data, dataset)}"
        f", {1 - pixels.sum() / every:.1%} of the pixels without a class"
    )
    return dataset


def _classes(data: Data, dataset: LabelMapDataset) -> str:
    """How many there are, and which have no pixel; of classes without names, which numbers have one."""
    absent = dataset.absent
    if _is_by_numbers(data):
        numbers = [name for name in dataset.classes if name not in absent]
        return f"the numbers {', '.join(numbers[:SHOWN])}" + (" ..." if len(numbers) > SHOWN else "")
    return f"{len(dataset.classes)} classes" + (f" (without a pixel: {', '.join(absent)})" if absent else "")


def _names_no_class(data: Data) -> bool:
    """Whether nothing names the classes of label maps: rows made for the data do, or classes.txt."""
    return data.source == "label_maps" and not data.label_maps.classes and not (data.root / "classes.txt").exists()


def _by_numbers(data: Data) -> Data:
    """The same, of label maps whose every number is a class of that name."""
    names = tuple(map(str, range(data.label_maps.reduce_zero, IGNORE)))
    return replace(data, label_maps=replace(data.label_maps, classes=names))


def _is_by_numbers(data: Data) -> bool:
    return data == _by_numbers(data)


def _that_occur(splits: dict[str, Viewed], root: Path) -> dict[str, Viewed]:
    """The splits of the classes alone that one of them has a pixel of."""
    maps = {name: dataset for name, dataset in splits.items() if isinstance(dataset, LabelMapDataset)}
    shown = {name for dataset in maps.values() for name in set(dataset.classes) - set(dataset.absent)}
    return {
        split: dataset.chosen([name for name in dataset.classes if name in shown], (), root)
        for split, dataset in maps.items()
    }


def _decoded_size(path: Path) -> Size:
    return size_of(read_image(path))


def _check_objects(data: Data, name: SplitName, report: Report, decode: bool) -> CocoDataset | None:
    findings = Findings()
    part = coco_split(data, name, findings)
    files: list[tuple[Path, Path]] = []
    try:
        files = [] if part is None else coco_files(data.root, part)
    except DataError as error:
        report.errors += error.problems
    index = read_index(files, findings, data.masks, data.surfaces) if files else None
    report.warnings += findings.warnings
    report.errors += findings.errors
    if index is None:
        return None
    try:
        dataset = CocoDataset(index, [annotations for annotations, _ in files]).chosen(data.classes, data.rename)
    except DataError as error:
        report.errors += error.problems
        return None
    if not findings.errors:  # then more than these may be the reason
        file = data.root / split_of(data, name).annotations
        if name == "train":
            report.errors += no_objects(dataset.counts, "learn", file)
        else:
            report.warnings += no_objects(dataset.counts, "find", file)
    if decode:
        report.errors += _decode_all(dataset, {problem.file for problem in findings.errors}, data.workers)
    report.summary.append(
        f"{_place(data, split_of(data, name))}: {len(dataset)} images"
        f" ({int((dataset.counts == 0).sum())} without objects), "
        f"{int(dataset.counts.sum())} objects, {len(dataset.classes)} classes"
        + (f", {int(index.surfaces.annotated.sum())} surfaces" if index.surfaces is not None else "")
    )
    return dataset


def _place(data: Data, split: Split) -> str:
    """What a split is called: its annotations, and the lists that choose among them."""
    return ", ".join([str(data.root / split.annotations), *split.lists])


def _decode_all(dataset: CocoDataset, missing: set[Path], workers: int) -> list[Problem]:
    """What is wrong with the images that are not missing."""
    present = [i for i in range(len(dataset)) if dataset.path(i) not in missing and dataset.path(i).parent.is_dir()]
    with ThreadPoolExecutor(max(workers, 1)) as pool:  # decoding leaves Python's lock, so threads serve
        return [problem for problems in pool.map(lambda i: _decode(dataset, i), present) for problem in problems]


def _decode(dataset: CocoDataset, index: int) -> list[Problem]:
    try:
        dataset[index]
    except DataError as error:
        return error.problems
    return []
