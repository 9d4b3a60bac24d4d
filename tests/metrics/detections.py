"""Detections made from a data set's own annotations by moving, relabelling and repeating them."""

import numpy as np
from pycocotools import mask as rle


def perturbed_boxes(coco, copies=2, crowded=250, seed=0):
    """Copies of every box, moved, a fifth relabelled, with scores that tie; one image gets `crowded` more."""
    rng = np.random.default_rng(seed)
    categories = [category["id"] for category in coco["categories"]]
    detections = []
    for annotation in coco["annotations"] * copies:
        x, y, w, h = annotation["bbox"]
        dx, dy, dw, dh = rng.normal(0, 0.08, 4)
        label = annotation["category_id"] if rng.random() < 0.8 else int(rng.choice(categories))
        box = [float(value) for value in (x + w * dx, y + h * dy, max(1, w * (1 + dw)), max(1, h * (1 + dh)))]
        score = round(float(rng.random()), 2)
        detections.append({"image_id": annotation["image_id"], "category_id": label, "bbox": box, "score": score})
    busiest = coco["annotations"][0]
    for _ in range(crowded):
        box = [float(value) for value in rng.random(4) * 200 + 1]
        detections.append(
            {**detections[0], "category_id": busiest["category_id"], "bbox": box, "score": float(rng.random())}
        )
    return detections + detections[:50]


def perturbed_masks(coco, seed=0):
    """Every second mask, shifted by some pixels, as RLE of bytes; its box is wrong and must not decide the size."""
    rng = np.random.default_rng(seed)
    sizes = {image["id"]: (image["height"], image["width"]) for image in coco["images"]}
    detections = []
    for annotation in coco["annotations"][::2]:
        size, shape = sizes[annotation["image_id"]], annotation["segmentation"]
        parts = rle.frPyObjects(shape, *size)
        pixels = rle.decode(rle.merge(parts) if isinstance(parts, list) else parts)
        moved = np.roll(pixels, tuple(rng.integers(-4, 5, 2)), (0, 1))
        detections.append(
            {
                "image_id": annotation["image_id"],
                "category_id": annotation["category_id"],
                "segmentation": rle.encode(np.asfortranarray(moved)),
                "bbox": [0.0, 0.0, 5.0, 5.0],
                "score": round(float(rng.random()), 2),
            }
        )
    return detections
