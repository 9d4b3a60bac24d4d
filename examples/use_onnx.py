"""Answers of a file that `cvzoo export --format onnx` wrote, without cvzoo: python use_onnx.py FILE.onnx IMAGE ...

Prints boxes; masks and label maps become an image beside IMAGE. Needs onnxruntime, numpy and Pillow."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def resized(image, facts):
    """The image at the size that the network wants."""
    scales = [facts["short_side"] / min(image.size), facts["long_side"] / max(image.size)]
    scales += [side / own for side, own in zip(facts["canvas"] or [], (image.height, image.width))]
    size = [max(int(side * min(scales) + 0.5), 1) for side in image.size]
    return image if facts["full_size"] else image.resize(size, Image.Resampling.BILINEAR)


def on_canvas(image, facts):
    """(1, 3, H, W) uint8: the image at the top left of a canvas of 0 whose size the network takes."""
    height, width = facts["canvas"] or [max(x + -x % facts["divisor"], facts["smallest"]) for x in image.size[::-1]]
    return np.asarray(image.crop((0, 0, width, height))).transpose(2, 0, 1)[None]


def pasted(mask, box, size):
    """(H, W) bool: which pixels of an image of this width and height a mask covers, spread over this box."""
    across, down = len(mask) / np.maximum(box[2:] - box[:2], 1e-3)
    places = (across, 0, 1 - box[0] * across, 0, down, 1 - box[1] * down)  # pixels to cells; 0 lie around them
    cells = Image.fromarray(np.pad(mask, 1)).transform(size, Image.Transform.AFFINE, places, Image.Resampling.BILINEAR)
    return np.asarray(cells) >= 0.5


def main(path, files):
    session = onnxruntime.InferenceSession(path, providers=onnxruntime.get_available_providers())
    facts = json.loads(session.get_modelmeta().custom_metadata_map["cvzoo"])
    for file in files:
        image = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
        small = resized(image, facts)
        sizes = np.array([[small.height, small.width]], np.int64)
        found = dict(zip(facts["outputs"], session.run(None, {"images": on_canvas(small, facts), "sizes": sizes})))
        if facts["task"] == "label_maps":
            labels = Image.fromarray(found["labels"][0, : small.height, : small.width])
            labels.resize(image.size, Image.Resampling.NEAREST).save(f"{file}.labels.png")
            continue
        scales = np.divide(image.size * 2, small.size * 2)
        boxes, places = found["boxes"][0] * scales, found.get("windows", found["boxes"])[0] * scales  # of masks
        owners = np.zeros((image.height, image.width), np.uint16)  # which of the lines below each pixel belongs to
        for n in range((found["scores"][0] > 0).sum()):  # the others are none
            print(file, facts["classes"][found["labels"][0, n]], f"{found['scores'][0, n]:.4f}", *boxes[n].round(2))
            if "masks" in found:
                owners[pasted(found["masks"][0, n], places[n], image.size) & (owners == 0)] = n + 1
        if "masks" in found:
            Image.fromarray(owners).save(f"{file}.masks.png")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
