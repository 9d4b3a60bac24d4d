"""Masks and surfaces in JSON, read as a client reads them."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image, ImageDraw
from tasks.people import CLASSES, exact, people

from cvzoo.data.body_parts import PARTS
from cvzoo.ops import rle
from cvzoo.serve.wire import Answer, Asked, answer_json
from cvzoo.structures import Prediction
from cvzoo.tasks.about import About
from cvzoo.tasks.detections import Detections

ABOUT = {"model": "m", "task": "boxes", "seconds": {}}


def ring_and_bar() -> Detections:
    """Two masks: one with a hole, one in two pieces."""
    masks = np.zeros((2, 40, 50), bool)
    masks[0, 5:30, 5:30] = True
    masks[0, 10:20, 10:20] = False
    masks[1, 2:6, 40:45] = masks[1, 20:30, 40:48] = True
    found = Prediction(
        boxes=torch.tensor([[5.0, 5, 30, 30], [40, 2, 48, 30]]),
        scores=torch.tensor([0.9, 0.8]),
        labels=torch.tensor([0, 1]),
        masks=[rle.encode(mask) for mask in masks],
    )
    return Detections.of(found, About(classes=["ring", "bar"], category_ids=[1, 2], size=(40, 50)))


def test_masks_as_run_lengths() -> None:
    found = ring_and_bar()
    answer = Answer.model_validate(ABOUT | answer_json(found, Asked()))
    assert answer.detections is not None
    for one, other in zip(answer.detections, found):
        assert one.name == other.name
        assert one.mask is not None
        assert one.polygons is None
        decoded = rle.decode({"size": list(one.mask.size), "counts": one.mask.counts.encode()})
        np.testing.assert_array_equal(decoded, other.mask)


def test_masks_as_polygons() -> None:
    found = ring_and_bar()
    answer = Answer.model_validate(ABOUT | answer_json(found, Asked(masks="polygons")))
    assert answer.detections is not None
    assert [[len(rings) for rings in one.polygons or []] for one in answer.detections] == [[2], [1, 1]]
    for one, other in zip(answer.detections, found):
        assert one.mask is None
        drawn = Image.new("1", (50 * 8, 40 * 8))
        canvas = ImageDraw.Draw(drawn)
        for outer, *holes in one.polygons or []:
            canvas.polygon([(x * 8, y * 8) for x, y in outer], fill=1)
            for hole in holes:
                canvas.polygon([(x * 8, y * 8) for x, y in hole], fill=0)
        centres = np.asarray(drawn)[4::8, 4::8]
        np.testing.assert_array_equal(centres, other.mask)


def test_surfaces() -> None:
    dataset = people(images=1)
    found = exact(dataset.painting(0), dataset[0].target)
    size = dataset[0].size
    about = About(classes=CLASSES, category_ids=[1], size=size)
    answer = Answer.model_validate(ABOUT | answer_json(Detections.of(found, about), Asked()))
    assert answer.detections
    assert found.surfaces is not None
    for one, surface, box in zip(answer.detections, found.surfaces, found.boxes.tolist()):
        sent = one.surface
        assert sent is not None
        assert (sent.left, sent.top) == (int(box[0]), int(box[1]))
        with Image.open(io.BytesIO(base64.b64decode(sent.uv_data))) as image:
            read = np.asarray(image).transpose(2, 0, 1)
        assert sent.uv_shape == read.shape
        np.testing.assert_array_equal(read, surface)
        assert {part.part: part.pixels for part in sent.parts} == {
            part: int((surface[0] == part).sum()) for part in range(1, 25) if (surface[0] == part).any()
        }
        assert all(part.name == PARTS[part.part - 1] for part in sent.parts)
