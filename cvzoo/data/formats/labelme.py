"""LabelMe: a JSON for each image, with the rectangles and polygons that were drawn on it.

Places are pixels from the image's corner. A rectangle is a box, a polygon an outline; polygons of one label and one
group are one object in several pieces. Circles, lines and points are no objects and are skipped with a warning. Images
without a JSON are left out with a warning; a JSON without shapes says that there is nothing on the image. The image
inside a JSON is not read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cvzoo.data.config import Split
from cvzoo.data.formats.document import Document, measured
from cvzoo.data.formats.image_lists import annotated
from cvzoo.data.formats.layout import Layout, names_in, paired
from cvzoo.data.problems import Findings, Problem

LOOKED_AT = 20
"""Files that are opened to see what they hold."""
_Polygon = list[float]
_Groups = dict[tuple[str, Any], tuple[str, list[_Polygon]]]
"""By label and group: what the object is called in messages, and its pieces."""


def read(root: Path, split: Split, findings: Findings) -> Document:
    """The images of a split that have a JSON, and the labels of every JSON in its folders."""
    images, others = annotated(root, split, ".json", findings)
    document = Document()
    for image in images:
        file = image.beside(".json")
        content = _content(file, findings)
        size = None if content is None else measured(image.path, findings)
        if content is not None and size is not None:
            document.add_image(image.name, size, file)
            height, width = content.get("imageHeight"), content.get("imageWidth")
            if not (isinstance(height, int) and isinstance(width, int) and min(height, width) > 0) or document.fits(
                (height, width), file, findings
            ):
                _read_shapes(content["shapes"], document, findings)
    unread = (_content(file, Findings()) for file in others)
    shapes = (shape for content in unread if content is not None for shape in content["shapes"])
    document.names = {shape["label"] for shape in shapes if isinstance(shape.get("label"), str)}
    return document


def _content(file: Path, findings: Findings) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        findings.errors.append(Problem(file, f"is not valid JSON ({error})", "save it again in LabelMe"))
        return None
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if isinstance(shapes, list) and all(isinstance(shape, dict) for shape in shapes):
        return content
    findings.errors.append(Problem(file, "is not LabelMe: it has no list of shapes", "move it out of the folder"))
    return None


def _read_shapes(shapes: Iterable[dict[str, Any]], document: Document, findings: Findings) -> None:
    groups: _Groups = {}
    for number, shape in enumerate(shapes, start=1):
        label, kind = shape.get("label"), shape.get("shape_type") or "polygon"
        where = f"shape {number} ({label})"
        if not isinstance(label, str) or not label:
            document.report(findings.errors, f"shape {number} has no label", "give it one or remove it")
        elif kind not in ("rectangle", "polygon"):
            remedy = "it is skipped; outline the object by a polygon or a rectangle"
            document.report(findings.warnings, f"{where} is a {kind}", remedy)
        elif (points := _points(shape.get("points"))) is None or len(points) < (2 if kind == "rectangle" else 3):
            reason = f"{where} has no points of a {kind}"
            document.report(findings.errors, reason, "draw it again or remove it")
        elif kind == "rectangle":
            x, y = zip(*points)
            document.add_box(label, (min(x), min(y), max(x), max(y)), where, findings)
        else:
            group = shape.get("group_id")
            key = (label, number if group is None else f"group {group}")
            groups.setdefault(key, (where, []))[1].append([value for point in points for value in point])
    for (label, _), (where, polygons) in groups.items():
        document.add_outline(label, polygons, where, findings)


def _points(values: Any) -> list[list[float]] | None:
    """Places x, y; None where it is not a list of them."""
    if not isinstance(values, list):
        return None
    sound = all(
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(value, int | float) and math.isfinite(value) for value in point)
        for point in values
    )
    return values if sound else None


def labelme_layout(root: Path) -> Layout | None:
    """JSONs with shapes, called like images."""
    parts = paired(root, ".json", ("annotations", "Annotations", "json", "jsons", "labels", ""))
    for split in parts.values():
        folder = root / split.annotations
        names = [name for name in names_in(folder) if name.endswith(".json")][:LOOKED_AT]
        if any(_content(folder / name, Findings()) for name in names):
            return Layout("labelme", "a LabelMe JSON for each image", parts)
    return None
