"""The dense pose task's evaluation on made-up people, against the reference's: every sample, mode and number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from parity.golden import GOLDEN, Case, Report, load_case
from parity.options import Options
from parity.samples import TESTED
from torch import Tensor

from cvzoo.data.body_parts import COARSE_PARTS, KAPPAS
from cvzoo.metrics.geometry import MeshGeometry
from cvzoo.metrics.gps import Mode, all_pairs, curves, summary
from cvzoo.metrics.surface_pairs import Found
from cvzoo.ops import rle

NAME = "ops/densepose_eval"
TESTED.add(NAME)
MODES: tuple[Mode, ...] = ("gps", "gpsm", "iou")

if not (GOLDEN / NAME).is_dir():
    pytest.skip(f"dense pose is not compared with its reference: there is no {GOLDEN / NAME}", allow_module_level=True)


@pytest.fixture(scope="module")
def case() -> Case:
    return load_case(NAME)


def test_numbers(case: Case) -> None:
    pairs = all_pairs(truth(case), list(detections(case)), mesh(case), KAPPAS)
    expected, report = Options(case.expected), Report(case.info["tolerance"]["relative"])
    for mode in MODES:
        for image, own in zip(case.info["images"], pairs[0], strict=True):
            report.close(f"{mode} gps", torch.from_numpy(own.gps_DG), expected[f"{mode}.gps.{image['id']}"])
            report.close(f"{mode} box IoU", torch.from_numpy(own.box_iou_DG), expected[f"{mode}.box_iou.{image['id']}"])
            if mode != "gps":
                masks = expected[f"{mode}.mask_iou.{image['id']}"]
                report.close(f"{mode} mask IoU", torch.from_numpy(own.iou_DG), masks)
        found = curves(pairs, mode)
        report.close(f"{mode} precision", torch.from_numpy(found.precision[..., None]), expected[f"{mode}.precision"])
        numbers = torch.tensor(list(summary(found).values()), dtype=torch.float64)
        report.close(f"{mode} stats", numbers, expected[f"{mode}.stats"])
    report.finish()
    assert not expected.unread()


def test_constants(case: Case) -> None:
    """The scale of distances on each part."""
    constants = Options(case.info["constants"])
    group, distance = (constants[key] for key in case.info["constants"])
    assert [distance[part] for part in group] == list(KAPPAS)
    assert not constants.unread()


def mesh(case: Case) -> MeshGeometry:
    inputs = {name: tensor.numpy() for name, tensor in case.inputs.items() if name.startswith("mesh.")}
    distance = inputs["mesh.distance"]
    assert np.allclose(distance, distance.T, atol=1e-3)
    return MeshGeometry(
        parts_V=inputs["mesh.part"],
        uv_V2=np.stack([inputs["mesh.u"], inputs["mesh.v"]], 1).astype(np.float64),
        places_V=inputs["mesh.to_coarse"],
        between=distance[np.tril_indices(len(distance), -1)],
    )


def truth(case: Case) -> dict[str, Any]:
    """People without points have the outline of their box, as the reference was given."""
    annotations = []
    for number, person in enumerate(case.info["truth"]):
        x, y, width, height = person["bbox"]
        own: dict[str, Any] = {}
        if person["points"]:
            for name in ("x", "y", "i", "u", "v"):
                own[f"dp_{name if name in 'xy' else name.upper()}"] = case.inputs[f"gt.{number}.{name}"].tolist()
            coarse = case.inputs[f"gt.{number}.segm"].numpy()
            own["dp_masks"] = [
                rle.encode(coarse == part) if (coarse == part).any() else [] for part in range(1, len(COARSE_PARTS) + 1)
            ]
        else:
            own["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
        known = {"id": number + 1, "image_id": person["image"], "category_id": 1, "bbox": person["bbox"]}
        annotations.append({**known, "area": width * height, "iscrowd": 0, **own})
    return {"images": case.info["images"], "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}


def detections(case: Case) -> list[Found]:
    """The reference takes masks from the coarse segmentation."""
    found = []
    for number, detection in enumerate(case.info["detections"]):
        x, y, width, height = detection["bbox"]
        size = max(int(height), 1), max(int(width), 1)
        coarse, fine, u, v = (
            resized(case.inputs[f"dt.{number}.{name}"], size) for name in ("coarse_segm", "fine_segm", "u", "v")
        )
        mask = coarse.argmax(0) > 0
        part = fine.argmax(0) * mask
        uv = torch.cat([logits.gather(0, part[None]) for logits in (u, v)])
        surface = torch.cat([part[None].byte(), (255 * uv).clamp(0, 255).byte()])
        box = (x, y, width, height)
        found.append(Found(detection["image"], 1, box, detection["score"], surface.numpy(), mask.numpy()))
    return found


def resized(logits: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0]
