"""The config that a file of another toolbox needs: the toolbox's conventions, the row's sizes, the file's classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from cvzoo.models.faster_rcnn import FasterRCNNConfig
from cvzoo.models.retinanet import RetinaNetConfig
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.weights import dialects
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.keys import Toolbox

Detector = RetinaNetConfig | FasterRCNNConfig


def outputs(state: Mapping[str, Tensor]) -> int:
    """Classes that a detector's state (our keys) scores, without the background."""
    if "box_head.cls_out.bias" in state:
        return len(state["box_head.cls_out.bias"]) - 1
    # RetinaNet: A * K scores beside A * 4 deltas
    return 4 * len(state["head.cls_out.bias"]) // len(state["head.box_out.bias"])


def class_count(config: Detector) -> int:
    """Classes of the data set that a config tells apart; torchvision's have more outputs than that."""
    return max(config.class_ids, default=config.num_classes - 1) + 1


def config_for(state: Mapping[str, Tensor], toolbox: Toolbox, model: Detector, source: str) -> Detector:
    """The config for `state` (our keys) from `toolbox`, for a row whose own config is `model`.

    How many blocks, channels and convolutions the network has is the row's to say; what the toolbox computes with them
    is its dialect's; the number of classes, and torchvision's v2 and trained norms, are seen in the file. WeightsError
    when the file is of another system.
    """
    if ("rpn.objectness.weight" in state) != isinstance(model, FasterRCNNConfig):
        theirs = "Faster R-CNN" if "rpn.objectness.weight" in state else "RetinaNet"
        raise WeightsError(f"{source} holds a {theirs}, the row is another system; choose a row of that system")
    if toolbox == "cvzoo":
        return replace(model, num_classes=outputs(state))
    dialect = _with_classes(_dialect(state, toolbox), outputs(state), toolbox)
    backbone = _sized(dialect.backbone, model.backbone)
    if isinstance(backbone, ResNetConfig) and "backbone.bn1.num_batches_tracked" in state and toolbox == "torchvision":
        # norms that count batches were not frozen: a torchvision model that did not start from ImageNet
        backbone = replace(backbone, norm="batch", norm_eps=1e-5)
    common = {"backbone": backbone, "fpn": replace(dialect.fpn, channels=model.fpn.channels)}
    if isinstance(dialect, RetinaNetConfig) and isinstance(model, RetinaNetConfig):
        return replace(dialect, **common, tower_convs=model.tower_convs)
    assert isinstance(dialect, FasterRCNNConfig)
    assert isinstance(model, FasterRCNNConfig)
    return replace(dialect, **common, box_head=replace(dialect.box_head, fc_channels=model.box_head.fc_channels))


def _dialect(state: Mapping[str, Tensor], toolbox: Toolbox) -> Detector:
    two_stage = "rpn.objectness.weight" in state
    match toolbox:
        case "torchvision" if "box_head.convs.0.conv.weight" in state:
            return dialects.faster_rcnn_torchvision_v2()
        case "torchvision" if "head.cls_tower.0.norm.weight" in state:
            return dialects.retinanet_torchvision_v2()
        case "torchvision":
            return dialects.faster_rcnn_torchvision() if two_stage else dialects.retinanet_torchvision()
        case "detectron2":
            return dialects.faster_rcnn_detectron2() if two_stage else dialects.retinanet_detectron2()
        case "mmlab":
            return dialects.faster_rcnn_mmdetection() if two_stage else dialects.retinanet_mmdetection()
    raise AssertionError(toolbox)


def _with_classes(dialect: Detector, count: int, toolbox: Toolbox) -> Detector:
    """`dialect` with `count` outputs; torchvision's 0 is the background, which RetinaNet scores, too, in vain."""
    if count == dialect.num_classes:
        return dialect
    scores_background = toolbox == "torchvision" and isinstance(dialect, RetinaNetConfig)
    return replace(dialect, num_classes=count, class_ids=tuple(range(-1, count - 1)) if scores_background else ())


def _sized(dialect: ResNetConfig | TimmConfig, row: ResNetConfig | TimmConfig) -> ResNetConfig | TimmConfig:
    """The row's backbone with the dialect's conventions."""
    if isinstance(row, TimmConfig) or isinstance(dialect, TimmConfig):
        return row
    conventions = {name: getattr(dialect, name) for name in ("stride_in_1x1", "norm", "norm_eps", "frozen_stages")}
    return replace(row, **conventions)
