"""Inference beside torchvision: same architecture, weights and image, alternating in one process on the CPU.

    python benchmarks/inference_vs_torchvision.py retinanet [--precision bf16] [--rounds 7] [--height 800 --width 1216]

Both sides go from the decoded image to final detections. The detections are compared before anything is timed.
Masks are pasted into the image on both sides: ours are run-length codes then, torchvision's (D, 1, H, W) floats,
which its caller has yet to threshold. Those of random weights are ragged, and that costs ours more than real ones.
"""

from __future__ import annotations

from typing import Literal

import torch
import tyro
from common import alternate, ratios, report
from side_by_side import BACKGROUND, System, batch_of, pair, sample, torchvision_inputs

from cvzoo.ops.class_ids import classes_of
from cvzoo.structures import Prediction


def main(
    system: tyro.conf.Positional[System],
    precision: Literal["fp32", "bf16"] = "fp32",
    rounds: int = 7,
    height: int = 800,
    width: int = 1216,
) -> None:
    batch = batch_of([sample((height, width))])
    theirs, ours = pair(system, batch)
    class_ids = ours.config.class_ids
    images, _ = torchvision_inputs(system, batch, class_ids)
    fast = ours.for_inference()

    def run_ours() -> list[Prediction]:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return fast.predict(batch)  # type: ignore[operator]

    def run_theirs() -> list[dict]:
        with torch.no_grad():
            return theirs(images)

    (found,), (expected,) = run_ours(), run_theirs()
    labels = classes_of(expected["labels"] - BACKGROUND[system], class_ids)
    partners = matched(found, expected["boxes"], expected["scores"], labels)
    times = alternate({"ours": run_ours, "torchvision": run_theirs}, rounds)
    report(
        f"inference_{system}_{precision}",
        **ratios(times),
        size=[height, width],
        detections=len(found),
        torchvision_detections=len(labels),
        detections_equal=partners,
    )


def matched(found: Prediction, boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor) -> int:
    """How many of torchvision's detections ours has: same class, box within 0.1 px, score within 1e-4."""
    near = (found.boxes[None] - boxes[:, None]).abs().amax(-1) < 0.1
    near &= (found.scores[None] - scores[:, None]).abs() < 1e-4
    near &= found.labels[None] == labels[:, None]
    return int(near.any(dim=1).sum())


if __name__ == "__main__":
    tyro.cli(main)
