"""What an exported file says of itself, in JSON: all that somebody needs who has the file and not cvzoo."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Format = Literal["onnx", "torch_export", "aoti", "openvino"]
"""What runs a file: ONNX runtimes; PyTorch; PyTorch with code compiled for one kind of machine; OpenVINO."""
SMALLEST, LARGEST = 192, 8192
"""The shortest and the longest side in pixels of a canvas whose size is free."""
KEY = "cvzoo"
"""The entry of a file's metadata that holds the JSON."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The metadata of an exported file."""

    cvzoo: str
    """The version that has written it."""
    row: str
    task: str
    """The kind of answer: boxes, label_maps, dense_pose."""
    outputs: list[str]
    """Names of what it answers; `Boxes`, `BoxesWithMasks` and `LabelMaps` in structures.py say what they are."""
    precision: str
    """fp32, fp16, bf16 or int8."""
    classes: list[str]
    """By label."""
    category_ids: list[int]
    """The number of each class in the data set that the model was trained on."""
    short_side: int
    """Images are resized (bilinear, antialiased) so that their short side has so many pixels ..."""
    long_side: int
    """... or, where that would make the long side longer than this, so that the long side has so many."""
    full_size: bool
    """Images are not resized at all."""
    canvas: list[int] | None
    """Height and width of the one canvas that images lie on, into which they are fitted; None: any."""
    divisor: int
    """Without a canvas of its own: images are filled up with 0 at the right and bottom to multiples of this ..."""
    smallest: int
    """... and to so many pixels."""
    mean: list[float]
    std: list[float]
    bgr: bool
    """Pixel statistics; the graph applies them: images enter as uint8 RGB."""
    thresholds: dict[str, float]
    """Of scores and of NMS, and the most detections of an image; nothing of label maps."""
    data: dict[str, Any]
    """What the weights were trained on, as far as it is known."""
    recipe: dict[str, Any]
    """The recipe, all of its fields."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), allow_nan=False)

    @staticmethod
    def from_json(text: str | None, source: str) -> Facts:
        """ValueError where a file has no such metadata, or another version's."""
        try:
            values = json.loads(text or "")
            return Facts(**{field.name: values[field.name] for field in fields(Facts)})
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"{source} does not say what model it is, or says it in the words of another version of cvzoo; export"
                " it again with `cvzoo export`"
            ) from None
