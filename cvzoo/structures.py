"""What flows through the zoo: a dataset yields Samples, a loader stacks them into a Batch, a model returns Predictions.

Boxes are always float32 `xyxy` in pixels, labels int64 in 0..K-1 (the order of the data set's categories by id).
Shape suffixes: N images, G ground-truth objects, D detections, H and W pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

Size = tuple[int, int]
"""(height, width) in pixels."""


RLE = dict[str, Any]
"""A bitmap as pycocotools' compressed run-length code: {"size": [height, width], "counts": bytes}."""
Polygons = list[np.ndarray]
"""The outlines of an object's parts, each float64 x0, y0, x1, y1, ... in pixels."""
Mask = Polygons | RLE
"""The pixels of one object. Never unpacked before it is cropped to a box: see ops/masks.py."""


IGNORE = 255
"""In a label map: a pixel without a class, which is not learnt and not counted."""


def size_of(image: Tensor) -> Size:
    """(H, W) of a (..., H, W) tensor."""
    return (image.shape[-2], image.shape[-1])


@dataclass(frozen=True)
class Surface:
    """What is annotated of one person's surface, as COCO DensePose does it.

    Its charts are 24 parts of the body, each with coordinates U and V in 0..1.
    """

    frame: tuple[float, float, float, float]
    """The annotated box, xyxy in the pixels of the image tensor, never clipped: points and map lie in it."""
    points_P2: Tensor
    """(P, 2) float32: x and y of the annotated points, 0..256 from the frame's left to right and top to bottom."""
    parts_P: Tensor
    """(P,) int64: the part of each point, 1..24."""
    uv_P2: Tensor
    """(P, 2) float32: U and V of each point."""
    coarse: Tensor | None = None
    """(256, 256) uint8: the coarse part of every place of the frame, 1..14, 0 where the person is not; None where
    nobody outlined them."""


@dataclass
class Target:
    """The objects of one image, in the pixels of the image tensor they come with."""

    boxes: Tensor
    """(G, 4) float32 xyxy."""
    labels: Tensor
    """(G,) int64."""
    masks: list[Mask] | None = None
    """G masks, where the data set has been asked for them; they stay on the CPU."""
    label_map: Tensor | None = None
    """(H, W) uint8: the class of every pixel, IGNORE where none is known; of data sets of semantic segmentation."""
    surfaces: list[Surface | None] | None = None
    """G surfaces, None of a person without one, where the data set has been asked for them; they stay on the CPU."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> Target:
        masks, surfaces = _rows(self.masks, index), _rows(self.surfaces, index)
        return Target(self.boxes[index], self.labels[index], masks, self.label_map, surfaces)

    def tensors(self) -> list[Tensor]:
        """Those that lie on the device."""
        return [self.boxes, self.labels] + ([] if self.label_map is None else [self.label_map])

    def with_tensors(self, others: Iterator[Tensor]) -> Target:
        """With the next of these in place of `tensors`."""
        boxes, labels = next(others), next(others)
        return replace(self, boxes=boxes, labels=labels, label_map=None if self.label_map is None else next(others))

    @staticmethod
    def empty() -> Target:
        return Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


@dataclass
class Sample:
    """One image with its objects, as a dataset or a transform returns it."""

    image: Tensor
    """(3, H, W) uint8 RGB."""
    target: Target = field(default_factory=Target.empty)
    image_id: int = 0
    original_size: Size = (0, 0)
    """Size of the image on disk (after EXIF rotation), to which predictions are scaled back."""

    @property
    def size(self) -> Size:
        return size_of(self.image)


@dataclass
class Batch:
    """Images on one canvas: image n fills the top-left `sizes[n]` of `images[n]`, the rest is padding."""

    images: Tensor
    """(N, 3, H, W) uint8 RGB. The model normalises, reorders channels and blanks the padding itself."""
    sizes: list[Size]
    original_sizes: list[Size]
    targets: list[Target]
    image_ids: list[int]

    def __len__(self) -> int:
        return len(self.sizes)

    def tensors(self) -> list[Tensor]:
        """Those that lie on the device."""
        return [self.images, *(tensor for target in self.targets for tensor in target.tensors())]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        images, *others = _moved(self.tensors(), device, non_blocking)
        left = iter(others)
        return replace(self, images=images, targets=[target.with_tensors(left) for target in self.targets])

    @staticmethod
    def collate(samples: Sequence[Sample], canvas: Size | None = None) -> Batch:
        """Stack samples top-left on `canvas`, or on the smallest canvas that holds them all."""
        height, width = canvas or (max(s.size[0] for s in samples), max(s.size[1] for s in samples))
        images = torch.zeros(len(samples), 3, height, width, dtype=torch.uint8)
        for image, sample in zip(images, samples):
            h, w = sample.size
            image[:, :h, :w] = sample.image
        return Batch(
            images=images,
            sizes=[s.size for s in samples],
            original_sizes=[s.original_size for s in samples],
            targets=[s.target for s in samples],
            image_ids=[s.image_id for s in samples],
        )


@dataclass
class Prediction:
    """Detections of one image by falling score, in the pixels of the ORIGINAL image."""

    boxes: Tensor
    """(D, 4) float32 xyxy."""
    scores: Tensor
    """(D,) float32 in 0..1."""
    labels: Tensor
    """(D,) int64."""
    masks: list[RLE] | None = None
    """D masks of the whole image, from a model that predicts them; `ops.masks.to_bitmap` unpacks one."""
    surfaces: list[Tensor] | None = None
    """D maps (3, h, w) uint8 of dense pose: part 0..24 (0 is none), 255 U, 255 V of every pixel of the box cut down to
    whole pixels: from int(x1), int(y1) on, max(int(width), 1) by max(int(height), 1) of them."""

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: Tensor | slice) -> Self:
        tensors = {"boxes": self.boxes[index], "scores": self.scores[index], "labels": self.labels[index]}
        return replace(self, **tensors, masks=_rows(self.masks, index), surfaces=_rows(self.surfaces, index))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as arrays, in a tenth of the time that torch's own way takes."""
        surfaces = None if self.surfaces is None else [surface.numpy() for surface in self.surfaces]
        return _prediction, (self.boxes.numpy(), self.scores.numpy(), self.labels.numpy(), self.masks, surfaces)

    def to(self, device: torch.device | str) -> Self:
        tensors = {name: getattr(self, name).to(device) for name in ("boxes", "scores", "labels")}
        surfaces = None if self.surfaces is None else [surface.to(device) for surface in self.surfaces]
        return replace(self, **tensors, surfaces=surfaces)


def _prediction(
    boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, masks: list[RLE] | None, surfaces: list[Any] | None
) -> Prediction:
    maps = None if surfaces is None else [torch.from_numpy(one) for one in surfaces]
    return Prediction(torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(labels), masks, maps)


class View(NamedTuple):
    """One way of looking at an image: test-time augmentation."""

    batch: Batch
    """Of this image alone, its canvas as large as itself."""
    flipped: bool
    """It has been mirrored left and right."""

    @property
    def size(self) -> Size:
        return self.batch.sizes[0]

    def mirrored(self) -> View:
        """The other way round."""
        return View(replace(self.batch, images=self.batch.images.flip(-1)), not self.flipped)


@dataclass
class Segmentation:
    """The classes of the pixels of one ORIGINAL image."""

    labels: Tensor
    """(H, W) uint8."""

    def to(self, device: torch.device | str) -> Self:
        return replace(self, labels=self.labels.to(device))


class Boxes(NamedTuple):
    """The detections of a batch in tensors whose shapes do not depend on what is found: what exported models answer.

    Of each image the best ones come first; a score of 0 means that there is none.
    """

    boxes: Tensor
    """(N, D, 4) float32 in pixels of the canvas."""
    scores: Tensor
    """(N, D) float32."""
    labels: Tensor
    """(N, D) int64."""


class BoxesWithMasks(NamedTuple):
    """`Boxes` with masks."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor
    """(N, D, S, S) float32: the probability of the pixels under each box, S rows of S columns."""


class BoxesWithWindows(NamedTuple):
    """`Boxes` with masks that do not lie in them."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor
    """(N, D, S, S) float32: the probability of the pixels of each window, S rows of S columns."""
    windows: Tensor
    """(N, D, 4) float32 in pixels of the canvas, beyond which they may reach."""


class BoxesWithSurfaces(NamedTuple):
    """`Boxes` with what a dense pose branch says of those V detections that are there, image by image.

    Its maps of K parts and none are too large to keep room for detections that are not.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    coarse: Tensor
    """(V, coarse parts, Z, Z) float32 logits, the background's first."""
    parts: Tensor
    """(V, K, Z, Z) float32 logits, that of no part first."""
    u: Tensor
    """(V, K, Z, Z) float32: U, were the cell of that part."""
    v: Tensor
    """(V, K, Z, Z) float32."""


class LabelMaps(NamedTuple):
    """The label maps of a batch."""

    labels: Tensor
    """(N, H, W) uint8: the class of each pixel of the canvas; what lies beyond an image is 0."""


Inferred = Boxes | BoxesWithMasks | BoxesWithWindows | BoxesWithSurfaces | LabelMaps
"""What `infer` and exported files answer."""
Answer = Prediction | Segmentation
"""What a model says of an image."""
AnswerKind = Literal["boxes", "label_maps", "dense_pose"]
"""Which of them it says; `cvzoo/tasks/` has a module of each name that evaluates, saves and draws such answers."""


def _moved(tensors: list[Tensor], device: torch.device | str, non_blocking: bool) -> list[Tensor]:
    """Tensors on a device. Those that share a storage, as the targets of a loader do, are copied in one piece."""
    sharing: dict[int, list[int]] = defaultdict(list)
    for number, tensor in enumerate(tensors):
        place = tensor.untyped_storage().data_ptr() if tensor.is_contiguous() else 0
        sharing[place or -number - 1].append(number)
    moved: dict[int, Tensor] = {}
    for numbers in sharing.values():
        together = [tensors[number] for number in numbers]
        if len(together) > 1:
            moved |= zip(numbers, _moved_in_one_piece(together, device, non_blocking))
        else:
            moved[numbers[0]] = together[0].to(device, non_blocking=non_blocking)
    return [moved[number] for number in range(len(tensors))]


def _moved_in_one_piece(tensors: list[Tensor], device: torch.device | str, non_blocking: bool) -> list[Tensor]:
    """Tensors of one storage, without gaps."""
    starts = [tensor.storage_offset() * tensor.itemsize for tensor in tensors]
    end = max(start + tensor.nbytes for start, tensor in zip(starts, tensors))
    whole = torch.empty(0, dtype=torch.uint8, device=tensors[0].device).set_(tensors[0].untyped_storage())
    piece = whole[:end].to(device, non_blocking=non_blocking)
    return [piece[start : start + x.nbytes].view(x.dtype).view(x.shape) for start, x in zip(starts, tensors)]


Row = TypeVar("Row")


def _rows(rows: list[Row] | None, index: Tensor | slice) -> list[Row] | None:
    """A list indexed as a tensor is."""
    if rows is None:
        return None
    if isinstance(index, slice):
        return rows[index]
    return [rows[i] for i in torch.arange(len(rows), device=index.device)[index].tolist()]
