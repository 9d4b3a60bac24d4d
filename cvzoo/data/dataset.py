"""What a data set is to the loader, the evaluation and the reports, whichever reader made it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Protocol, Self

import numpy as np

from cvzoo.structures import Sample


class Dataset(Protocol):
    """Images with their objects, or with a label map, by position 0..len-1."""

    @property
    def classes(self) -> list[str]:
        """Names of the classes; the label of an object or pixel is a position in this list."""
        ...

    @property
    def category_ids(self) -> list[int]:
        """The data set's own id of each class, ascending."""
        ...

    @property
    def image_ids(self) -> np.ndarray:
        """(N,) int64: the data set's own id of each image."""
        ...

    @property
    def sizes(self) -> np.ndarray:
        """(N, 2) int32: height and width of each image."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """The decoded image with its target, in the image's pixels."""
        ...

    def labels(self, index: int) -> np.ndarray:
        """Int64 labels of an image's objects, or the classes of its pixels, without decoding it."""
        ...

    @property
    def digest(self) -> str:
        """A hash of all that is known of the images: another one is another data set."""
        ...

    def in_order(self, classes: list[str]) -> Self:
        """The same data with the classes in another order: a label is a position in `classes`."""
        ...


def digest_of(*parts: Any) -> str:
    """A hash of arrays and of values that JSON can hold."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.tobytes() if isinstance(part, np.ndarray) else json.dumps(part).encode())
    return found.hexdigest()[:16]


def identity(datasets: Mapping[str, Dataset]) -> dict[str, Any]:
    """What a run keeps of the data it has seen, by split: names and ids of the classes, and the digests."""
    (first, *_) = datasets.values()
    return {
        "classes": first.classes,
        "category_ids": first.category_ids,
        "digests": {split: dataset.digest for split, dataset in datasets.items()},
    }


class ObjectDataset(Dataset, Protocol):
    """Images with their objects, crowds left out."""

    @property
    def ground_truth(self) -> dict[str, Any]:
        """The images in COCO's format (images, annotations with crowds, categories), as the evaluation reads it."""
        ...


class LabelMapImages(Dataset, Protocol):
    """Images with a label map each."""

    @property
    def names(self) -> list[str]:
        """A name for each image, without suffix: a relative path, with which files are written about it."""
        ...
