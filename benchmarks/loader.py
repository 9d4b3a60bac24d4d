"""Images per second of the training loader against torchvision's detection reference, on real images at 800/1333.

    python benchmarks/loader.py [--data ../shared/data/coco] [--workers 2] [--rounds 3]

Both sides decode, flip, resize and pad the same images in the same batches with as many worker processes, taking
turns in one process. torchvision's side is its `references/detection` written with its public parts: CocoDetection,
transforms v2, and the model's GeneralizedRCNNTransform (normalise, resize, pad in floating point). That last step
runs in the main process there; moved to the workers it can be faster, so both are measured and the better one counts.
Ours leave the loader as padded uint8 and the model normalises them, so that is measured without (`ratio`) and with a
normalisation in the main process (`ratio_normalised`). Prints one JSON line; ratios are ours / torchvision's images
per second, by medians; `cpu_ratio*` compare the CPU time spent per image, which a shared machine disturbs less.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torchvision
from common import environment
from torch.utils.data import DataLoader
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms import v2

from cvzoo.data.build import build_dataset
from cvzoo.data.config import Data, Split
from cvzoo.data.dataset import Dataset
from cvzoo.data.loader import training_batches
from cvzoo.data.order import global_batches

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SEED = 0


class ReferenceImages(torch.utils.data.Dataset[Any]):
    """torchvision's CocoDetection with the preset of references/detection, by image id."""

    def __init__(self, data: Data) -> None:
        preset = v2.Compose(
            [
                v2.PILToTensor(),
                v2.RandomHorizontalFlip(0.5),
                v2.ToDtype(torch.float32, scale=True),
                v2.SanitizeBoundingBoxes(),
                v2.ToPureTensor(),
            ]
        )
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            coco = torchvision.datasets.CocoDetection(
                data.root / data.train.images, str(data.root / data.train.annotations), transforms=preset
            )
        self.images = torchvision.datasets.wrap_dataset_for_transforms_v2(coco, target_keys=("boxes", "labels"))
        self.positions = {image_id: position for position, image_id in enumerate(coco.ids)}

    def __getitem__(self, image_id: int) -> Any:
        return self.images[self.positions[image_id]]


class Reference:
    """torchvision's loader."""

    def __init__(self, data: Data) -> None:
        self.images = ReferenceImages(data)
        self.finish = GeneralizedRCNNTransform(data.short_sides[0], data.max_long_side, list(MEAN), list(STD))
        self.workers = data.workers

    def collate(self, samples: Sequence[Any]) -> Any:
        images, targets = (list(part) for part in zip(*samples))
        return images, targets

    def collate_and_finish(self, samples: Sequence[Any]) -> Any:
        return self.finish(*self.collate(samples))

    def run(self, batches: Iterable[list[int]], resize_in_workers: bool) -> int:
        """Load the batches of image ids; returns the number of images."""
        loader = DataLoader(
            self.images,
            batch_sampler=batches,  # pyright: ignore[reportArgumentType]
            num_workers=self.workers,
            collate_fn=self.collate_and_finish if resize_in_workers else self.collate,
        )
        count = 0
        for batch in loader:
            images, _ = batch if resize_in_workers else self.finish(*batch)
            count += len(images.tensors)
        return count


def run_ours(dataset: Dataset, data: Data, batch: int, steps: int, normalise: bool) -> int:
    """Load the same batches; returns the number of images."""
    mean, std = (255 * torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    count = 0
    for loaded in training_batches(dataset, data, batch=batch, seed=SEED, start_step=0, steps=steps):
        if normalise:
            loaded.images.float().sub_(mean).div_(std)
        count += len(loaded)
    return count


def cpu_seconds() -> float:
    """CPU time of this process and of the workers that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def measure(contenders: dict[str, Callable[[], int]], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Run the contenders in turns; returns the medians of images per second and of CPU milliseconds per image."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, load in contenders.items():
            start, start_cpu = time.perf_counter(), cpu_seconds()
            count = load()
            rates[name].append(count / (time.perf_counter() - start))
            cpu[name].append(1e3 * (cpu_seconds() - start_cpu) / count)
    return (
        {name: statistics.median(values) for name, values in rates.items()},
        {name: statistics.median(values) for name, values in cpu.items()},
    )


def arguments() -> argparse.Namespace:
    shared = Path(os.environ.get("CVZOO_DATA", Path(__file__).parents[2] / "shared" / "data"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=shared / "coco", help="folder of the mini COCO")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=25, help="batches per round")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    data = Data(
        root=options.data,
        train=Split(images="train", annotations="annotations/instances_train.json"),
        workers=options.workers,
    )
    dataset = build_dataset(data, "train")
    reference = Reference(data)
    order = global_batches(dataset, batch=options.batch, seed=SEED, grouping=True, threshold=0.0)
    batches = [dataset.image_ids[indices].tolist() for indices in islice(order, options.steps)]
    contenders: dict[str, Callable[[], int]] = {
        "ours": lambda: run_ours(dataset, data, options.batch, options.steps, normalise=False),
        "ours_normalised": lambda: run_ours(dataset, data, options.batch, options.steps, normalise=True),
        "torchvision_in_main": lambda: reference.run(batches, resize_in_workers=False),
        "torchvision_in_workers": lambda: reference.run(batches, resize_in_workers=True),
    }
    rates, cpu = measure(contenders, options.rounds)
    best = max(rates["torchvision_in_main"], rates["torchvision_in_workers"])
    best_cpu = min(cpu["torchvision_in_main"], cpu["torchvision_in_workers"])
    result = {
        "benchmark": "loader",
        "ratio": round(rates["ours"] / best, 3),
        "ratio_normalised": round(rates["ours_normalised"] / best, 3),
        "cpu_ratio": round(best_cpu / cpu["ours"], 3),
        "cpu_ratio_normalised": round(best_cpu / cpu["ours_normalised"], 3),
        "ours_images_per_s": round(rates["ours"], 1),
        "torchvision_images_per_s": round(best, 1),
        "images_per_s": {name: round(value, 1) for name, value in rates.items()},
        "cpu_ms_per_image": {name: round(value, 1) for name, value in cpu.items()},
        "workers": options.workers,
        "batch": options.batch,
        "rounds": options.rounds,
    }
    print(json.dumps(result | environment()))


if __name__ == "__main__":
    main()
