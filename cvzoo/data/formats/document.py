"""One split of a data set as a reader has found it: COCO's records, but every object with its class's name."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvzoo.data.formats.origin import MADE_FROM
from cvzoo.data.images import read_size
from cvzoo.data.problems import DataError, Findings, Problem
from cvzoo.structures import Size

CLASS = "class"
"""Key of an object: the name of its class, until the classes of all splits are known and have numbers."""


@dataclass
class Document:
    """Grows image by image, each followed by its objects."""

    names: Collection[str] = ()
    """Classes that there are, besides those of the objects."""
    numbers: dict[int, str] | None = None
    """All classes by number, where the format numbers them."""
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)

    def add_image(self, name: str, size: Size, file: Path) -> None:
        """An image by its path relative to the root; `file` annotates it."""
        number = len(self.images) + 1
        record = {"id": number, "file_name": name, "height": size[0], "width": size[1], MADE_FROM: str(file)}
        self.images.append(record)

    def fits(self, stated: Size, file: Path, findings: Findings) -> bool:
        """Whether the last image has the size that its annotations in `file` are for; says what is wrong if not."""
        own = (self.images[-1]["height"], self.images[-1]["width"])
        if own == stated:
            return True
        name = self.images[-1]["file_name"]
        reason = f"is for {name} of {stated[1]} x {stated[0]} pixels, which has {own[1]} x {own[0]} once upright"
        findings.errors.append(Problem(file, reason, "put the image of that size there, or correct size and objects"))
        return False

    def add_box(self, name: str, corners: Sequence[float], where: str, findings: Findings, crowd: bool = False) -> None:
        """An object of the last image, of the class `name`.

        Args:
            corners: x1, y1, x2, y2 in pixels from the image's corner.
            where: what the object is called where something is wrong with it.
        """
        if self._is_sound(corners, where, findings):
            self._add(name, corners, crowd)

    def add_outline(self, name: str, polygons: Sequence[Sequence[float]], where: str, findings: Findings) -> None:
        """An object of the last image by polygons of x0, y0, x1, y1, ... in pixels; its box is the one around them."""
        x, y = ([number for polygon in polygons for number in polygon[axis::2]] for axis in (0, 1))
        corners = (min(x), min(y), max(x), max(y))
        if self._is_sound(corners, where, findings):
            self._add(name, corners)
            self.annotations[-1]["segmentation"] = [list(map(float, polygon)) for polygon in polygons]

    def report(self, problems: list[Problem], reason: str, remedy: str) -> None:
        """Something is wrong with the last image's annotations."""
        problems.append(Problem(Path(self.images[-1][MADE_FROM]), reason, remedy))

    def _is_sound(self, corners: Sequence[float], where: str, findings: Findings) -> bool:
        """Whether an object can be learnt from; says why not."""
        x1, y1, x2, y2 = corners
        shown = ", ".join(f"{number:g}" for number in corners)
        width, height = self.images[-1]["width"], self.images[-1]["height"]
        if not all(map(math.isfinite, corners)):
            reason = f"has a corner that is no number: {shown}"
        elif x2 < x1 or y2 < y1:
            reason = f"ends before it begins: its corners are {shown}"
        elif x1 >= width or y1 >= height or x2 < 0 or y2 < 0:
            reason = f"lies outside its image of {width} x {height} pixels: its corners are {shown}"
        elif x2 > x1 and y2 > y1:
            return True
        else:
            remedy = "it is skipped; give it an area or remove it"
            self.report(findings.warnings, f"{where} has no area: its corners are {shown}", remedy)
            return False
        self.report(findings.errors, f"{where} {reason}", "correct or remove it")
        return False

    def _add(self, name: str, corners: Sequence[float], crowd: bool = False) -> None:
        x1, y1, x2, y2 = corners
        number, box = len(self.annotations) + 1, [x1, y1, x2 - x1, y2 - y1]
        record = {"id": number, "image_id": len(self.images), CLASS: name, "bbox": box, "iscrowd": int(crowd)}
        self.annotations.append(record)


def measured(image: Path, findings: Findings) -> Size | None:
    """Height and width from an image's header; None, with the reason in `findings`, where it cannot be read."""
    try:
        return read_size(image)
    except DataError as error:
        findings.errors += error.problems
        return None
