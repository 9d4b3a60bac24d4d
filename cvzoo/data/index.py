"""All that a data set of objects is, in a few flat arrays: in memory, or mapped from a file that processes share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cvzoo.data.annotation_cache import Stored, stored
from cvzoo.data.dataset import digest_of
from cvzoo.data.problems import DataError, Problem
from cvzoo.data.ragged import Ragged, edges_of, text, texts
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
    """(K,) int64 label of each category, where it is not its number; -1 where its objects are left out."""
    file: Path | None = None
    """From which the arrays are mapped."""
    noted_digest: str | None = None
    """Where the digest is known."""
    numbers_of: list[dict[int, int]] = field(default_factory=list)
    """Of each annotation file: the number of each of its category ids."""
    shifts: list[int] = field(default_factory=list)
    """Of each annotation file: what was added to its image ids, so that no two are alike."""

    def file_name(self, row: int) -> str:
        """Of an image, relative to its folder."""
        return text(self.names[row])

    def labels(self, objects: slice | np.ndarray) -> np.ndarray:
        """Int64 labels of these objects, positions in `classes`; -1 of those that are left out."""
        return self.numbers[objects] if self.order is None else self.order[self.numbers[objects]]

    def objects(self, row: int) -> np.ndarray:
        """Int64 numbers of an image's objects, without those that are left out."""
        objects = np.arange(self.offsets[row], self.offsets[row + 1])
        return objects if self._complete else objects[self.labels(objects) >= 0]

    @cached_property
    def ends(self) -> np.ndarray:
        """(N + 1,) int64: `offsets`, were there no objects but those that are not left out."""
        if self._complete:
            return self.offsets
        return edges_of(self.labels(slice(None)) >= 0)[self.offsets]

    @property
    def _complete(self) -> bool:
        return self.order is None or bool((self.order >= 0).all())

    def with_classes(self, classes: list[str], labels_K: np.ndarray) -> Index:
        """The same with other classes: `labels_K` is the new label of each class, -1 where its objects are left out.

        Of classes that become one the id of that with its name stays, or the lowest.
        """
        if classes == self.classes and (labels_K == np.arange(len(classes))).all():
            return self
        order = labels_K if self.order is None else np.append(labels_K, -1)[self.order]
        former = list(zip(labels_K.tolist(), self.classes, self.category_ids))
        ids = [
            min((former_name != name, own) for label, former_name, own in former if label == new)[1]
            for new, name in enumerate(classes)
        ]
        return replace(self, classes=classes, category_ids=ids, order=order, noted_digest=None)

    def ids_of(self, file: int) -> dict[int, int]:
        """The category ids of an annotation file, and what each is here, without those that are left out."""
        order = range(len(self.category_ids)) if self.order is None else self.order.tolist()
        found = {own: order[number] for own, number in self.numbers_of[file].items()}
        return {own: self.category_ids[label] for own, label in found.items() if label >= 0}

    def in_order(self, classes: list[str]) -> Index:
        """The same with the classes in another order."""
        return self.with_classes(classes, np.argsort([self.classes.index(name) for name in classes]))

    def among(self, classes: list[str]) -> Index:
        """The same with all of these classes, of which some have no object here; their ids count from 1."""
        labels_K = np.array([classes.index(name) for name in self.classes], np.int64)
        order = labels_K if self.order is None else np.append(labels_K, -1)[self.order]
        ids = list(range(1, len(classes) + 1))
        return replace(self, classes=classes, category_ids=ids, order=order, noted_digest=None)

    @cached_property
    def digest(self) -> str:
        """See `Dataset`; hashed once, however many data sets show parts of the index."""
        if self.noted_digest is not None:
            return self.noted_digest
        names = [self.classes, self.category_ids, texts(self.names)]
        labels = self.labels(slice(None))
        boxes = self.boxes if self._complete else self.boxes[labels >= 0]
        return digest_of(names, self.image_ids, self.sizes, boxes, labels[labels >= 0], self.ends)

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
        numbers = [list(own.items()) for own in self.numbers_of]
        known = {"classes": self.classes, "category_ids": self.category_ids, "digest": self.digest}
        return known | {"numbers_of": numbers, "shifts": self.shifts}

    def __getstate__(self) -> dict[str, Any]:
        mapped = ("ends",) if self.file is None else (*PLAIN, "names", "segments", "surfaces", "ends")
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
    fields = {name: notes[name] for name in ("classes", "category_ids", "shifts")}
    fields |= {"numbers_of": [dict(pairs) for pairs in notes["numbers_of"]], "noted_digest": notes["digest"]}
    return Index(**fields, folders=folders, **_mapped(found.arrays), file=found.file)


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
