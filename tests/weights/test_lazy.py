"""detectron2's lazy configs, as its trainer saves them beside the weights: two texts differ in one argument."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest

from cvzoo.weights.errors import WeightsError
from cvzoo.weights.stated import stated
from cvzoo.zoo import ROWS

STAGES = """
dataloader: {train: {mapper: {sizes: !!python/tuple [640, 800]}}}
model:
  _target_: detectron2.modeling.GeneralizedRCNN
  backbone:
    bottom_up:
      stages: {_target_: detectron2.modeling.ResNet.make_default_stages, depth: 50, norm: FrozenBN, stride_in_1x1: true}
    norm: ''
  input_format: BGR
  pixel_std: [1.0, 1.0, 1.0]
  proposal_generator:
    anchor_generator: {aspect_ratios: [0.5, 1.0, 2.0], offset: 0.0, sizes: [[32], [64], [128], [256], [512]]}
    nms_thresh: 0.7
    post_nms_topk: !!python/tuple [2000, 1000]
  roi_heads:
    _target_: detectron2.modeling.StandardROIHeads
    box_head:
      conv_norm: &norm !!python/name:None.%3Clambda%3E ''
      input_shape: !!python/object:detectron2.layers.shape_spec.ShapeSpec {channels: 256, height: 7, width: 7}
    box_in_features: [p2, p3, p4, p5]
    box_pooler: {output_size: 7, pooler_type: ROIAlignV2, sampling_ratio: 0}
    box_predictor:
      box2box_transform: {weights: !!python/tuple [10, 10, 5, 5]}
      num_classes: ${..num_classes}
      test_score_thresh: 0.05
    mask_head: {conv_norm: *norm}
    mask_pooler: {output_size: 14, pooler_type: ROIAlignV2, sampling_ratio: 0}
    num_classes: 80
"""
DENSE = """
model:
  _target_: detectron2.modeling.FCOS
  backbone: {bottom_up: {stages: {stride_in_1x1: true}}}
  head: {norm: GN}
  test_score_thresh: 0.2
  test_nms_thresh: 0.6
"""
CASCADE = """
model:
  _target_: detectron2.modeling.GeneralizedRCNN
  roi_heads:
    box_predictors:
    - {box2box_transform: {weights: [10, 10, 5, 5]}, test_score_thresh: 0.05}
    - {box2box_transform: {weights: [40, 40, 20, 20]}, test_score_thresh: 0.05}
"""
MASKS, FCOS, CASCADED = "mask_rcnn_r50_fpn_1x", "fcos_r50_fpn_1x", "cascade_rcnn_r50_fpn_1x"


def read(row: str, text: str) -> Any:
    return stated(ROWS[row].recipe().model, f"model_final.pth\n{text}", "model_final.pth")


@pytest.mark.parametrize(
    ("row", "text", "old", "new", "path", "before", "after"),
    [
        (MASKS, STAGES, "BGR", "RGB", "pixels.bgr", True, False),
        (MASKS, STAGES, "std: [1.0, 1.0, 1.0]", "std: [57.0, 58.0, 59.0]", "pixels.std", (1, 1, 1), (57, 58, 59)),
        (MASKS, STAGES, "1x1: true", "1x1: false", "backbone.stride_in_1x1", True, False),
        (MASKS, STAGES, "FrozenBN", "GN", "backbone.norm", "frozen", "group"),
        (MASKS, STAGES, "norm: ''", "norm: SyncBN", "fpn.norm", None, "batch"),
        (MASKS, STAGES, "[0.5, 1.0, 2.0]", "[0.5, 1.0]", "rpn.anchors.ratios", ((0.5, 1.0, 2.0),), ((0.5, 1.0),)),
        (MASKS, STAGES, "offset: 0.0", "offset: 0.5", "rpn.anchors.offset", 0.0, 0.5),
        (MASKS, STAGES, "thresh: 0.7", "thresh: 0.6", "rpn.nms_threshold", 0.7, 0.6),
        (MASKS, STAGES, "[2000, 1000]", "[2000, 300]", "rpn.post_nms_test", 1000, 300),
        (MASKS, STAGES, "size: 7, pooler_type: ROIAlignV2", "size: 7, pooler_type: ROIAlign",
            "box_head.pool.aligned", True, False),
        (MASKS, STAGES, "size: 14, pooler_type: ROIAlignV2, sampling_ratio: 0",
            "size: 14, pooler_type: ROIAlignV2, sampling_ratio: 2", "mask_head.pool.sampling", 0, 2),
        (MASKS, STAGES, "[10, 10, 5, 5]", "[20, 20, 10, 10]", "box_head.box_weights",
            (10, 10, 5, 5), (20, 20, 10, 10)),
        (MASKS, STAGES, "score_thresh: 0.05", "score_thresh: 0.0001", "box_head.detect.score_threshold", 0.05, 0.0001),
        (MASKS, STAGES, "num_classes: $", "test_topk_per_image: 300\n      num_classes: $",
            "box_head.detect.detections", 100, 300),
        (FCOS, DENSE, "score_thresh: 0.2", "score_thresh: 0.3", "detect.score_threshold", 0.2, 0.3),
        (FCOS, DENSE, "nms_thresh: 0.6", "nms_thresh: 0.6\n  max_detections_per_image: 7", "detect.detections", 100, 7),
    ],
)  # fmt: skip
def test_one_argument(row: str, text: str, old: str, new: str, path: str, before: Any, after: Any) -> None:
    assert text.count(old) == 1
    first, second = (reduce(getattr, path.split("."), read(row, told)) for told in (text, text.replace(old, new)))
    assert (first, second) == (before, after)


def test_a_cascade_has_a_list_of_predictors() -> None:
    assert [stage.box_weights[0] for stage in read(CASCADED, CASCADE).stages] == [10, 40]


def test_a_norm_that_is_a_function_is_as_the_keys_have_it() -> None:
    """But one by name is read, and refused where it infers in its own way."""
    assert read(MASKS, STAGES).mask_head.conv_norm == ROWS[MASKS].recipe().model.mask_head.conv_norm
    text = STAGES.replace("None.%3Clambda%3E", "torch.nn.modules.batchnorm.BatchNorm2d")
    assert read(MASKS, text).mask_head.conv_norm == "batch"
    text = STAGES.replace("None.%3Clambda%3E", "config.BatchNormBatchStat")
    with pytest.raises(WeightsError, match=r"ROI_BOX_HEAD\.NORM='BatchNormBatchStat'"):
        read(MASKS, text)
