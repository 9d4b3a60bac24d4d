"""What the tests know of FCN."""

from __future__ import annotations

from functools import partial
from typing import Any

from parity.config_mmseg import segmenter_of
from parity.options import must_be
from parity.run_semantic import run_mmsegmentation
from zoo.segmenter import narrow
from zoo.systems import Fits, Golden

from cvzoo.zoo.fcn.model import FCNConfig

__all__ = ["GOLDEN", "MANIFESTS", "PARAMETERS", "narrow"]


def config_of(case: dict[str, Any]) -> FCNConfig:
    """Of a case of mmsegmentation."""
    head = case["model"]["decode_head"]
    must_be(head, type="FCNHead", kernel_size=3, dilation=1)
    return FCNConfig(**segmenter_of(case["model"]), convs=head["num_convs"], concat=head["concat_input"])


PARAMETERS: dict[str, int] = {}
GOLDEN = {"fcn": Golden("mmsegmentation", partial(run_mmsegmentation, config_of=config_of))}
MANIFESTS = {"mmlab/fcn_r50-d8_4xb2-40k_cityscapes-512x1024": Fits("fcn_r50_d8_cityscapes", classes=19)}
