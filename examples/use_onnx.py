"""Answers of a file that `cvzoo export --format onnx` wrote, without cvzoo: python use_onnx.py FILE.onnx IMAGE ...

Needs onnxruntime, numpy and Pillow.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image


def resized(image, facts):
    """The image at the size that the network wants."""
    if facts["full_size"]:
        return image
    width, height = image.size
    scales = [facts["short_side"] / min(width, height), facts["long_side"] / max(width, height)]
    if facts["canvas"]:
        scales += [facts["canvas"][0] / height, facts["canvas"][1] / width]
    size = [max(int(side * min(scales) + 0.5), 1) for side in (width, height)]
    return image.resize(size, Image.Resampling.BILINEAR)


def on_canvas(image, facts):
    """(1, 3, H, W) uint8: the image at the top left of a canvas of 0 whose size the network takes."""
    pixels = np.asarray(image)
    sides = [max(side + -side % facts["divisor"], facts["smallest"]) for side in pixels.shape[:2]]
    canvas = np.zeros((1, 3, *(facts["canvas"] or sides)), np.uint8)
    canvas[0, :, : pixels.shape[0], : pixels.shape[1]] = pixels.transpose(2, 0, 1)
    return canvas


def main(path, images):
    session = onnxruntime.InferenceSession(path, providers=onnxruntime.get_available_providers())
    facts = json.loads(session.get_modelmeta().custom_metadata_map["cvzoo"])
    names = [output.name for output in session.get_outputs()]
    for file in images:
        image = Image.open(file).convert("RGB")
        small = resized(image, facts)
        sizes = np.array([[small.height, small.width]], np.int64)
        answers = session.run(None, {"images": on_canvas(small, facts), "sizes": sizes})
        found = {name: values[0] for name, values in zip(names, answers)}
        if facts["task"] == "label_maps":
            labels = Image.fromarray(found["labels"][: small.height, : small.width])
            labels.resize(image.size, Image.Resampling.NEAREST).save(f"{file}.labels.png")
            continue
        scale = np.array([image.width / small.width, image.height / small.height] * 2)
        for box, score, label in zip(found["boxes"] * scale, found["scores"], found["labels"]):
            if score > 0:  # no more detections follow the last one
                print(file, facts["classes"][label], f"{score:.4f}", *box.round(2))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
