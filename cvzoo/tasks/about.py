"""What an answer that a predictor gives knows of its image."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from cvzoo.data.images import read_image
from cvzoo.structures import Size

ClassNames = str | int | Iterable[str | int]
"""A class or several, by name or label."""


@dataclass(frozen=True, kw_only=True)
class About:
    """Where an answer comes from."""

    classes: Sequence[str]
    """Names of the classes, by label."""
    category_ids: Sequence[int]
    """The number of each class in the data set that the weights were trained on."""
    size: Size
    """Height and width of the image."""
    path: Path | str | None = None
    """The file or address of the image or video; None of what was in memory."""
    frame: int | None = None
    """Which frame of a video it is, from 0."""
    time: float | None = None
    """Of a video: when it is seen, in seconds after the first frame."""
    pixels: Tensor | None = field(default=None, repr=False)
    """(3, H, W) uint8 RGB, unless they can be read again from the path."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """How long `read`, `resize` and `predict` took; of images predicted together each has an equal part."""

    def image(self) -> Tensor:
        """(3, H, W) uint8 RGB. DataError where the file is gone."""
        return self.pixels if self.pixels is not None else read_image(Path(self.path or ""))

    def __str__(self) -> str:
        """Size and name of the image."""
        height, width = self.size
        frame = "" if self.frame is None else f" frame {self.frame}"
        return f"{width} x {height}" + (f", {Path(self.path).name}{frame}" if self.path is not None else "")


def labels_of(classes: ClassNames, names: Sequence[str]) -> list[int]:
    """The labels that are meant among classes of these names.

    ValueError for a name or number that is none, with the nearest names.
    """
    asked = [classes] if isinstance(classes, str | int) else list(classes)
    unknown = [one for one in asked if one not in names and one not in range(len(names))]
    if unknown:
        near = [name for one in unknown for name in difflib.get_close_matches(str(one), names, n=2)]
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {_some(names)}"
        raise ValueError(f"no class is called {', '.join(map(repr, unknown))}; {hint}")
    return [names.index(one) if isinstance(one, str) else one for one in asked]


class OfImage(ABC):
    """An answer that knows its image, and can be drawn on it."""

    about: About

    @property
    def classes(self) -> Sequence[str]:
        """Names of all classes that the model knows, by label."""
        return self.about.classes

    @property
    def size(self) -> Size:
        """Height and width of the image."""
        return self.about.size

    @property
    def path(self) -> Path | str | None:
        """The file or address of the image or video; None of what was in memory."""
        return self.about.path

    @property
    def seconds(self) -> Mapping[str, float]:
        """How long `read`, `resize` and `predict` took; of images predicted together each has an equal part."""
        return self.about.seconds

    @property
    def image(self) -> Tensor:
        """(3, H, W) uint8 RGB; that of a file is read again. DataError where the file is gone."""
        return self.about.image()

    @abstractmethod
    def draw(self) -> Image.Image:
        """The image with the answer drawn on it."""

    def show(self) -> None:
        """Open the drawn image in the desktop's viewer."""
        self.draw().show()

    def save(self, path: str | Path) -> Path:
        """Write the drawn image, in the format that the path's suffix names. ValueError where it names none."""
        path = Path(path)
        if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
            raise ValueError(f"{path} names no format of images; give it a name that ends in .png or .jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.draw().save(path)
        return path


def optional(package: str, asked_by: str) -> Any:
    """A package that cvzoo does without. ValueError that says how to install it."""
    try:
        return import_module(package)
    except ImportError as error:
        raise ValueError(f"{asked_by} needs a package ({error}): pip install {package}") from error


def feature(polygons: Sequence[Sequence[Any]], properties: dict[str, Any]) -> dict[str, Any]:
    """A GeoJSON feature of polygons, each of rings (P, 2), in the image's pixels."""
    coordinates = [[[[float(x), float(y)] for x, y in ring] for ring in rings] for rings in polygons]
    geometry = {"type": "MultiPolygon", "coordinates": coordinates}
    if len(coordinates) == 1:
        geometry = {"type": "Polygon", "coordinates": coordinates[0]}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
