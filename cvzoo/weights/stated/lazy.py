"""detectron2's lazy configs as its trainer saves them: arguments of classes under the names of its older configs."""

from __future__ import annotations

from typing import Any

Settings = dict[str, Any]

NORMS = {
    "BatchNorm2d": "BN",
    "SyncBatchNorm": "SyncBN",
    "NaiveSyncBatchNorm": "NaiveSyncBN",
    "FrozenBatchNorm2d": "FrozenBN",
    "<lambda>": None,
}
"""Classes of norms; of a function nothing is known but what the keys tell."""
BODY = {
    "freeze_at": "MODEL.BACKBONE.FREEZE_AT",
    "stages.norm": "MODEL.RESNETS.NORM",
    "stages.stride_in_1x1": "MODEL.RESNETS.STRIDE_IN_1X1",
}
ANCHORS = {name: f"MODEL.ANCHOR_GENERATOR.{name.upper()}" for name in ("sizes", "aspect_ratios", "offset")}
POOLER = {"output_size": "POOLER_RESOLUTION", "sampling_ratio": "POOLER_SAMPLING_RATIO", "pooler_type": "POOLER_TYPE"}
PREDICTOR = {
    "test_score_thresh": "MODEL.ROI_HEADS.SCORE_THRESH_TEST",
    "test_nms_thresh": "MODEL.ROI_HEADS.NMS_THRESH_TEST",
    "test_topk_per_image": "TEST.DETECTIONS_PER_IMAGE",
    "use_sigmoid_ce": "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE",
    "box2box_transform.weights": "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS",
}
BOX_POOLER = {ours: f"MODEL.ROI_BOX_HEAD.{name}" for ours, name in POOLER.items()}
ARGUMENTS: tuple[tuple[str, str], ...] = (
    ("input_format", "INPUT.FORMAT"),
    ("pixel_mean", "MODEL.PIXEL_MEAN"),
    ("pixel_std", "MODEL.PIXEL_STD"),
    *((f"{place}.{name}", option) for place in ("backbone", "backbone.bottom_up") for name, option in BODY.items()),
    ("backbone.norm", "MODEL.FPN.NORM"),
    ("backbone.fuse_type", "MODEL.FPN.FUSE_TYPE"),
    *((f"{at}anchor_generator.{name}", o) for at in ("", "proposal_generator.") for name, o in ANCHORS.items()),
    ("proposal_generator.box2box_transform.weights", "MODEL.RPN.BBOX_REG_WEIGHTS"),
    ("proposal_generator.pre_nms_topk.1", "MODEL.RPN.PRE_NMS_TOPK_TEST"),
    ("proposal_generator.post_nms_topk.1", "MODEL.RPN.POST_NMS_TOPK_TEST"),
    ("proposal_generator.nms_thresh", "MODEL.RPN.NMS_THRESH"),
    ("proposal_generator.min_box_size", "MODEL.PROPOSAL_GENERATOR.MIN_SIZE"),
    ("proposal_generator.in_features", "MODEL.RPN.IN_FEATURES"),
    ("roi_heads._target_", "MODEL.ROI_HEADS.NAME"),
    *((f"roi_heads.{name}", "MODEL.ROI_HEADS.IN_FEATURES") for name in ("in_features", "box_in_features")),
    *((f"roi_heads.{at}.{name}", o) for at in ("pooler", "box_pooler") for name, o in BOX_POOLER.items()),
    *((f"roi_heads.{at}.conv_norm", "MODEL.ROI_BOX_HEAD.NORM") for at in ("box_head", "box_heads.0")),
    *((f"roi_heads.{at}.{name}", o) for at in ("box_predictor", "box_predictors.0") for name, o in PREDICTOR.items()),
    *((f"roi_heads.mask_pooler.{name}", f"MODEL.ROI_MASK_HEAD.{option}") for name, option in POOLER.items()),
    ("roi_heads.mask_head.conv_norm", "MODEL.ROI_MASK_HEAD.NORM"),
    ("head.norm", "MODEL.RETINANET.NORM"),
    ("head_in_features", "MODEL.RETINANET.IN_FEATURES"),
    ("test_score_thresh", "MODEL.RETINANET.SCORE_THRESH_TEST"),
    ("test_topk_candidates", "MODEL.RETINANET.TOPK_CANDIDATES_TEST"),
    ("test_nms_thresh", "MODEL.RETINANET.NMS_THRESH_TEST"),
    ("max_detections_per_image", "TEST.DETECTIONS_PER_IMAGE"),
    ("box2box_transform.weights", "MODEL.RETINANET.BBOX_REG_WEIGHTS"),
)
"""Where an argument stands in a lazy config's `model`, and what older configs call it."""


def as_options(model: Settings) -> Settings:
    """The options of an older config that say the same; what is left out there stays as it is published."""
    found: Settings = {"MODEL": {}}
    for path, option in ARGUMENTS:
        value = _at(model, path)
        if value is not None:
            *parts, name = option.split(".")
            inner = found
            for part in parts:
                inner = inner.setdefault(part, {})
            inner[name] = _translated(name, value)
    stages = (_at(model, f"roi_heads.box_predictors.{i}.box2box_transform.weights") for i in range(3))
    if weights := [stage for stage in stages if stage is not None]:
        found["MODEL"]["ROI_BOX_CASCADE_HEAD"] = {"BBOX_REG_WEIGHTS": weights}
    return found


def _at(tree: Any, path: str) -> Any:
    """The value at a path; None where there is none, or one that stands somewhere else."""
    for name in path.split("."):
        if isinstance(tree, dict):
            tree = tree.get(name)
        elif isinstance(tree, list) and name.isdigit() and int(name) < len(tree):
            tree = tree[int(name)]
        else:
            return None
    return None if isinstance(tree, str) and tree.startswith("${") else tree


def _translated(name: str, value: Any) -> Any:
    if name == "NORM" and isinstance(value, dict):
        value = value.get("_target_")
    if name in ("NORM", "NAME") and isinstance(value, str):
        value = value.rpartition(".")[2]
        return NORMS.get(value, value)
    if name == "ASPECT_RATIOS" and not isinstance(value[0], list):
        return [value]
    return value
