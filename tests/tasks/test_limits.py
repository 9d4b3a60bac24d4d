"""Thresholds asked for call by call, on every system's models."""

from dataclasses import is_dataclass

import pytest
import torch

from cvzoo.tasks.limits import Limits, detection_config, with_limits
from cvzoo.zoo import SYSTEMS

ROWS = [system.rows[0] for system in SYSTEMS if system.rows[0].task != "segmentation"]
WITHOUT_NMS = {"centernet", "cornernet"}


def thresholds(model):
    """Of all parts of a model that decide about detections."""
    configs = [config for module in model.modules() if is_dataclass(config := getattr(module, "config", None))]
    return [found for config in configs if (found := detection_config(config)) is not None]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_copy_with_other_thresholds_shares_the_weights(row):
    with torch.device("meta"):
        model = row.recipe().model.build()
    limits = Limits(iou=0.33, conf=0.001, max_detections=777)
    if row.name.split("_")[0] in WITHOUT_NMS:
        with pytest.raises(ValueError, match=rf"{row.name} suppresses no boxes by IoU, so iou=0.33"):
            with_limits(model, limits, row.name)
        assert with_limits(model, Limits(conf=0.5), row.name) is model
        return
    before = thresholds(model)
    changed = with_limits(model, limits, row.name)
    assert {(c.nms_threshold, c.score_threshold, c.detections) for c in thresholds(changed)} == {(0.33, 0.001, 777)}
    assert thresholds(model) == before
    assert len(before) == len(thresholds(changed)) > 0
    for (name, ours), (other, theirs) in zip(model.named_parameters(), changed.named_parameters(), strict=True):
        assert name == other
        assert ours is theirs
    for ours, theirs in zip(model.buffers(), changed.buffers(), strict=True):
        assert ours is theirs


def test_less_than_the_model_gives_needs_no_copy():
    with torch.device("meta"):
        model = ROWS[0].recipe().model.build()
    assert with_limits(model, Limits(conf=0.9, max_detections=1, classes=[0]), "row") is model
