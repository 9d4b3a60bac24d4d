"""DensePose R-CNN."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from parity.config_detectron2_rcnn import stages_of
from parity.config_surfaces import surface_head_of
from parity.golden import Case, Report
from parity.run_rcnn import run_rcnn
from zoo.dense import CHANNELS, GROUPS
from zoo.rcnn import narrow as narrow_stages
from zoo.systems import Fits, Golden

from cvzoo.zoo.densepose.model import DensePoseConfig

R50, R101 = "densepose_r50_fpn_s1x", "densepose_r101_fpn_s1x"
PARAMETERS = {R50: 59_731_247}
"""detectron2's count of `_legacy`, frozen stages included (spec two_stage.md 1.14)."""
KINDS = ("s1x_legacy", "s1x", *(f"{kind}_s1x" for kind in ("WC1", "WC1M", "WC2", "WC2M")))
DEEPLAB_KINDS = tuple(f"DL_{kind}" for kind in KINDS if kind != "s1x_legacy")
MANIFESTS = {
    f"detectron2/densepose_rcnn_{body}_FPN_{kind}": Fits(row, classes=1)
    for body, row in (("R_50", R50), ("R_101", R101))
    for kind in KINDS + DEEPLAB_KINDS
}


def narrow(config: DensePoseConfig) -> DensePoseConfig:
    """As all R-CNNs, but of people alone."""
    head = config.surface_head
    sizes: dict[str, Any] = {"convs": 2, "channels": CHANNELS, "norm_groups": GROUPS}
    if head.decoder_channels is not None:
        sizes["decoder_channels"] = CHANNELS
    return replace(narrow_stages(config), num_classes=1, surface_head=replace(head, **sizes))


def run_detectron2(case: Case) -> Report:
    options = case.info["options"]
    head = surface_head_of(options["MODEL"], len(case.info["images"]))
    return run_rcnn(case, DensePoseConfig(**stages_of(options), surface_head=head))


GOLDEN = {"densepose": Golden("detectron2", run_detectron2)}
