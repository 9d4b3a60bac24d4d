"""The golden case of dense pose's losses: what is learnt, where it is read off the maps, and what it costs."""

from __future__ import annotations

import pytest
import torch
from parity.compare import surfaces_of
from parity.config_surfaces import losses_of
from parity.golden import GOLDEN, Report, load_case
from parity.options import Options
from parity.samples import DETECTRON2, TESTED
from torch import Tensor

from cvzoo.parts.rcnn.box_head import Sampled
from cvzoo.structures import Target
from cvzoo.zoo.densepose.head import SurfaceHeadConfig, SurfaceOutput
from cvzoo.zoo.densepose.loss import surface_losses
from cvzoo.zoo.densepose.targets import Matched, coarse_targets, match_surfaces, places_of_points

OP = "densepose_loss"
TESTED.add(f"ops/{OP}")

OUTPUTS = {"coarse_segm": "coarse", "fine_segm": "parts", "u": "u", "v": "v"}
LOSSES = {"S": "loss_coarse", "I": "loss_part", "U": "loss_u", "V": "loss_v"}
OF_THE_NETWORK = (
    "CONV_HEAD",
    "DECODER",
    "DECONV",
    "DEEPLAB",
    "FG_IOU",
    "NAME",
    "NUM_STACKED",
    "POOLER",
    "PREDICTOR",
    "UP_SCALE",
    "UV_CONFIDENCE.TYPE",
)
"""The case begins where the network has ended."""


def matched_of(inputs: dict[str, Tensor]) -> tuple[Matched, Tensor]:
    """What our head would be trained on, had it all proposals; and which of them those are that have a surface."""
    boxes, index = inputs["proposals"], inputs["matched"]
    truth = inputs["gt_boxes"]
    surfaces = surfaces_of(inputs, truth, "dp.")
    rows = torch.arange(len(boxes))
    sampled = Sampled(boxes, torch.zeros_like(rows), rows, index, truth[index], torch.zeros_like(rows).bool())
    target = Target(truth, torch.zeros(len(truth), dtype=torch.int64), surfaces=surfaces)
    assert surfaces is not None
    learning = torch.tensor([surfaces[i] is not None for i in index.tolist()])
    return match_surfaces([sampled], [target], above=0.0), torch.where(learning)[0]


@pytest.mark.skipif(
    OP not in DETECTRON2, reason=f"nothing to compare the losses of dense pose with: no {OP} in {GOLDEN}"
)
def test_what_is_learnt_and_what_it_costs() -> None:
    case = load_case(f"ops/{OP}")
    expected, report = Options(case.expected), Report(case.info["tolerance"]["relative"])
    options = case.info["options"]
    config = SurfaceHeadConfig(**losses_of(options, images=1))
    side = options["HEATMAP_SIZE"]
    matched, learning = matched_of(case.inputs)
    predicted = {ours: case.inputs[f"predicted.{name}"].requires_grad_() for name, ours in OUTPUTS.items()}
    raw = SurfaceOutput(**{name: maps[learning] for name, maps in predicted.items()})
    assert raw.u.shape[-1] == side
    losses = surface_losses(raw, matched, config)
    torch.stack(list(losses.values())).sum().backward()
    for name, ours in LOSSES.items():
        report.close(ours, losses[ours].detach(), expected[f"loss.loss_densepose_{name}"])
    for name, ours in OUTPUTS.items():
        grad = predicted[ours].grad
        assert grad is not None
        report.close(f"gradient of {ours}", grad, expected[f"grad.{name}"], 1e-3)
    compare_points(report, matched, learning, expected)
    compare_places(report, matched, side, expected)
    targets = coarse_targets(matched.surfaces, matched.person_R, torch.cat(matched.boxes), side)
    report.equal("coarse_target", targets, expected["coarse_target"])
    report.finish()
    unread = [*expected.unread(), *(o for o in options.unread() if not o.startswith(OF_THE_NETWORK))]
    assert not unread, f"nobody reads {unread}"


def compare_points(report: Report, matched: Matched, learning: Tensor, expected: Options) -> None:
    """The points, those of one region after the other."""
    surfaces, person, boxes = matched.surfaces, matched.person_R, torch.cat(matched.boxes)
    given = surfaces.part_OP[person] > 0
    region = torch.where(given)[0]
    frame = surfaces.frame_O4[person]
    report.equal("regions", learning, expected["points.bbox_indices"])
    report.equal("region of each point", region, expected["points.point_bbox_with_dp_indices"])
    report.equal("proposal of each point", learning[region], expected["points.point_bbox_indices"])
    for name, corners in (("gt", frame), ("est", boxes)):
        xywh = torch.cat([corners[:, :2], corners[:, 2:] - corners[:, :2]], dim=1)
        report.close(f"boxes {name}", xywh, expected[f"points.bbox_xywh_{name}"])
    report.equal("parts", surfaces.part_OP[person][given], expected["points.fine_segm_labels_gt"])
    for names, values in (("xy", surfaces.points_OP2), ("uv", surfaces.uv_OP2)):
        for name, column in zip(names, values[person][given].unbind(dim=1)):
            report.close(name, column, expected[f"points.{name}_gt"])


def compare_places(report: Report, matched: Matched, side: int, expected: Options) -> None:
    """The cells that a point lies between, and its shares in them, which for inner points follow from its place."""
    surfaces, person = matched.surfaces, matched.person_R
    given = surfaces.part_OP[person] > 0
    place, inside = places_of_points(
        surfaces.points_OP2[person], surfaces.frame_O4[person], torch.cat(matched.boxes), side
    )
    report.equal("inside", inside[given], expected["sampling.j_valid"])
    low = place[given].floor().clamp(0, side - 1)
    high = (low + 1).clamp(max=side - 1)
    share = torch.minimum(place[given], high) - low
    shares = {}
    for axis, number in (("x", 0), ("y", 1)):
        report.equal(f"{axis}_lo", low[:, number], expected[f"sampling.{axis}_lo"])
        report.equal(f"{axis}_hi", high[:, number], expected[f"sampling.{axis}_hi"])
        shares |= {f"{axis}lo": 1 - share[:, number], f"{axis}hi": share[:, number]}
    for y in ("ylo", "yhi"):
        for x in ("xlo", "xhi"):
            report.close(f"{y} {x}", shares[y] * shares[x], expected[f"sampling.w_{y}_{x}"])
