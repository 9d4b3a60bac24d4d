"""Memory and time of an evaluation of many images, from the answers on: kept on disk, read, scored, written.

Objects365's validation split has 80 000 images; a hundred detections are drawn for each. Images are empty and the model
does nothing, so that what is measured is the evaluation itself.

    python benchmarks/evaluation_scale.py --images 80000
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import tyro
from common import report
from torch import nn

import cvzoo
from cvzoo.engine.evaluate import evaluate
from cvzoo.engine.measure import peak_memory_gb, reset_peak_memory
from cvzoo.structures import Batch, Prediction, Sample, Target

SIDE = 640
CPU = torch.device("cpu")


class Dataset:
    """Images of one colour, with so many objects each."""

    def __init__(self, images: int, objects: int, classes: int) -> None:
        self.classes = [f"class {number}" for number in range(classes)]
        self.category_ids = list(range(1, classes + 1))
        self.image_ids = np.arange(images) + 1
        self.sizes = np.full((images, 2), SIDE)
        labels = np.random.default_rng(0).integers(1, classes + 1, (images, objects)).tolist()
        boxes = drawn_boxes(np.random.default_rng(1), images * objects).reshape(images, objects, 4).tolist()
        self.ground_truth = {
            "images": [{"id": i, "height": SIDE, "width": SIDE} for i in self.image_ids.tolist()],
            "categories": [{"id": n, "name": name} for n, name in zip(self.category_ids, self.classes)],
            "annotations": [
                {"id": i * objects + n, "image_id": i, "category_id": label, "bbox": box, "area": box[2] * box[3]}
                for i, (own, places) in enumerate(zip(labels, boxes), start=1)
                for n, (label, box) in enumerate(zip(own, places))
            ],
        }

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> Sample:
        pixels = torch.zeros(3, 32, 32, dtype=torch.uint8)
        return Sample(pixels, Target.empty(), int(self.image_ids[index]), (SIDE, SIDE))


def drawn_boxes(random: np.random.Generator, count: int) -> np.ndarray:
    """(count, 4): x, y, width, height."""
    return np.concatenate([random.uniform(0, SIDE / 2, (count, 2)), random.uniform(4, SIDE / 2, (count, 2))], axis=1)


@dataclass
class Model(nn.Module):
    """Finds so many objects of random classes at random places."""

    detections: int
    classes: int

    def __post_init__(self) -> None:
        super().__init__()
        self.random = np.random.default_rng(2)

    def for_inference(self) -> Self:
        return self

    def predict(self, batch: Batch) -> list[Prediction]:
        boxes = torch.from_numpy(drawn_boxes(self.random, self.detections)).float()
        boxes[:, 2:] += boxes[:, :2]
        scores = torch.from_numpy(self.random.random(self.detections)).float().sort(descending=True).values
        return [Prediction(boxes, scores, torch.from_numpy(self.random.integers(0, self.classes, self.detections)))]


def main(images: int = 80_000, detections: int = 100, objects: int = 15, classes: int = 365) -> None:
    """Evaluate once.

    Args:
        images: of the split.
        detections: in each image.
        objects: in each image.
        classes: of the data set.
    """
    recipe = cvzoo.recipe("retinanet_r18_fpn_shapes")
    recipe = replace(recipe, data=replace(recipe.data, test_full_size=True, canvas=None, workers=0))
    dataset, model = Dataset(images, objects, classes), Model(detections, classes)
    figures: dict[str, Any] = {"truth_gb": peak_memory_gb(CPU)}
    reset_peak_memory(CPU)
    with tempfile.TemporaryDirectory() as name:
        begun = time.process_time()
        evaluation = evaluate(model, dataset, recipe, CPU, Path(name))  # type: ignore[arg-type]
        assert evaluation
        figures |= {"evaluate_cpu_s": time.process_time() - begun, "evaluate_peak_gb": peak_memory_gb(CPU)}
        begun = time.process_time()
        evaluation.write(Path(name), "val")
        figures["write_cpu_s"] = time.process_time() - begun
        figures["file_gb"] = (Path(name) / "predictions_val.json").stat().st_size / 1e9
    figures["box_AP"] = evaluation.figures.stats["box_AP"]
    report("evaluation_scale", images=images, detections=detections, peak_gb=peak_memory_gb(CPU), **figures)


if __name__ == "__main__":
    tyro.cli(main)
