"""Does ours learn as well as torchvision? Same backbone, recipe, data, images in the same order, budget and seeds.

    python benchmarks/learn_vs_torchvision.py [--iterations 80 --batch 4] [--limit 8] [--seeds 0 1 2] [--root FOLDER]

Trains the row `retinanet_lite0_fpn_320_mini` twice for each seed, once as it is and once as torchvision's RetinaNet,
both with the learning-rate schedule, optimiser, augmentation and moving average of the recipe, and prints box AP and
AP50 on the training images and, without --limit, on the validation images.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
import tyro
from common import DATA, report
from torch import Tensor, nn
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

import cvzoo
from cvzoo.data.build import build_datasets
from cvzoo.data.loader import training_batches
from cvzoo.engine.evaluate import evaluate
from cvzoo.engine.place import place
from cvzoo.engine.state import State
from cvzoo.engine.train import step
from cvzoo.loading import build_with_weights
from cvzoo.nn.model import Model
from cvzoo.ops.boxes import scale_boxes
from cvzoo.recipes import Recipe
from cvzoo.structures import Batch, Prediction


class Pyramid(nn.Module):
    """The backbone's outputs from C3 on through torchvision's feature pyramid."""

    def __init__(self, backbone: nn.Module, channels: int, norm: Any) -> None:
        super().__init__()
        self.body, self.out_channels = backbone, channels
        inputs = list(backbone.channels)[1:]  # type: ignore[call-overload,arg-type]
        extra = LastLevelP6P7(channels, channels)
        self.fpn = FeaturePyramidNetwork(inputs, channels, extra, norm_layer=norm)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.fpn({str(i): feature for i, feature in enumerate(self.body(x)[1:])})


class TorchvisionRetinaNet(Model):
    """torchvision's RetinaNet of the recipe's shape behind cvzoo's model protocol."""

    def __init__(self, recipe: Recipe[Any]) -> None:
        super().__init__()
        config, (ours, *_) = recipe.model, build_with_weights(recipe)
        norm = partial(nn.GroupNorm, config.tower_norm_groups) if config.tower_norm else None
        fpn_norm = partial(nn.GroupNorm, config.fpn.norm_groups) if config.fpn.norm else None
        anchors = AnchorGenerator(config.anchors.sizes, tuple(config.anchors.ratios) * 5)
        per_cell = anchors.num_anchors_per_location()[0]
        head = RetinaNetHead(config.fpn.channels, per_cell, config.num_classes, norm)
        for tower in (head.classification_head, head.regression_head):
            tower.conv = tower.conv[: config.tower_convs]
        long_side = recipe.data.max_long_side
        self.backbone = ours.backbone  # what the recipe's backbone_lr_factor applies to, without the pyramid
        self.model = RetinaNet(
            Pyramid(self.backbone, config.fpn.channels, fpn_norm),  # type: ignore[arg-type]
            config.num_classes,
            min_size=long_side,
            max_size=long_side,
            image_mean=[mean / 255 for mean in config.pixels.mean],
            image_std=[std / 255 for std in config.pixels.std],
            anchor_generator=anchors,
            head=head,
            detections_per_img=100,
            fg_iou_thresh=config.positive_from,
            bg_iou_thresh=config.negative_below,
        )

    def raw(self, images_N3HW: Tensor) -> Any:
        return self.model.head(list(self.model.backbone(images_N3HW).values()))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        targets = [{"boxes": target.boxes, "labels": target.labels} for target in batch.targets]
        return self.model(self._images(batch), targets)

    @torch.no_grad()
    def predict(self, batch: Batch) -> list[Prediction]:
        found = self.model(self._images(batch))
        return [
            Prediction(scale_boxes(f["boxes"], size, original), f["scores"], f["labels"])
            for f, size, original in zip(found, batch.sizes, batch.original_sizes)
        ]

    def for_inference(self) -> Self:
        return self.eval()

    def _images(self, batch: Batch) -> list[Tensor]:
        return [image[:, :h, :w].float() / 255 for image, (h, w) in zip(batch.images, batch.sizes)]


def learn(recipe: Recipe[Any], torchvision: bool) -> dict[str, float]:
    """Box AP and AP50 after training from the recipe's seed."""
    device = torch.device("cpu")
    torch.manual_seed(recipe.run.seed)
    model = TorchvisionRetinaNet(recipe) if torchvision else build_with_weights(recipe)[0]
    state = State.begin(recipe, model, device)
    train_set, val_set = build_datasets(recipe.data)
    schedule, run = recipe.schedule, recipe.run
    batches = training_batches(
        train_set, recipe.data, batch=schedule.batch, seed=run.seed, start_step=0, steps=schedule.iterations
    )
    for batch in batches:
        step(state.model, place(batch, run, device), state, recipe)
        state.read()
    splits = {"train": train_set} if recipe.data.limit else {"train": train_set, "val": val_set}
    figures = {}
    for name, dataset in splits.items():
        with tempfile.TemporaryDirectory() as folder:
            evaluation = evaluate(state.result, dataset, recipe, device, Path(folder))
        assert evaluation
        stats = evaluation.figures.stats
        figures |= {f"{name}_AP": stats["box_AP"], f"{name}_AP50": stats["box_AP50"]}
    return figures


def main(
    iterations: int | None = None,
    batch: int | None = None,
    limit: int | None = None,
    seeds: tuple[int, ...] = (0, 1, 2),
    root: Path = DATA / "coco",
) -> None:
    recipe = cvzoo.recipe("retinanet_lite0_fpn_320_mini")
    schedule = recipe.schedule
    if iterations:
        warmup = min(schedule.warmup_iterations, iterations // 10)
        schedule = replace(schedule, iterations=iterations, warmup_iterations=warmup)
    if batch:
        schedule = replace(schedule, batch=batch)
    recipe = replace(recipe, data=replace(recipe.data, root=root, limit=limit), schedule=schedule)
    sides: dict[str, list[dict[str, float]]] = {"ours": [], "torchvision": []}
    for seed in seeds:
        seeded = replace(recipe, run=replace(recipe.run, seed=seed))
        for name, results in sides.items():
            results.append(learn(seeded, torchvision=name == "torchvision"))
            print(name, seed, results[-1], flush=True)
    figures = {
        f"{name}_{key}": {
            "mean": round(statistics.mean(r[key] for r in results), 4),
            "spread": round(max(r[key] for r in results) - min(r[key] for r in results), 4),
        }
        for name, results in sides.items()
        for key in results[0]
    }
    report("learn", iterations=schedule.iterations, batch=schedule.batch, limit=limit, seeds=list(seeds), **figures)


if __name__ == "__main__":
    tyro.cli(main)
