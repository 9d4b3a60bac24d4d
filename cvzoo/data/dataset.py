"""What a data set is to the loader, the evaluation and the reports, whichever reader made it."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from cvzoo.structures import Sample


class Dataset(Protocol):
    """Pictures with their objects, by position 0..len-1."""

    @property
    def classes(self) -> list[str]:
        """Names of the classes; the label of an object is a position in this list."""
        ...

    @property
    def category_ids(self) -> list[int]:
        """The data set's own category id of each class, ascending."""
        ...

    @property
    def image_ids(self) -> np.ndarray:
        """(N,) int64: the data set's own id of each picture."""
        ...

    @property
    def sizes(self) -> np.ndarray:
        """(N, 2) int32: height and width of each picture."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """The decoded picture with its objects (crowds left out), in the picture's pixels."""
        ...

    def labels(self, index: int) -> np.ndarray:
        """(G,) int64 labels of the objects of a picture, without decoding it."""
        ...

    @property
    def ground_truth(self) -> dict[str, Any]:
        """The pictures in COCO's format (images, annotations with crowds, categories), as the evaluation reads it."""
        ...
