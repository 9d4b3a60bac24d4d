"""Samples of the golden cases of operators: found in the cases, never listed; read to the last option and tensor."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pytest
from parity.golden import GOLDEN, Case, Report, load_case
from parity.options import Options
from torch import Tensor

MISSING = {
    "ops/keypoint_heatmaps": "keypoint heads are not in the zoo yet",
    "ops_mmlab/box_losses/balanced_l1": "no system of the zoo has a balanced L1 loss",
    "ops_mmlab/box_losses/bounded_iou": "no system of the zoo has a bounded IoU loss",
    "ops_mmlab/box_losses/ciou": "no system of the zoo has a CIoU loss",
    "ops_mmlab/box_losses/diou": "no system of the zoo has a DIoU loss",
    "ops_mmlab/box_losses/iou_linear": "no system of the zoo has a linear IoU loss; its IoU loss is iou_log",
    "ops_mmlab/box_losses/iou_square": "no system of the zoo has a squared IoU loss; its IoU loss is iou_log",
    "ops_mmlab/box_losses/pairwise_giou": "set predictors (2005.12872), which match by GIoU, are not in the zoo yet",
    "ops_mmlab/box_losses/pairwise_iof": "no system of the zoo measures intersection over foreground",
}
"""Operators that the cases have and the zoo has not: cases, or a loss in a case of several."""


def cases_of(folder: str) -> dict[str, Case]:
    names = sorted(path.parent.name for path in GOLDEN.glob(f"{folder}/*/case.json"))
    return {name: load_case(f"{folder}/{name}") for name in names}


DETECTRON2, MMLAB = cases_of("ops"), cases_of("ops_mmlab")
PRESENT = {f"ops/{op}" for op in DETECTRON2} | {f"ops_mmlab/{op}" for op in MMLAB}
PRESENT |= {f"ops/{op}/{s['loss']}" for op, c in DETECTRON2.items() for s in c.info.get("samples", []) if "loss" in s}
PRESENT |= {f"ops_mmlab/{op}/{key.split('.')[0]}" for op, case in MMLAB.items() for key in case.expected}
TESTED: set[str] = set()
"""The cases whose samples a test has asked for."""


def unknown() -> set[str]:
    """Cases that are there, but neither tested nor listed as missing."""
    return {name for name in PRESENT if name.count("/") == 1} - TESTED - set(MISSING)


def numbers(op: str) -> pytest.MarkDecorator:
    """Parametrize with the `number` of each sample of a case of ops/ whose operator the zoo has."""
    TESTED.add(f"ops/{op}")
    samples = DETECTRON2[op].info["samples"] if op in DETECTRON2 else []
    own = [str(i) for i, options in enumerate(samples) if f"ops/{op}/{options.get('loss')}" not in MISSING]
    return pytest.mark.parametrize("number", own)


def names(op: str, pattern: str) -> pytest.MarkDecorator:
    """Parametrize with each `name` a case of ops_mmlab/ expects, as far as it matches, of operators the zoo has."""
    TESTED.add(f"ops_mmlab/{op}")
    keys = MMLAB[op].expected if op in MMLAB else ()
    own = [key for key in keys if f"ops_mmlab/{op}/{key.split('.')[0]}" not in MISSING]
    return pytest.mark.parametrize("name", sorted({match.group() for key in own if (match := re.match(pattern, key))}))


@dataclass
class Sample:
    """A part of a case; names are without the part's own prefix."""

    options: Options
    inputs: dict[str, Tensor]
    expected: Options
    report: Report

    def finish(self, left: tuple[str, ...] = ()) -> None:
        """All is equal, and what is expected or stated was read, but for names that begin with one of `left`."""
        self.report.finish()
        for what, values in (("expected", self.expected), ("options", self.options)):
            unread = [name for name in values.unread() if not name.startswith(left)]
            assert not unread, f"{what} that nobody reads: {unread}"


def sample(op: str, number: str) -> Sample:
    """One sample of a case of ops/."""
    case, prefix = load_case(f"ops/{op}"), f"{number}."
    options, report = Options(case.info["samples"][int(number)]), Report(case.info["tolerance"]["relative"])
    return Sample(options, within(case.inputs, prefix), Options(within(case.expected, prefix)), report)


def part(op: str, prefix: str) -> Sample:
    """What a case of ops_mmlab/ expects under a prefix, with all inputs and options of the case."""
    case = load_case(f"ops_mmlab/{op}")
    options, report = Options(case.info["options"]), Report(case.info["tolerance"]["relative"])
    return Sample(options, case.inputs, Options(within(case.expected, prefix)), report)


def within(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def bits(packed: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    return np.unpackbits(packed.numpy(), count=math.prod(shape)).reshape(shape)
