"""Albumentations (2.0, MIT licence) as the user's own transform: `augment = from_albumentations([A.RandomFog()])`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from cvzoo.data.own_transform import Transform
from cvzoo.data.transforms import MIN_SIDE
from cvzoo.data.warp import code_box
from cvzoo.ops import rle
from cvzoo.ops.masks import to_bitmap
from cvzoo.structures import Sample, Target

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or it asks PyPI for newer versions when it is imported


def from_albumentations(transforms: Sequence[Any], min_visible: float = 0.1) -> Transform:
    """The transforms, one after the other, as a function for `data.transform`; seeded with the training.

    Boxes are drawn around the objects' masks, which become run-length codes, where the data have them, and are
    Albumentations' own otherwise. Objects of whose box less than `min_visible`, or a pixel, is left are dropped. What
    of a label map comes from outside is ignored, as long as the transforms' `fill_mask` is 0. Surfaces are refused.
    """
    import albumentations  # pyright: ignore[reportMissingImports]  (optional)

    sides = {"min_width": MIN_SIDE, "min_height": MIN_SIDE}
    boxes = albumentations.BboxParams("pascal_voc", ["rows"], min_visibility=min_visible, clip=True, **sides)
    composed = albumentations.Compose(list(transforms), bbox_params=boxes)

    def augment(sample: Sample, generator: np.random.Generator) -> Sample:
        target = sample.target
        if target.surfaces is not None:
            raise ValueError("Albumentations moves no surfaces of dense pose")
        given: dict[str, Any] = {"image": sample.image.permute(1, 2, 0).numpy()}
        given |= {"bboxes": target.boxes.numpy(), "rows": np.arange(len(target))}
        if target.masks:
            given["masks"] = np.stack([to_bitmap(mask, sample.size) for mask in target.masks])
        if target.label_map is not None:
            given["mask"] = target.label_map.numpy() + np.uint8(1)  # 255, which is ignored, becomes 0, their filling
        _seed(composed, generator)
        found = composed(**given)
        image = torch.from_numpy(np.ascontiguousarray(found["image"].transpose(2, 0, 1)))
        return replace(sample, image=image, target=_target(found, target))

    return augment


def _seed(transform: Any, generator: np.random.Generator) -> None:
    """Each transform by itself: one seed for all would let all of them happen, or none."""
    transform.set_random_seed(int(generator.integers(2**31)))
    for inner in getattr(transform, "transforms", ()):
        _seed(inner, generator)


def _target(found: dict[str, Any], before: Target) -> Target:
    """The objects of which something is left."""
    rows = torch.as_tensor(np.array(found["rows"]), dtype=torch.int64)
    boxes = torch.as_tensor(np.array(found["bboxes"]), dtype=torch.float32).reshape(-1, 4)
    target = replace(before[rows], boxes=boxes)
    if before.label_map is not None:
        target.label_map = torch.from_numpy(found["mask"] - np.uint8(1))
    if not target.masks:
        return target
    codes = [rle.encode(found["masks"][row]) for row in rows.tolist()]
    around = torch.tensor(np.stack([code_box(code) for code in codes]), dtype=torch.float32)
    shown = (around[:, 2:] - around[:, :2] >= MIN_SIDE).all(1)
    return replace(target, boxes=around, masks=list(codes))[shown]
