"""What a predictor sees in an image as a whole: a label map that knows the image's classes and pixels.

Shape suffixes: H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from PIL import Image

from cvzoo.ops import rle
from cvzoo.ops.masks import mask_json
from cvzoo.ops.outlines import outlines
from cvzoo.structures import IGNORE, Segmentation
from cvzoo.tasks.about import About, ClassNames, OfImage, feature, labels_of, optional
from cvzoo.tasks.draw_label_maps import draw_labels, occurring


@dataclass(frozen=True, eq=False)
class Region:
    """The pixels of one class."""

    name: str
    """Of the class."""
    label: int
    mask: np.ndarray = field(repr=False)
    """(H, W) bool."""
    pixels: int
    """How many there are."""
    share: float
    """Of the image, 0..1."""


@dataclass(eq=False, repr=False)
class LabelledPixels(OfImage, Segmentation):
    """The class of every pixel of one image, with its size, path, pixels and the names of the classes.

    `found["road"]`, or a label, gives the pixels of one class as a `Region`; iteration gives those of the classes that
    occur, the largest first, `len` how many these are, and `"road" in found` tells of one.
    """

    about: About = field(kw_only=True)
    """Where they come from."""

    @property
    def counts(self) -> dict[str, int]:
        """How many pixels each class has, of those that have any; the largest first."""
        counts = torch.bincount(self.labels.flatten(), minlength=IGNORE + 1).tolist()
        return {self.classes[label]: counts[label] for label in sorted(self._occurring, key=lambda x: -counts[x])}

    @property
    def _occurring(self) -> list[int]:
        return occurring(self.labels)

    def mask(self, classes: ClassNames) -> np.ndarray:
        """(H, W) bool: the pixels of a class, or of several. ValueError for a class that there is not."""
        return np.isin(self.labels.numpy(), labels_of(classes, self.classes))

    def __len__(self) -> int:
        return len(self._occurring)

    def __getitem__(self, one: str | int) -> Region:
        """ValueError for a class that there is not; of one that does not occur the pixels are none."""
        (label,) = labels_of(one, self.classes)
        mask = self.mask(label)
        pixels = int(mask.sum())
        return Region(str(self.classes[label]), label, mask, pixels, pixels / mask.size)

    def __iter__(self) -> Iterator[Region]:
        return (self[name] for name in self.counts)

    def __contains__(self, one: str | int) -> bool:
        return self[one].pixels > 0

    def __repr__(self) -> str:
        shares = ", ".join(f"{count / self.labels.numel():.0%} {name}" for name, count in self.counts.items())
        return f"<{shares or 'nothing'} in {self.about}>"

    def filter(self, classes: ClassNames) -> Self:
        """The pixels of these classes alone; all others have none (255)."""
        chosen = torch.from_numpy(self.mask(classes))
        return replace(self, labels=torch.where(chosen, self.labels, IGNORE).to(torch.uint8))

    def draw(self, long_side: int | None = None, legend: bool = True) -> Image.Image:
        """The image under the colours of the classes; scaled to a long side, in pixels, if wanted."""
        return draw_labels(self.image, self.labels, self.classes, long_side, legend)

    def to_coco(self, image_id: int = 1) -> list[dict[str, Any]]:
        """A dictionary per class that occurs: `image_id`, `category_id`, and `segmentation`, a run-length code as text.

        Categories are numbered as those of the data set that the weights were trained on.
        """
        labels = self.labels.numpy()
        return [
            {
                "image_id": image_id,
                "category_id": self.about.category_ids[label],
                "segmentation": mask_json(rle.encode(labels == label)),
            }
            for label in self._occurring
        ]

    def to_geojson(self) -> dict[str, Any]:
        """A FeatureCollection of the outlines of each class that occurs, in the image's pixels, y pointing down.

        A feature's properties are `name` and `label`.
        """
        labels = self.labels.numpy()
        features = [
            feature(outlines(labels == label), {"name": self.classes[label], "label": label})
            for label in self._occurring
        ]
        return {"type": "FeatureCollection", "features": features}

    def to_pandas(self) -> Any:
        """A DataFrame with a row per class that occurs: name, label, pixels, share. ValueError without pandas."""
        pandas = optional("pandas", "to_pandas()")
        counts = self.counts
        columns = {"name": list(counts), "label": [self.classes.index(name) for name in counts]}
        shares = [count / self.labels.numel() for count in counts.values()]
        return pandas.DataFrame(columns | {"pixels": list(counts.values()), "share": shares})
