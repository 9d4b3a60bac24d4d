"""What a predictor finds in an image: detections that know its classes and pixels.

Shape suffixes: D detections, H W pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cvzoo.metrics.predictions import to_coco
from cvzoo.ops import rle
from cvzoo.ops.outlines import Rings, outlines
from cvzoo.structures import RLE, Prediction
from cvzoo.tasks.about import About, ClassNames, OfImage, feature, labels_of, optional
from cvzoo.tasks.draw_boxes import as_pil, draw
from cvzoo.tasks.draw_surfaces import draw_surfaces

Rows = slice | Sequence[int] | Sequence[bool] | np.ndarray | Tensor
"""Some of several detections, as NumPy indexes rows."""


@dataclass(frozen=True, eq=False)
class Detection:
    """One object."""

    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in the image's pixels."""
    score: float
    """0..1."""
    label: int
    name: str
    """Of its class."""
    rle: RLE | None = field(default=None, repr=False)
    """Its mask as pycocotools' run-length code, from a model that predicts masks."""
    surface: Tensor | None = field(default=None, repr=False)
    """Its map of dense pose: see `cvzoo.structures.Prediction.surfaces`."""

    @property
    def mask(self) -> np.ndarray | None:
        """(H, W) bool: its pixels, from a model that predicts masks."""
        return None if self.rle is None else rle.decode(self.rle).astype(bool)


@dataclass(eq=False, repr=False)
class Detections(OfImage, Prediction):
    """The detections of one image by falling score, with its size, path, pixels and the names of the classes.

    `len`, iteration and an index give single ones as `Detection`; slices, lists of numbers, and masks of booleans
    (`found[found.scores > 0.5]`) give some of them.
    """

    about: About = field(kw_only=True)
    """Where they come from."""

    @staticmethod
    def of(found: Prediction, about: About) -> Detections:
        """What was found in the image that `about` tells of."""
        return Detections(found.boxes, found.scores, found.labels, found.masks, found.surfaces, about=about)

    @property
    def names(self) -> list[str]:
        """The class of each detection."""
        return [str(self.classes[label]) for label in self.labels.tolist()]

    @overload
    def __getitem__(self, index: int) -> Detection: ...
    @overload
    def __getitem__(self, index: Rows) -> Self: ...

    def __getitem__(self, index: int | Rows) -> Detection | Self:
        if isinstance(index, str):
            raise IndexError(f"detections are indexed by number; those of a class are .filter(classes=[{index!r}])")
        rows = np.arange(len(self))[index.numpy() if isinstance(index, Tensor) else index]
        if rows.ndim:
            return super().__getitem__(torch.from_numpy(rows.copy()))
        row = int(rows)
        x1, y1, x2, y2 = self.boxes[row].tolist()
        label = int(self.labels[row])
        return Detection(
            box=(x1, y1, x2, y2),
            score=float(self.scores[row]),
            label=label,
            name=self.classes[label],
            rle=self.masks[row] if self.masks else None,
            surface=self.surfaces[row] if self.surfaces else None,
        )

    def __iter__(self) -> Iterator[Detection]:
        return (self[row] for row in range(len(self)))

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} × {name}" for name, count in Counter(self.names).most_common())
        return f"<{counts or 'nothing'} in {self.about}>"

    def __reduce__(self) -> tuple[Any, ...]:
        plain = Prediction(self.boxes, self.scores, self.labels, self.masks, self.surfaces)
        return Detections.of, (plain, self.about)

    def filter(self, min_score: float = 0.0, classes: ClassNames | None = None) -> Self:
        """Those that score at least `min_score` and are of one of the classes, by name or label; None is any.

        ValueError for a class that there is not.
        """
        chosen_D = self.scores >= min_score
        if classes is not None:
            chosen_D &= torch.isin(self.labels, torch.tensor(labels_of(classes, self.classes), dtype=torch.int64))
        return self[chosen_D]

    def draw(self, long_side: int | None = None) -> Image.Image:
        """The image with boxes, masks or surfaces, names and scores; scaled to a long side, in pixels, if wanted."""
        how = draw if self.surfaces is None else draw_surfaces
        return how(self.image, self, self.classes, long_side=long_side)

    def crop(self, margin: float = 0.0) -> list[Image.Image]:
        """The part of the image in each box, a pixel at least; `margin` widens it on all sides, as a share of it."""
        height, width = self.size
        whole = as_pil(self.image)
        corners = self.boxes.double().numpy()
        more = (corners[:, 2:] - corners[:, :2]) * margin
        corners = np.concatenate([np.floor(corners[:, :2] - more), np.ceil(corners[:, 2:] + more)], axis=1)
        limit = np.array([width, height])
        first = corners[:, :2].clip(0, limit - 1)
        last = np.maximum(corners[:, 2:].clip(0, limit), first + 1)
        return [whole.crop(box) for box in np.concatenate([first, last], axis=1).astype(int).tolist()]

    def to_coco(self, image_id: int = 1) -> list[dict[str, Any]]:
        """A dictionary per detection, as COCO's results have it: `image_id`, `category_id`, `bbox`, `score`, and of a
        mask `segmentation`. Categories are numbered as those of the data set that the weights were trained on.
        """
        return to_coco([self], [image_id], self.about.category_ids)

    def to_yolo(self) -> str:
        """A line per detection: label, centre x and y, width and height as shares of the image's, and the score."""
        height, width = self.size
        lines = []
        for found in self:
            x1, y1, x2, y2 = found.box
            shares = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
            lines.append(" ".join([str(found.label), *(f"{share:.6f}" for share in shares), f"{found.score:.4f}"]))
        return "".join(f"{line}\n" for line in lines)

    def to_geojson(self) -> dict[str, Any]:
        """A FeatureCollection of the outlines of masks, or of boxes, in the image's pixels, y pointing down.

        A feature's properties are `name`, `label` and `score`.
        """
        features = [
            feature(_polygons(found), {"name": found.name, "label": found.label, "score": found.score})
            for found in self
            if found.rle is None or rle.area(found.rle)
        ]
        return {"type": "FeatureCollection", "features": features}

    def to_pandas(self) -> Any:
        """A DataFrame with a row per detection: x1, y1, x2, y2, score, label, name. ValueError without pandas."""
        pandas = optional("pandas", "to_pandas()")
        columns = dict(zip(("x1", "y1", "x2", "y2"), self.boxes.numpy().T))
        return pandas.DataFrame(
            columns | {"score": self.scores.numpy(), "label": self.labels.numpy(), "name": self.names}
        )

    def to_supervision(self) -> Any:
        """supervision's Detections, with masks where there are any. ValueError without supervision."""
        supervision = optional("supervision", "to_supervision()")
        masks = None
        if self.masks:
            masks = np.stack([rle.decode(mask).astype(bool) for mask in self.masks])
        return supervision.Detections(
            xyxy=self.boxes.numpy(),
            mask=masks,
            confidence=self.scores.numpy(),
            class_id=self.labels.numpy(),
            data={"class_name": np.array(self.names, dtype=np.str_)},
        )


def _polygons(found: Detection) -> list[Rings]:
    if found.mask is not None:
        return outlines(found.mask)
    x1, y1, x2, y2 = found.box
    return [[np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)])]]
