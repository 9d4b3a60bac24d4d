"""The page of `cvzoo data view`: what a data set holds, suspicious images first, in one file that opens anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from cvzoo.data.build import build_dataset
from cvzoo.data.check import Report, check
from cvzoo.data.config import Data
from cvzoo.data.facts import Facts, Viewed, facts_of
from cvzoo.data.problems import DataError, Problem
from cvzoo.data.suspicions import FEW, Item, rare_classes, suspicions
from cvzoo.files import atomic
from cvzoo.recipes import Recipe
from cvzoo.report.data_charts import aspect_chart, coverage_chart, side_chart, size_chart
from cvzoo.report.page import template
from cvzoo.report.training_samples import as_trained
from cvzoo.structures import Sample, Target, size_of
from cvzoo.tasks.draw_boxes import colour_of, draw
from cvzoo.tasks.draw_label_maps import draw_labels
from cvzoo.tasks.task import data_uri

SHEET = 12
"""Images of a contact sheet."""
SUSPECTS = 6
"""Images that are shown of each suspicion."""
LONG_SIDE = 400
"""Pixels of an image on the page."""
AROUND = 3
"""A suspicious object is shown in a window of so many times its size ..."""
LEAST = 0.25
"""... and of this share of the image at least."""
LISTED = 100
"""Problems that the page lists; the rest is counted."""


@dataclass(frozen=True)
class Figure:
    """An image of the page."""

    source: str
    """A data URI."""
    caption: str


def write_view(data: Data, output: Path, recipe: Recipe[Any] | None = None) -> Report:
    """Write the page of a data set, unless nothing of it can be read.

    Args:
        data: both splits.
        output: the page.
        recipe: of the same data; the images are shown as its training sees them, too.

    Returns: what a check of all but the images' pixels has found; `splits` is empty if there is no page.
    """
    report = check(data, decode=False)
    splits = _in_one_order(report)
    if not splits:
        return report
    facts = {name: facts_of(dataset) for name, dataset in splits.items()}
    sheet = Sheet(splits, [])
    found = [(one, list(sheet.of_items(one.items[:SUSPECTS]))) for one in suspicions(splits, facts)]
    shown = {name: list(sheet.of_items(_spread(name, len(dataset)))) for name, dataset in splits.items()}
    views = [] if recipe is None or report.errors else _augmented(recipe.data)
    text = template("data_view.html").render(
        root=data.root,
        headline=list(_headline(splits, facts)),
        problems=_listed([*report.errors, *sheet.problems]),
        warnings=_listed(report.warnings),
        suspicions=[(one, figures, len(one.items) - len(figures)) for one, figures in found],
        rare={
            name: rare_classes(dataset, facts[name], FEW if name == "train" else 1) for name, dataset in splits.items()
        },
        semantic=data.semantic,
        classes=_class_table(splits, facts),
        charts=[(title, Markup(chart)) for title, chart in _charts(facts, data.semantic)],
        sheets=shown,
        row="" if recipe is None else recipe.row,
        augmented=views,
    )
    with atomic(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return report


def _in_one_order(report: Report) -> dict[str, Viewed]:
    """The splits that could be read, with the labels of the training."""
    splits = dict(report.splits)
    first = next(iter(splits.values()), None)
    alike = [name for name, own in splits.items() if first and sorted(own.classes) == sorted(first.classes)]
    return {name: splits[name].in_order(first.classes) for name in alike} if first else {}


@dataclass(frozen=True)
class Sheet:
    """Draws images of the splits; those that cannot be decoded become problems."""

    splits: Mapping[str, Viewed]
    problems: list[Problem]

    def of_items(self, items: Sequence[Item]) -> Iterator[Figure]:
        for item in items:
            dataset = self.splits[item.split]
            try:
                sample = dataset[item.index]
            except DataError as error:
                self.problems.extend(error.problems)
                continue
            image, target = _close_up(sample, item.objects) if item.objects else (sample.image, sample.target)
            name = f"{item.split}: {dataset.path(item.index).name}"
            caption = item.note if " = " in item.note else f"{name}{', ' * bool(item.note)}{item.note}"
            yield Figure(data_uri(_drawn(image, target, dataset.classes)), caption)


def _close_up(sample: Sample, objects: Sequence[int]) -> tuple[Tensor, Target]:
    """These objects alone, without masks, in a window that lets the first be seen: so many times its size, at least."""
    chosen = sample.target[torch.tensor(objects)]
    starts, ends = [], []
    for low, high, length in zip(chosen.boxes[0, :2].tolist(), chosen.boxes[0, 2:].tolist(), reversed(sample.size)):
        half = max(AROUND * (high - low), length * LEAST) / 2
        starts.append(int(max((low + high) / 2 - half, 0)))
        ends.append(math.ceil(min((low + high) / 2 + half, length)))
    boxes = chosen.boxes - torch.tensor(starts).repeat(2)
    return sample.image[:, starts[1] : ends[1], starts[0] : ends[0]], Target(boxes, chosen.labels)


def _drawn(image: Tensor, target: Target, classes: Sequence[str]) -> Image.Image:
    if target.label_map is not None:
        return draw_labels(image, target.label_map, classes, LONG_SIDE, legend=False)
    return draw(image, target, classes, long_side=LONG_SIDE)


def _spread(split: str, count: int) -> list[Item]:
    """Images from the whole of a split."""
    chosen = np.unique(np.linspace(0, count - 1, min(SHEET, count)).round().astype(int))
    return [Item(split, index, [], "") for index in chosen.tolist()]


def _augmented(data: Data) -> list[Figure]:
    """The first images that a training would see, as it would see them."""
    dataset = build_dataset(data, "train")
    figures = []
    data = replace(data, workers=0, cache=False)
    for image_id, image, target in as_trained(dataset, data, seed=0, batch=1, steps=SHEET):
        drawn, (height, width) = _drawn(image, target, dataset.classes), size_of(image)
        figures.append(Figure(data_uri(drawn), f"image {image_id}, {width} x {height}"))
    return figures


def _headline(splits: Mapping[str, Viewed], facts: Mapping[str, Facts]) -> Iterator[tuple[str, str]]:
    yield "classes", str(len(next(iter(splits.values())).classes))
    for name, own in facts.items():
        yield f"images, {name}", f"{len(own.sizes_N2)}"
        if len(own.rows_G):
            yield f"objects, {name}", f"{len(own.rows_G)}"
        yield f"empty images, {name}", f"{own.empty}"


def _class_table(splits: Mapping[str, Viewed], facts: Mapping[str, Facts]) -> dict[str, Any]:
    """A line for each class, the most frequent first: name, colour, and by split amount, images and bar."""
    names = next(iter(splits.values())).classes
    order = np.argsort(-sum(own.amounts_K for own in facts.values()), kind="stable")
    most = {name: max(int(own.amounts_K.max(initial=0)), 1) for name, own in facts.items()}
    lines = [
        (
            names[label],
            f"rgb{colour_of(label)}",
            [
                (own.amounts_K[label], own.images_K[label], own.amounts_K[label] / most[name])
                for name, own in facts.items()
            ],
        )
        for label in order.tolist()
    ]
    return {"splits": list(facts), "lines": lines}


def _charts(facts: Mapping[str, Facts], semantic: bool) -> Iterator[tuple[str, str]]:
    if not semantic:
        yield "Sizes of the objects", side_chart(facts)
        yield "Aspect ratios of the objects", aspect_chart(facts)
    yield "Sizes of the images", size_chart(facts)
    if not semantic:
        for name, own in facts.items():
            yield f"Where objects lie, {name}", coverage_chart(own, name)


def _listed(problems: Sequence[Problem]) -> tuple[list[Problem], int]:
    """Those to list, and how many more there are."""
    return list(problems[:LISTED]), max(len(problems) - LISTED, 0)
