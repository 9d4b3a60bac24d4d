"""What of all that a detector finds somebody asks for, call by call."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from cvzoo.nn.model import Model
from cvzoo.ops.detect import DetectConfig
from cvzoo.tasks.about import ClassNames

NMS = 0.5
"""The IoU above which boxes of several tiles are one, of a model that knows no such threshold."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is asked for; None leaves it to the model."""

    conf: float | None = None
    """Detections of at least this score, 0..1."""
    iou: float | None = None
    """Of two boxes of a class with a higher IoU the lower-scored goes, 0..1."""
    classes: ClassNames | None = None
    """Detections of these classes, by name or label."""
    max_detections: int | None = None
    """At most so many in an image, the best ones."""

    def __post_init__(self) -> None:
        for name in ("conf", "iou"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} is 0 to 1, not {value}")
        if self.max_detections is not None and self.max_detections < 1:
            raise ValueError(f"max_detections is 1 or more, not {self.max_detections}")

    @property
    def given(self) -> dict[str, Any]:
        """Those that are not left to the model."""
        return {name: value for name, value in vars(self).items() if value is not None}


def detection_config(config: Any) -> DetectConfig | None:
    """Which candidates become detections, as a model's config has it; None of a model without NMS by IoU."""
    if isinstance(config, DetectConfig):
        return config
    inner = [getattr(config, field.name) for field in dataclasses.fields(config)]
    found = (detection_config(part) for part in inner if dataclasses.is_dataclass(part))
    return next((config for config in found if config is not None), None)


def with_limits(model: Model, limits: Limits, row: str) -> Model:
    """The model with these thresholds: itself, or a copy that shares its weights. ValueError where it has none.

    A score and a number of detections matter here where they ask for more than the model gives by itself.
    """
    if not limits.given:
        return model
    own = detection_config(model.config)
    if own is None:
        if limits.iou is not None:
            raise ValueError(f"{row} suppresses no boxes by IoU, so iou={limits.iou} has no meaning; leave it out")
        return model
    wanted = replace(
        own,
        score_threshold=min(own.score_threshold, own.score_threshold if limits.conf is None else limits.conf),
        nms_threshold=own.nms_threshold if limits.iou is None else limits.iou,
        detections=max(own.detections, limits.max_detections or 0),
    )
    if wanted == own:
        return model
    if model.fixed:
        raise ValueError(
            f"the thresholds of an exported file are part of its graph (scores over {own.score_threshold:g}, NMS at"
            f" {own.nms_threshold:g}, {own.detections} detections); ask for no more, or export {row} with others"
        )
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    changed = copy.deepcopy(model, shared)
    for module in changed.modules():
        config: Any = getattr(module, "config", None)
        if dataclasses.is_dataclass(config):
            vars(module)["config"] = _with(config, wanted)
    return changed


def _with(config: Any, detect: DetectConfig) -> Any:
    """The config, and all in it, with other thresholds of detections."""
    if isinstance(config, DetectConfig):
        return detect
    inner = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    parts = {name: _with(part, detect) for name, part in inner.items() if dataclasses.is_dataclass(part)}
    changed = {name: part for name, part in parts.items() if part is not inner[name]}
    return replace(config, **changed) if changed else config
