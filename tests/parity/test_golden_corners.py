"""Golden samples of the operators that detectors of corners and centres have to themselves; see test_golden_ops.py."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from parity.golden import GOLDEN
from parity.options import Options
from parity.samples import names, part, within

from cvzoo.ops.corner_pool import Direction, corner_pool
from cvzoo.ops.soft_nms import SoftNMSConfig, soft_nms

if not GOLDEN.is_dir():
    pytest.skip(f"no operator is compared with its reference: there is no {GOLDEN}", allow_module_level=True)


@names("corner_pool", r"\d+")
def test_corner_pool(name: str) -> None:
    """Values and gradients in all four directions."""
    s = part("corner_pool", f"{name}.")
    inputs = within(s.inputs, f"{name}.")
    directions: tuple[Direction, ...] = get_args(Direction)
    for direction in directions:
        x = inputs["x"].clone().requires_grad_()
        out = corner_pool(x, direction)
        (out * inputs["upstream_gradient"]).sum().backward()
        assert x.grad is not None
        s.report.close(direction, out.detach(), s.expected[direction])
        s.report.close(f"{direction}.grad", x.grad, s.expected[f"{direction}.grad"])
    s.finish()


def soft_nms_of(options: Options) -> SoftNMSConfig:
    names = {"naive": "hard"}
    return SoftNMSConfig(
        method=names.get(options["method"], options["method"]),  # type: ignore[arg-type]
        iou_threshold=options["iou_threshold"],
        sigma=options["sigma"],
        min_score=options["min_score"],
    )


@names("soft_nms", r"\d+\.[^.]+")
def test_soft_nms(name: str) -> None:
    """In the order in which boxes are kept, with the scores they are left with."""
    number, setting = name.split(".")
    s = part("soft_nms", f"{name}.")
    inputs = within(s.inputs, f"{number}.")
    stated = s.options.get(setting)
    if setting.startswith("per_class_") and stated is not None:
        assert "classes never suppress each other" in stated["note"]
    # the hard setting by class states nothing: it has the threshold of the others by class
    config = SoftNMSConfig(method="hard", iou_threshold=0.5) if stated is None else soft_nms_of(stated)
    labels = inputs["labels"] if setting.startswith("per_class_") else None
    scores, index = soft_nms(inputs["boxes"], inputs["scores"], config, len(inputs["scores"]), labels)
    s.report.equal("keep", index, s.expected["keep"])
    kept = torch.cat([inputs["boxes"][index], scores[:, None]], dim=1)
    s.report.close("boxes_scores", kept, s.expected["boxes_scores"])
    s.finish(left=tuple(other for other in s.options if other != setting))
