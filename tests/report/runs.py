"""A run folder like those that training leaves, made of real evaluations of made-up detections and label maps."""

import json
import math

import numpy as np
import torch

from cvzoo.files import write_json
from cvzoo.metrics.coco import evaluate_coco
from cvzoo.metrics.predictions import to_coco
from cvzoo.metrics.semantic import confusion, evaluate_semantic
from cvzoo.ops.masks import mask_json, to_rle
from cvzoo.recipes.codec import to_json
from cvzoo.results.machine import commit, hardware, versions
from cvzoo.structures import IGNORE, Prediction, Segmentation, Target
from cvzoo.zoo import ROWS

CLASSES = ["rectangle", "ellipse", "triangle <&>"]


def make_images(count=4, seed=0, masks=False):
    """Grey noise with boxes; detections near them, one in five missed, and some at random. Masks fill their boxes."""
    rng = torch.Generator().manual_seed(seed)
    images = []
    for n in range(count):
        height, width = (128, 200) if n % 2 else (160, 120)
        image = torch.randint(90, 160, (3, height, width), generator=rng, dtype=torch.uint8)
        corner = torch.rand(4, 2, generator=rng) * 60
        boxes = torch.cat([corner, corner + 20 + torch.rand(4, 2, generator=rng) * 30], 1)
        labels = torch.randint(0, 3, (4,), generator=rng)
        found = torch.cat([boxes + torch.randn(4, 4, generator=rng) * 2, boxes.flip(0) * 0.5])
        scores = torch.cat([0.5 + torch.rand(4, generator=rng) / 2, torch.rand(4, generator=rng) / 2])
        prediction = Prediction(found, scores, torch.cat([labels, labels]))[scores.argsort(descending=True)]
        target = Target(boxes, labels)
        if masks:
            target.masks = [filled(box) for box in boxes.tolist()]
            prediction.masks = [to_rle(filled(box), (height, width)) for box in prediction.boxes.tolist()]
        images.append((image, target, prediction))
    return images


def filled(box):
    """The outline of a box."""
    x1, y1, x2, y2 = box
    return [np.array([x1, y1, x2, y1, x2, y2, x1, y2])]


def make_label_maps(count=4, seed=0):
    """Grey noise with a rectangle of class 1 on class 0, its left edge ignored, found a little too far right."""
    rng = torch.Generator().manual_seed(seed)
    images = []
    for n in range(count):
        height, width = (128, 200) if n % 2 else (160, 120)
        image = torch.randint(90, 160, (3, height, width), generator=rng, dtype=torch.uint8)
        truth = torch.zeros(height, width, dtype=torch.uint8)
        truth[30:80, 20:70] = 1
        labels = truth.roll(10 + n, 1)
        truth[30:80, 18:22] = IGNORE
        images.append((image, Target(torch.zeros(0, 4), torch.zeros(0).long(), None, truth), Segmentation(labels)))
    return images


def make_run(folder, images, trained=True):
    """recipe.json, env.json, metrics.json and, if `trained`, metrics.jsonl."""
    semantic = isinstance(images[0][2], Segmentation)
    figures = (_figures_of_pixels if semantic else _figures_of_objects)(images)
    write_json(folder / "metrics.json", {"val": figures.to_json()})
    write_json(folder / "recipe.json", to_json(ROWS["retinanet_r18_fpn_shapes"].recipe()))
    write_json(folder / "env.json", {"commit": commit(), "hardware": hardware(), "versions": versions()})
    if trained:
        noise = torch.rand(200, generator=torch.Generator().manual_seed(0)).tolist()
        lines = [_line(10 * (i + 1), value) for i, value in enumerate(noise)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def _figures_of_pixels(images):
    counts = [confusion(found.labels, target.label_map, len(CLASSES)) for _, target, found in images]
    return evaluate_semantic(torch.stack(counts).sum(0), CLASSES)


def _figures_of_objects(images):
    annotations = [
        {
            **{"image_id": i, "category_id": label, "bbox": [x, y, X - x, Y - y], "area": (X - x) * (Y - y)},
            **{"iscrowd": 0, "segmentation": mask_json(filled((x, y, X, Y)))},
        }
        for i, (_, target, _) in enumerate(images)
        for (x, y, X, Y), label in zip(target.boxes.tolist(), target.labels.tolist())
    ]
    truth = {
        "images": [{"id": i, "height": p[0].shape[1], "width": p[0].shape[2]} for i, p in enumerate(images)],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES)],
    }
    detections = to_coco([found for *_, found in images], range(len(images)), range(3))
    result = evaluate_coco(truth, detections)
    if images[0][1].masks is not None:
        result |= evaluate_coco(truth, detections, "mask")
    return result


def _line(iteration, noise):
    loss = 0.3 + 1.5 * math.exp(-iteration / 400) + 0.3 * noise
    losses = {"loss": loss, "loss_cls": loss * 0.6, "loss_box": loss * 0.4}
    lr = 1e-3 * (1 + math.cos(math.pi * iteration / 2000)) * min(1, iteration / 100)
    return {"iteration": iteration, **losses, "lr": lr, "seconds": 0.25, "data_seconds": 0.01, "memory_gb": 1.0}
