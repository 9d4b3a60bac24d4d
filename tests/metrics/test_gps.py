"""Dense pose's average precision: what the golden case does not have, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cvzoo.data.body_parts import KAPPAS
from cvzoo.metrics.geometry import FlatGeometry
from cvzoo.metrics.gps import LIMIT, evaluate_gps
from cvzoo.metrics.surface_pairs import Found
from cvzoo.ops import rle

SIDE = 40
TORSO = 2


def person(x: float, number: int, points: bool = True, image: int = 1, **changed: Any) -> dict[str, Any]:
    """Somebody whose box is all torso, U to the right and V down."""
    own: dict[str, Any] = {}
    if points:
        places = np.linspace(8, 244, 9)
        full = {"size": [256, 256], "counts": rle.encode(np.ones((256, 256), np.uint8))["counts"].decode()}
        own = {"dp_x": places.tolist(), "dp_y": places.tolist(), "dp_I": [TORSO] * 9, "dp_masks": [full] + [[]] * 13}
        own |= {"dp_U": (places / 255).tolist(), "dp_V": (places / 255).tolist()}
    box = {"bbox": [x, 10.0, SIDE, SIDE], "area": SIDE * SIDE, "iscrowd": 0, "category_id": 1}
    return {**box, "id": number, "image_id": image, **own, **changed}


def found(x: float, score: float, shift: float = 0.0, image: int = 1) -> Found:
    """A detection of the torso there, off by `shift` in U."""
    ramp = (np.arange(SIDE) + 0.5) / SIDE
    u, v = np.broadcast_to(ramp + shift, (SIDE, SIDE)), np.broadcast_to(ramp[:, None], (SIDE, SIDE))
    surface = np.stack([np.full((SIDE, SIDE), TORSO), (255 * u).clip(0, 255), 255 * v]).astype(np.uint8)
    return Found(image, 1, (x, 10.0, SIDE, SIDE), score, surface)


def stats(people: list[dict[str, Any]], detections: list[Found], images: int = 1) -> dict[str, float]:
    truth = {
        "images": [{"id": i, "height": 100, "width": 400} for i in range(1, images + 1)],
        "annotations": people,
        "categories": [{"id": 1, "name": "person"}],
    }
    return evaluate_gps(truth, detections, FlatGeometry(), KAPPAS).stats


def test_exact_surfaces_have_all_there_is() -> None:
    figures = stats([person(0, 1), person(100, 2)], [found(0, 0.9), found(100, 0.8)])
    for measure in ("gps", "gpsm"):
        assert figures[f"{measure}_AP"] == figures[f"{measure}_APm"] <= figures[f"{measure}_AR"] == 1
        assert figures[f"{measure}_AP"] == pytest.approx(1)
        assert figures[f"{measure}_APl"] == -1
    assert figures["point_covered"] == figures["point_accuracy"] == 1
    assert figures["point_uv_error"] < 0.03


def test_the_worse_the_coordinates_the_lower() -> None:
    """exp(-d^2 / 2 kappa^2) at d = 0.2 is about 0.85, at 0.5 about 0.36; U ends at 1."""
    exact, near, far = (stats([person(0, 1)], [found(0, 0.9, shift)]) for shift in (0, 0.2, 0.5))
    assert exact["gps_AP"] > near["gps_AP"] > 0.6 > 0.3 > far["gps_AP"]
    assert near["gps_AP75"] == pytest.approx(1)
    assert near["point_uv_error"] == pytest.approx(0.18, abs=0.03)


def test_a_false_detection_costs_unless_it_is_of_somebody_without_points() -> None:
    alone = stats([person(0, 1)], [found(100, 0.95), found(0, 0.9)])
    beside = stats([person(0, 1), person(100, 2, points=False)], [found(100, 0.95), found(0, 0.9)])
    assert alone["gps_AP"] == pytest.approx(0.5)
    assert beside["gps_AP"] == pytest.approx(1)


def test_detections_of_images_with_nobody_to_find_do_not_count() -> None:
    assert stats([person(0, 1)], [found(0, 0.9), found(0, 0.95, image=2)], images=2)["gps_AP"] == pytest.approx(1)


def test_nobody_to_find_and_nothing_found() -> None:
    assert stats([], [found(0, 0.9)])["gps_AP"] == stats([person(0, 1, points=False)], [])["gps_AP"] == -1
    nothing = stats([person(0, 1)], [])
    assert nothing["gps_AP"] == nothing["gpsm_AR"] == nothing["point_covered"] == 0
    assert nothing["point_accuracy"] == nothing["point_uv_error"] == -1


def test_only_the_best_of_an_image_count() -> None:
    crowd = [found(200, 0.9) for _ in range(LIMIT)]
    assert stats([person(0, 1)], [*crowd[1:], found(0, 0.1)])["gps_AR"] == 1
    assert stats([person(0, 1)], [*crowd, found(0, 0.1)])["gps_AR"] == 0


def test_surfaces_that_stick_out_of_the_image_or_have_no_pixel() -> None:
    corner = found(0, 0.9)._replace(box=(-20.5, -20.5, SIDE, SIDE))
    dot = Found(1, 1, (5.0, 5.0, 0.2, 0.3), 0.8, np.zeros((3, 1, 1), np.uint8))
    beyond = found(0, 0.7)._replace(box=(500.0, 10.0, SIDE, SIDE))
    figures = stats([person(0, 1)], [corner, dot, beyond])
    assert figures["gps_AP"] == 0


def test_people_of_no_points_and_no_masks() -> None:
    empty = person(0, 1, dp_x=[], dp_y=[], dp_I=[], dp_U=[], dp_V=[], dp_masks=[])
    assert stats([empty], [found(0, 0.9)])["gps_AP"] == 0


def test_any_name_of_a_category() -> None:
    truth = {
        "images": [{"id": 1, "height": 9, "width": 9}],
        "annotations": [],
        "categories": [{"id": 4, "name": "man"}],
    }
    result = evaluate_gps(truth, [], FlatGeometry(), KAPPAS)
    assert result.per_class == {"gps": {"man": -1.0}, "gpsm": {"man": -1.0}}
    assert set(result.precision_recall) == {"gps", "gpsm"}
