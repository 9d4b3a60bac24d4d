"""Dense pose as detectron2 has it: what the head says of a box, and the pixels made of it."""

from __future__ import annotations

from typing import Any

import torch
from parity.compare import tolerance
from parity.golden import Case, Report
from torch import Tensor

from cvzoo.ops.resize import resize
from cvzoo.structures import Batch, Prediction

SURFACE_LOSSES = {
    "loss_densepose_S": "loss_coarse",
    "loss_densepose_I": "loss_part",
    "loss_densepose_U": "loss_u",
    "loss_densepose_V": "loss_v",
    "loss_densepose_UV": "loss_uv",
}
MAPS = {"coarse_segm": "coarse", "fine_segm": "parts", "u": "u", "v": "v"}
"""The reference's names to ours."""


@torch.no_grad()
def compare_surfaces(
    report: Report,
    case: Case,
    model: Any,
    batch: Batch,
    found: list[Prediction],
    partners: list[list[int]],
    numbers: bool,
) -> None:
    """The pixels and, with `numbers`, all that they are made of; `partners` stand for the expected detections."""
    detections, maps = model.detections(batch)
    assert [len(f) for f in found] == [len(f) for f in detections], "a detection was dropped after its maps were made"
    hidden = model.surface_head.hidden(model.surface_regions(maps, [f.boxes for f in detections]))
    raw = model.surface_head.maps(hidden)
    starts = [sum(map(len, detections[:n])) for n in range(len(detections))]
    rows = [torch.tensor(own, dtype=torch.int64) + start for start, own in zip(starts, partners)]
    if numbers:
        if "eval.decoder" in case.expected:
            decoded = model.decoder(maps[: len(model.decoder.doublings)])
            report.close("decoder", decoded, case.expected["eval.decoder"], tolerance(case, "eval.decoder"))
        expected = case.expected["eval.densepose_head"]
        report.close("densepose_head", hidden[torch.cat(rows)], expected, tolerance(case, "eval.densepose_head"))
    for n, (index, own) in enumerate(zip(rows, partners)):
        own_maps = type(raw)._make(None if x is None else x[index] for x in raw)
        if numbers:
            compare_maps(report, case, n, own_maps)
        surfaces = found[n].surfaces
        assert surfaces is not None
        compare_pixels(report, case, n, own_maps, [surfaces[row] for row in own])


def compare_maps(report: Report, case: Case, image: int, raw: Any) -> None:
    prefix, limit = f"eval.detections.{image}.densepose.", tolerance(case, "eval.detections")
    names = {key.removeprefix(prefix) for key in case.expected if key.startswith(prefix)}
    assert names == set(MAPS), names
    for name, ours in MAPS.items():
        report.close(f"{prefix}{name}", getattr(raw, ours), case.expected[f"{prefix}{name}"], limit)


def compare_pixels(report: Report, case: Case, image: int, raw: Any, surfaces: list[Tensor]) -> None:
    """Every pixel is the reference's, except those where two parts are as good as each other; of U and V, cut down to
    whole numbers, those that are as good as whole may be one off."""
    prefix, limit = f"eval.iuv.{image}.", tolerance(case, "eval.detections")
    numbers = [int(key.removeprefix(prefix)) for key in case.expected if key.startswith(prefix)]
    assert numbers
    for row in numbers:
        expected, actual = case.expected[f"{prefix}{row}"].int(), surfaces[row].int()
        if expected.shape != actual.shape:
            report.equal(f"{prefix}{row}", actual, expected)
            continue
        clear = torch.ones(expected.shape[1:], dtype=torch.bool)
        for maps in (raw.coarse[row], raw.parts[row]):
            best = resize(maps.unsqueeze(0), (expected.shape[1], expected.shape[2]))[0].topk(2, dim=0).values
            clear &= best[0] - best[1] > 2 * limit * maps.abs().max()
        report.equal(f"part of {prefix}{row}", actual[0] * clear, expected[0] * clear)
        allowed = torch.tensor(255 * limit * max(raw.u.abs().max().item(), raw.v.abs().max().item()))
        gap = (actual[1:] - expected[1:]).abs() * clear
        report.equal(f"U and V of {prefix}{row}", (gap > allowed.ceil()).int(), torch.zeros_like(gap))
        assert clear.float().mean() > 0.9, f"{prefix}{row}: nearly all parts are ties"
        assert (gap > 0).float().mean() < 0.05, f"{prefix}{row}: U and V are one off nearly everywhere"
