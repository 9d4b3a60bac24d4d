"""What clients ask and are answered, in JSON. docs/serving.md shows it; /docs of a server, field by field."""

from __future__ import annotations

import base64
import io
from typing import Any, Literal

import numpy as np
from PIL import Image
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

from cvzoo.data.body_parts import PARTS
from cvzoo.metrics.predictions import surface_json
from cvzoo.ops.masks import mask_json
from cvzoo.ops.outlines import outlines
from cvzoo.tasks.detections import Detection
from cvzoo.tasks.draw_label_maps import label_image
from cvzoo.tasks.labelled_pixels import LabelledPixels
from cvzoo.tasks.task import Answered

MOST_DETECTIONS = 1000
"""How many of an image may be asked for."""
MIN_SCORE = 0.3
"""What detections score at least, where nothing else is asked for."""
DIGITS = 4
"""Of scores and shares after the point."""


class Asked(BaseModel):
    """What is asked of an image; in a form, fields of text beside the file `image`."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(default=None, description="A name from /models; the first of them if left out.")
    format: Literal["json", "coco", "png"] = Field(
        default="json", description="The answer in JSON, in COCO's results format, or drawn on the image."
    )
    min_score: float | None = Field(
        default=None, ge=0, le=1, description=f"Detections of at least this score; {MIN_SCORE} if left out."
    )
    iou: float | None = Field(
        default=None, ge=0, le=1, description="Of two boxes of a class with a higher IoU the lower-scored goes."
    )
    max_detections: int | None = Field(
        default=None, ge=1, le=MOST_DETECTIONS, description="At most so many, the best ones."
    )
    masks: Literal["rle", "polygons"] = Field(
        default="rle", description="Masks as COCO's compressed run-length codes, or as polygons."
    )
    image_id: int = Field(default=1, description="The number of the image in COCO's results.")


class AskedInJson(Asked):
    """An image and what is asked of it."""

    image: Base64Bytes = Field(description="The bytes of the image file in base 64.")


class Form(Asked):
    """An image file and what is asked of it."""  # for the page of the API alone: uploads.py reads forms

    image: str = Field(description="The image file.", json_schema_extra={"format": "binary"})


class Rle(BaseModel):
    """A bitmap as pycocotools' compressed run-length code."""

    size: tuple[int, int] = Field(description="Height and width.")
    counts: str


class Part(BaseModel):
    """A part of the body that is seen."""

    part: int
    name: str
    pixels: int


class Surface(BaseModel):
    """Dense pose of one person, as COCO's results have it."""

    left: int = Field(description="The column of the image at which the map begins.")
    top: int = Field(description="The row of the image at which the map begins.")
    uv_shape: tuple[int, int, int] = Field(description="3, height and width of the map.")
    uv_data: str = Field(description="The map as a PNG in base 64: red is the part 1..24, green 255 U, blue 255 V.")
    parts: list[Part]


class Found(BaseModel):
    """One object; fields that its model does not give are left out."""

    model_config = ConfigDict(populate_by_name=True)

    box: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1 in the image's pixels.")
    score: float
    label: int
    name: str = Field(alias="class")
    mask: Rle | None = None
    polygons: list[list[list[tuple[float, float]]]] | None = Field(
        default=None,
        description="Of the mask: each an outer ring and those of its holes, closed, of x and y.",
    )
    surface: Surface | None = None


class Share(BaseModel):
    """A class of a label map."""

    model_config = ConfigDict(populate_by_name=True)

    label: int
    name: str = Field(alias="class")
    pixels: int
    share: float = Field(description="Of the image's pixels, 0..1.")


class Answer(BaseModel):
    """The answer to an image: `detections`, or of a row of semantic segmentation `label_map` and `classes`."""

    model: str
    task: Literal["boxes", "dense_pose", "label_maps"]
    width: int
    height: int
    seconds: dict[str, float] = Field(description="How long it waited in the queue, was decoded, resized, looked at.")
    detections: list[Found] | None = Field(default=None, description="By falling score.")
    label_map: str | None = Field(
        default=None, description="A PNG in base 64 whose pixels are labels, with the classes' colours as its palette."
    )
    classes: list[Share] | None = Field(default=None, description="Those that occur, the largest first.")


class About(BaseModel):
    """A model that the server has."""

    name: str
    row: str
    task: Literal["boxes", "dense_pose", "label_maps"]
    classes: list[str] = Field(description="Names, by label.")
    colours: list[str] = Field(description="#rrggbb of each class, as answers are drawn.")
    parts: list[str] = Field(description="Names of the parts 1..24 of dense pose; none of other tasks.")
    part_colours: list[str] = Field(description="#rrggbb of each part.")
    masks: bool = Field(description="Whether detections have masks.")
    max_pixels: int = Field(description="Of an image.")


class Models(BaseModel):
    """What the server has; the first model answers where none is named."""

    models: list[About]
    max_bytes: int = Field(description="Of an image file.")
    min_score: float = Field(description="Where nothing else is asked for.")


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str


def answer_json(answer: Answered, asked: Asked) -> dict[str, Any]:
    """The fields of `Answer` that the image alone decides."""
    height, width = answer.size
    size = {"width": width, "height": height}
    if isinstance(answer, LabelledPixels):
        return size | _label_map(answer)
    return size | {"detections": [_found(one, asked) for one in answer]}


def png(image: Image.Image) -> bytes:
    """The image as a file."""
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=1)
    return data.getvalue()


def _found(found: Detection, asked: Asked) -> dict[str, Any]:
    record: dict[str, Any] = {
        "box": [round(value, 2) for value in found.box],
        "score": round(found.score, DIGITS),
        "label": found.label,
        "class": found.name,
    }
    if found.rle is not None and asked.masks == "rle":
        record["mask"] = mask_json(found.rle)
    elif found.mask is not None:
        record["polygons"] = [[ring.tolist() for ring in rings] for rings in outlines(found.mask)]
    if found.surface is not None:
        record["surface"] = _surface(found)
    return record


def _surface(found: Detection) -> dict[str, Any]:
    assert found.surface is not None
    pixels = np.bincount(found.surface[0].numpy().ravel(), minlength=len(PARTS) + 1)
    parts = [{"part": n, "name": name, "pixels": int(pixels[n])} for n, name in enumerate(PARTS, 1) if pixels[n]]
    return {"left": int(found.box[0]), "top": int(found.box[1]), **surface_json(found.surface), "parts": parts}


def _label_map(answer: LabelledPixels) -> dict[str, Any]:
    total = answer.labels.numel()
    classes = [
        {"label": answer.classes.index(name), "class": name, "pixels": count, "share": round(count / total, DIGITS)}
        for name, count in answer.counts.items()
    ]
    encoded = base64.b64encode(png(label_image(answer.labels))).decode("ascii")
    return {"label_map": encoded, "classes": classes}
