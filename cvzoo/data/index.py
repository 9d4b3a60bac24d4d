"""All that a data set of objects is, in a few flat arrays: in memory, or mapped from a file that processes share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cvzoo.data.annotation_cache import Stored, stored
from cvzoo.data.dataset import digest_of
from cvzoo.data.problems import DataError, Problem
from cvzoo.data.ragged import Ragged, text, texts
from cvzoo.data.segments import Segments
from cvzoo.data.surfaces import Surfaces

PLAIN = ("image_ids", "sizes", "folder_of", "boxes", "numbers", "offsets")
"""Fields of an index that are one array."""


@dataclass
class Index:
    """The annotations of one or several files: 860 000 boxes of COCO take 20 MB.

    One whose arrays are mapped from a file is pickled without them, and maps that file again.
    """

    classes: list[str]
    category_ids: list[int]
    folders: list[Path]
    """Of the images of each annotation file."""
    image_ids: np.ndarray
    """(N,) int64."""
    sizes: np.ndarray
    """(N, 2) int32 height and width."""
    names: Ragged
    """N file names, relative to the folder of the images."""
    folder_of: np.ndarray
    """(N,) uint8: the folder of each image."""
    boxes: np.ndarray
    """(G, 4) float32 xyxy, clipped to the image, sorted by image; crowds left out."""
    numbers: np.ndarray
    """(G,) int64: the category of each object, counted by ascending id."""
    offsets: np.ndarray
    """(N + 1,) int64: the boxes of image n are offsets[n]:offsets[n + 1]."""
    segments: Segments | None = None
    """G masks, where they were asked for."""
    surfaces: Surfaces | None = None
    """G surfaces, where they were asked for."""
    order: np.ndarray | None = None
    """(K,) int64 label of each category, where it is not its number."""
    file: Path | None = None
    """From which the arrays are mapped."""
    noted_digest: str | None = None
    """Where the digest is known."""

    def file_name(self, row: int) -> str:
        """Of an image, relative to its folder."""
        return text(self.names[row])

    def labels(self, span: slice) -> np.ndarray:
        """Int64 labels of these objects, positions in `classes`."""
        return self.numbers[span] if self.order is None else self.order[self.numbers[span]]

    def in_order(self, classes: list[str]) -> Index:
        """The same with the classes in another order."""
        before = [self.classes.index(name) for name in classes]
        order = np.argsort(before) if self.order is None else np.argsort(before)[self.order]
        ids = [self.category_ids[label] for label in before]
        return replace(self, classes=classes, category_ids=ids, order=order, noted_digest=None)

    @cached_property
    def digest(self) -> str:
        """See `Dataset`; hashed once, however many data sets show parts of the index."""
        if self.noted_digest is not None:
            return self.noted_digest
        names = [self.classes, self.category_ids, texts(self.names)]
        return digest_of(names, self.image_ids, self.sizes, self.boxes, self.labels(slice(None)), self.offsets)

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, as a file holds them."""
        flat = {name: getattr(self, name) for name in PLAIN}
        flat |= {f"names.{name}": array for name, array in vars(self.names).items()}
        if self.segments is not None:
            flat["segments.objects"] = self.segments.objects
            flat |= {f"polygons.{name}": array for name, array in vars(self.segments.polygons).items()}
            flat |= {f"codes.{name}": array for name, array in vars(self.segments.codes).items()}
        if self.surfaces is not None:
            flat |= {f"surfaces.{name}": array for name, array in vars(self.surfaces).items()}
        return flat

    def notes(self) -> dict[str, Any]:
        """What else a file holds."""
        return {"classes": self.classes, "category_ids": self.category_ids, "digest": self.digest}

    def __getstate__(self) -> dict[str, Any]:
        mapped = () if self.file is None else (*PLAIN, "names", "segments", "surfaces")
        return {name: value for name, value in vars(self).items() if name not in mapped}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if self.file is not None:
            found = stored(self.file)
            if found is None:
                raise DataError([Problem(self.file, "is gone, though it is in use", "repeat the command")])
            vars(self).update(_mapped(found.arrays))


def index_of(found: Stored, folders: list[Path]) -> Index:
    """An index whose arrays lie in a file, of images in these folders."""
    notes = found.notes
    ids, digest = notes["category_ids"], notes["digest"]
    return Index(notes["classes"], ids, folders, **_mapped(found.arrays), file=found.file, noted_digest=digest)


def _mapped(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The fields of an index that `Index.arrays` has laid flat."""

    def within(prefix: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

    fields: dict[str, Any] = {name: arrays[name] for name in PLAIN}
    fields |= {"names": Ragged(**within("names.")), "segments": None, "surfaces": None}
    if "segments.objects" in arrays:
        polygons, codes = Ragged(**within("polygons.")), Ragged(**within("codes."))
        fields["segments"] = Segments(polygons, arrays["segments.objects"], codes)
    if surfaces := within("surfaces."):
        fields["surfaces"] = Surfaces(**surfaces)
    return fields
