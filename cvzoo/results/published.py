"""What we measured with published weights, beside what their authors state. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from cvzoo.results.row_files import RowFile
from cvzoo.tasks.sections import metric_title
from cvzoo.zoo import ROWS
from cvzoo.zoo.system import Published

IMAGES = {
    "annotations/instances_val2017.json": 5000,
    "annotations/densepose_minival2014.json": 1508,
    "annotations/instancesonly_filtered_gtFine_val.json": 500,
    "annotations/lvis_v0.5_val.json": 5000,
    "annotations/lvis_v1_val.json": 19809,
    "VOC2007/Annotations": 4952,
    "gtFine/val": 500,
    "annotations/validation": 2000,
    "SegmentationClass": 1449,
}
"""How many images the published figures are of, by where the annotations of a row's validation split lie."""
CLOSE = 0.002
"""Figures agree up to this: authors state tenths of a point, and decoders of JPEG differ by as much again."""


@dataclass(frozen=True)
class Figure:
    """One figure, measured and published, in 0..1."""

    metric: str
    ours: float
    published: float

    @property
    def difference(self) -> float:
        return self.ours - self.published


@dataclass(frozen=True)
class Comparison:
    """What was measured with published weights, beside what is published for them."""

    file: RowFile
    published: Published
    figures: tuple[Figure, ...]
    """Those that both have, in the order of the published ones."""
    reservation: str
    """Why the two need not agree: of other data, or a changed recipe. Empty where they are of the same."""

    def __str__(self) -> str:
        """In a line, as the command line prints it."""
        found = (
            f"{metric_title(x.metric)} {x.ours:.4f}, published {x.published:.4f}, difference {x.difference:+.4f}"
            for x in self.figures
        )
        return f"{self.published.name}: {'; '.join(found)}" + (f" ({self.reservation})" if self.reservation else "")

    @property
    def agrees(self) -> bool:
        """Whether all figures agree; never of other data."""
        return not self.reservation and all(abs(figure.difference) <= CLOSE for figure in self.figures)


def comparison(file: RowFile) -> Comparison | None:
    """The comparison that a row file holds; None where it is not of published weights, or has no figure of theirs."""
    row, name = ROWS.get(file.row), file.changes.get("weights")
    published = next((entry for entry in row.published if entry.name == name), None) if row else None
    ours = file.results.get("val", {})
    if published is None:
        return None
    figures = (Figure(metric, ours[metric], value) for metric, value in published.results.items() if metric in ours)
    found = Comparison(file, published, tuple(figures), _reservation(file, published))
    return found if found.figures else None


def _reservation(file: RowFile, published: Published) -> str:
    changed = [name for name in file.changes if name != "weights" and not name.startswith("run.")]
    if changed:
        return f"with another {', '.join(changed)} than the published figures"
    if published.other_measure:
        return f"the published figures are of another measure: {published.note}"
    expected = IMAGES.get(ROWS[file.row].recipe().data.val.annotations)
    count = file.data.get("images", {}).get("val")
    if expected is not None and count != expected:
        return f"on {count or 'an unknown number of'} images, the published figures are of {expected}"
    return ""
