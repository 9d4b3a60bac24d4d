"""A run folder like those that training leaves, made of real evaluations of made-up detections and label maps."""

import json
import math
from dataclasses import replace

import numpy as np
import torch

from cvzoo.engine.finish import Result
from cvzoo.files import write_json
from cvzoo.ops.masks import mask_json, to_rle
from cvzoo.recipes.codec import to_json
from cvzoo.results.machine import commit, hardware, versions
from cvzoo.structures import IGNORE, Prediction, Sample, Segmentation, Target, size_of
from cvzoo.tasks import task_of
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


class Images:
    """A data set of images with their truth, as `make_images` and `make_label_maps` give them."""

    def __init__(self, images, classes=CLASSES):
        self.images, self.classes = images, list(classes)
        self.category_ids = list(range(len(classes)))
        self.image_ids = np.arange(len(images))
        self.names = [f"image {number}" for number in range(len(images))]

    def __len__(self):
        return len(self.images)

    @property
    def sizes(self):
        return np.array([size_of(image) for image, *_ in self.images])

    def __getitem__(self, index):
        image, target, _ = self.images[index]
        return Sample(image, target, index, size_of(image))

    def in_order(self, classes):
        assert classes == self.classes
        return self

    @property
    def ground_truth(self):
        annotations = [
            {
                **{"image_id": i, "category_id": label, "bbox": [x, y, X - x, Y - y], "area": (X - x) * (Y - y)},
                **({} if target.masks is None else {"segmentation": mask_json(target.masks[number])}),
                "iscrowd": 0,
            }
            for i, (_, target, _) in enumerate(self.images)
            for number, ((x, y, X, Y), label) in enumerate(zip(target.boxes.tolist(), target.labels.tolist()))
        ]
        return {
            "images": [
                {"id": i, "file_name": f"{name}.jpg", "height": image.shape[1], "width": image.shape[2]}
                for i, name, (image, *_) in zip(range(len(self)), self.names, self.images)
            ],
            "annotations": annotations,
            "categories": [{"id": i, "name": name} for i, name in enumerate(self.classes)],
        }


def make_result(folder, images, trained=True, classes=CLASSES):
    """What a run of these images and answers leaves, with files: of predictions, JSON, and, if `trained`, a log."""
    semantic = isinstance(images[0][2], Segmentation)
    recipe = ROWS["pspnet_r18_shapes" if semantic else "retinanet_r18_fpn_shapes"].recipe()
    recipe = replace(recipe, data=replace(recipe.data, masks=not semantic and images[0][1].masks is not None))
    task, dataset = task_of(recipe), Images(images, classes)
    kept = [task.kept(i, target, found, dataset) for i, (_, target, found) in enumerate(images)]
    evaluation = task.score(kept, dataset, recipe)
    evaluation.write(folder, "val")
    write_json(folder / "metrics.json", {"val": evaluation.figures.to_json()})
    write_json(folder / "recipe.json", to_json(recipe))
    write_json(folder / "env.json", {"commit": commit(), "hardware": hardware(), "versions": versions()})
    if trained:
        noise = torch.rand(200, generator=torch.Generator().manual_seed(0)).tolist()
        lines = [_line(10 * (i + 1), value) for i, value in enumerate(noise)]
        lines[99:99] = [{"iteration": 990} | {f"val/{n}": v / 2 for n, v in evaluation.figures.stats.items()}]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Result(folder, recipe, {"val": dataset}, {"val": evaluation})


def _line(iteration, noise):
    loss = 0.3 + 1.5 * math.exp(-iteration / 400) + 0.3 * noise
    losses = {"loss": loss, "loss_cls": loss * 0.6, "loss_box": loss * 0.4}
    lr = 1e-3 * (1 + math.cos(math.pi * iteration / 2000)) * min(1, iteration / 100)
    return {"iteration": iteration, **losses, "lr": lr, "seconds": 0.25, "data_seconds": 0.01, "memory_gb": 1.0}
