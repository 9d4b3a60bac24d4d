"""What each augmentation costs: milliseconds of one core per image of COCO at 640 pixels, with and without masks.

python benchmarks/augmentation.py [DIR]     # a folder with COCO's layout, by default ../shared/data/coco

Measured is the difference to the plain loading of the same images, which are kept decoded; an image that is mixed in
costs its decoding and resizing on top, which the first line shows.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from cvzoo.data.build import build_dataset
from cvzoo.data.config import Data, Split
from cvzoo.data.loader import training_batches

IMAGES = 48
CASES: dict[str, dict[str, Any]] = {
    "vertical_flip": {"vertical_flip": 1.0},
    "rotation": {"rotation": (-30, 30)},
    "rotation, zoom, shift, shear": {"rotation": (-30, 30), "zoom": (0.5, 1.5), "shift": 0.1, "shear": 5.0},
    "mosaic": {"mosaic": 1.0},
    "mosaic, zoom": {"mosaic": 1.0, "zoom": (0.5, 1.5)},
    "mixup": {"mixup": 1.0},
    "copy_paste": {"copy_paste": 1.0},
    "colour_jitter": {"colour_jitter": 0.4},
    "distort_colours": {"distort_colours": True},
    "blur": {"blur": 1.0},
    "greyscale": {"greyscale": 1.0},
    "cutout": {"cutout": 1.0},
}


def milliseconds(data: Data) -> float:
    """Of processor time per image, without what comes before the first one."""
    dataset = build_dataset(data, "train")
    batches = training_batches(dataset, data, batch=1, seed=0, start_step=0, steps=IMAGES + 1)
    next(batches)
    start = time.process_time()
    for _ in batches:
        pass
    return 1000 * (time.process_time() - start) / IMAGES


def main(root: Path) -> None:
    torch.set_num_threads(1)
    train = Split(images="train", annotations="annotations/instances_train.json")
    data = Data(
        root=root,
        train=train,
        short_sides=(640,),
        test_short_side=640,
        max_long_side=853,
        workers=0,
        cache=True,
        flip=0,
    )
    decoded = milliseconds(replace(data, cache=False))
    print(f"{'decoding and resizing':<32}{decoded:6.1f}")
    plain = {masks: milliseconds(replace(data, masks=masks)) for masks in (False, True)}
    for name, fields in CASES.items():
        costs = [milliseconds(replace(data, masks=masks, **fields)) - plain[masks] for masks in (False, True)]
        print(f"{name:<32}{costs[0]:6.1f}{costs[1]:8.1f} with masks", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared/data/coco"))
