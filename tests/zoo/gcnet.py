"""What the tests know of GCNet: of its network for segmentation, and of its blocks in the body of a Mask R-CNN."""

from __future__ import annotations

from functools import partial
from typing import Any

from parity.config_mmseg import segmenter_of
from parity.options import must_be
from parity.run_semantic import run_mmsegmentation
from zoo.rcnn import narrow as narrow_rcnn
from zoo.rcnn import run_mmdetections_mask_rcnn
from zoo.segmenter import narrow as narrow_segmenter
from zoo.systems import Fits, Golden

from cvzoo.zoo.gcnet.model import GCNetConfig


def config_of(case: dict[str, Any]) -> GCNetConfig:
    """Of a case of mmsegmentation."""
    head = case["model"]["decode_head"]
    must_be(head, type="GCHead", pooling_type="att", fusion_types=["channel_add"])
    return GCNetConfig(**segmenter_of(case["model"]), ratio=head["ratio"])


def narrow(config: Any) -> Any:
    return narrow_segmenter(config) if isinstance(config, GCNetConfig) else narrow_rcnn(config)


R50, WITH_MASKS = "gcnet_r50_d8_cityscapes", "mask_rcnn_r50_fpn_gcb_r16_1x"
ADE20K, VOC = "gcnet_r50_d8_ade20k", "gcnet_r50_d8_voc"
PARAMETERS = {R50: 49_630_215}  # spec segmentation.md, section 1
GOLDEN = {
    "gcnet_segmentation": Golden("mmsegmentation", partial(run_mmsegmentation, config_of=config_of)),
    "gcnet_mask_rcnn": Golden("mmdetection", run_mmdetections_mask_rcnn),
}
MANIFESTS = {
    "mmlab/gcnet_r50-d8_4xb2-40k_cityscapes-512x1024": Fits(R50, classes=19),
    "mmlab/gcnet_r50-d8_4xb4-20k_voc12aug-512x512": Fits(VOC, classes=21),
    "mmlab/gcnet_r50-d8_4xb4-80k_ade20k-512x512": Fits(ADE20K, classes=150),
    "mmlab/gcnet_r101-d8_4xb2-80k_cityscapes-512x1024": Fits(R50, body={"depth": 101}, classes=19),
    "mmlab/mask-rcnn_r50-gcb-r16-c3-c5_fpn_1x_coco": Fits(WITH_MASKS),
    "mmlab/mask-rcnn_r50-gcb-r4-c3-c5_fpn_1x_coco": Fits(WITH_MASKS, body={"context_ratio": 1 / 4}),
    "mmlab/mask-rcnn_r50-syncbn-gcb-r16-c3-c5_fpn_1x_coco": Fits(WITH_MASKS),
    "mmlab/mask-rcnn_r50-syncbn-gcb-r4-c3-c5_fpn_1x_coco": Fits(WITH_MASKS, body={"context_ratio": 1 / 4}),
    "mmlab/mask-rcnn_r101-gcb-r16-c3-c5_fpn_1x_coco": Fits(WITH_MASKS, body={"depth": 101}),
    "mmlab/mask-rcnn_r101-gcb-r4-c3-c5_fpn_1x_coco": Fits(WITH_MASKS, body={"depth": 101, "context_ratio": 1 / 4}),
}
