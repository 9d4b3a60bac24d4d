"""What the tests know of PSPNet."""

from __future__ import annotations

from functools import partial
from typing import Any

from parity.config_mmseg import segmenter_of
from parity.options import must_be
from parity.run_semantic import run_mmsegmentation
from zoo.segmenter import narrow
from zoo.systems import Fits, Golden

from cvzoo.zoo.pspnet.model import PSPNetConfig

__all__ = ["GOLDEN", "MANIFESTS", "PARAMETERS", "narrow"]


def config_of(case: dict[str, Any]) -> PSPNetConfig:
    """Of a case of mmsegmentation."""
    head = case["model"]["decode_head"]
    must_be(head, type="PSPHead")
    return PSPNetConfig(**segmenter_of(case["model"]), bins=tuple(head["pool_scales"]))


R50, R101 = "pspnet_r50_d8_cityscapes", "pspnet_r101_d8_ade20k"
VOC = "pspnet_r50_d8_voc"
PARAMETERS = {R50: 48_975_494}  # spec segmentation.md, section 1
GOLDEN = {"pspnet": Golden("mmsegmentation", partial(run_mmsegmentation, config_of=config_of))}
MANIFESTS = {
    "mmlab/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024": Fits(R50, body={"depth": 18}, classes=19),
    "mmlab/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024": Fits(R50, classes=19),
    "mmlab/pspnet_r50-d8_4xb2-80k_cityscapes-769x769": Fits(R50, classes=19),
    "mmlab/pspnet_r50-d8_4xb4-20k_voc12aug-512x512": Fits(VOC, classes=21),
    "mmlab/pspnet_r50-d8_4xb4-80k_ade20k-512x512": Fits(R50, classes=150),
    "mmlab/pspnet_r101-d8_4xb2-80k_cityscapes-512x1024": Fits(R101, classes=19),
}
