"""The config that a file of another toolbox needs: the toolbox's conventions, the row's sizes, the file's classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from cvzoo.models.faster_rcnn import FasterRCNNConfig
from cvzoo.models.fcos import FCOSConfig
from cvzoo.models.retinanet import RetinaNetConfig
from cvzoo.models.tridentnet import TridentNetConfig
from cvzoo.nn.resnet import BLOCKS, ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.weights import dialects, dialects_semantic
from cvzoo.weights.dialects_semantic import as_in_file
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.keys import Toolbox, recognise
from cvzoo.weights.systems import (
    CLASSIFIER,
    DetectorConfig,
    ModelConfig,
    SegmenterConfig,
    System,
    check_system,
    system_of,
    systems_of_state,
)

SIZES = {"fpn": ("channels",), "box_head": ("fc_channels",), "mask_head": ("convs", "channels")}
"""Of each part of a model the options that say how large it is: these are the row's, all others the dialect's."""
ROWS_OWN = ("tower_convs", "deform_last", "points_to_box")
"""Such options of the whole model, and what no file tells: minmax and partial_minmax have the same keys."""
BODY_CONVENTIONS = ("stride_in_1x1", "norm", "norm_eps", "frozen_stages", "output_stride")
"""Of a backbone it is the other way round: these are the dialect's."""
OnC4 = FasterRCNNConfig | TridentNetConfig


def outputs(state: Mapping[str, Tensor]) -> int:
    """Classes that a state (our keys) scores, without a detector's background. WeightsError when it scores none."""
    for key in ("box_head.cls_out.bias", "box_heads.0.cls_out.bias"):
        if key in state:
            return len(state[key]) - 1
    for key in state:
        if CLASSIFIER.match(key):
            return len(state[key])
    if state.keys() >= {"head.cls_out.bias", "head.box_out.bias"}:  # A * K scores beside A * 4 deltas
        return 4 * len(state["head.cls_out.bias"]) // len(state["head.box_out.bias"])
    if state.keys() >= {"head.cls_out.bias", "head.refine_out.bias"}:  # RepPoints: one candidate per cell
        return len(state["head.cls_out.bias"])
    raise WeightsError(
        "the weights are not of a system that cvzoo knows: they have no class scores where it has them; a backbone"
        " alone goes to --backbone-weights"
    )


def class_count(config: ModelConfig) -> int:
    """Classes of the data set that a config tells apart; torchvision's have more outputs than that."""
    class_ids = getattr(config, "class_ids", ())  # in segmentation every output is a class
    return max(class_ids, default=config.num_classes - 1) + 1


def config_for(state: Mapping[str, Tensor], names: Collection[str], model: ModelConfig, source: str) -> ModelConfig:
    """The config for `state` (our keys), in the file under `names`, for a row whose own config is `model`.

    How many blocks, channels and convolutions the network has is the row's to say; what the toolbox computes with them
    is its dialect's; the number of classes, and versions of a system in a toolbox, are seen in the file, as is all of a
    segmentation network but its body. WeightsError when the file is of another system.
    """
    toolbox, classes, systems = recognise(names), outputs(state), systems_of_state(state, names)
    if toolbox == "cvzoo":
        check_system(systems, model, source)
        return replace(model, num_classes=classes)
    dialect = _dialect(state, toolbox, systems, model, source)
    if isinstance(dialect, SegmenterConfig):
        return as_in_file(replace(dialect, backbone=_body(dialect.backbone, model.backbone)), state)
    if toolbox == "torchvision" and "backbone.bn1.num_batches_tracked" in state:
        # norms that count batches were not frozen: a torchvision model that did not start from ImageNet
        dialect = replace(dialect, backbone=replace(dialect.backbone, norm="batch", norm_eps=1e-5))
    if toolbox == "detectron2" and isinstance(model.backbone, ResNetConfig) and model.backbone.groups > 1:
        dialect = dialects.on_resnext(dialect)
    return _sized(_with_classes(dialect, classes, toolbox), model)


def as_row(config: ModelConfig, model: ModelConfig) -> ModelConfig:
    """The config of weights in the class of a row's `model`: TridentNet and Faster R-CNN on C4 share theirs.

    The two train on other numbers of proposals; these stay the row's.
    """
    if type(config) is type(model):
        return config
    assert isinstance(config, OnC4)
    assert isinstance(model, OnC4)
    own = {name: getattr(model.box_head, name) for name in ("samples", "positive_fraction", "append_truth")}
    shared = {name: getattr(config, name) for name in ("num_classes", "class_ids", "backbone", "pixels")}
    rpn = replace(config.rpn, post_nms_train=model.rpn.post_nms_train)
    return replace(model, **shared, rpn=rpn, box_head=replace(config.box_head, **own))


def _dialect(
    state: Mapping[str, Tensor], toolbox: Toolbox, systems: tuple[System, ...], model: ModelConfig, source: str
) -> ModelConfig:
    known = dict(dialects.DIALECTS.get(toolbox, {}))
    known.update(dialects_semantic.DIALECTS[toolbox])
    for key, variants in dialects.VARIANTS.get(toolbox, {}).items():
        if key in state:
            known.update(variants)
    check_system(tuple(system for system in systems if system in known) or systems, model, source)
    system = system_of(model)
    if system not in known:
        raise WeightsError(
            f"{source} holds weights of {toolbox}'s {system}, whose conventions cvzoo does not know; start from the"
            f" backbone alone: --weights None --backbone-weights {source}"
        )
    if toolbox == "detectron2" and isinstance(model, TridentNetConfig):
        return dialects.tridentnet_detectron2()
    return known[system]()


def _with_classes(dialect: DetectorConfig, count: int, toolbox: Toolbox) -> DetectorConfig:
    """`dialect` with `count` outputs; torchvision's 0 is the background, which dense detectors score, too, in vain."""
    if count == dialect.num_classes:
        return dialect
    scores_background = toolbox == "torchvision" and isinstance(dialect, RetinaNetConfig | FCOSConfig)
    return replace(dialect, num_classes=count, class_ids=tuple(range(-1, count - 1)) if scores_background else ())


def _sized(dialect: DetectorConfig, row: ModelConfig) -> DetectorConfig:
    """The dialect as large as the row."""
    sized: dict[str, Any] = {"backbone": _body(dialect.backbone, row.backbone)}
    for name, sizes in SIZES.items():
        part, own = getattr(dialect, name, None), getattr(row, name, None)
        if part is not None and own is not None:
            sized[name] = replace(part, **{size: getattr(own, size) for size in sizes})
    sized |= {name: getattr(row, name) for name in ROWS_OWN if hasattr(row, name)}
    return replace(dialect, **sized)


def _body(dialect: ResNetConfig | TimmConfig, row: ResNetConfig | TimmConfig) -> ResNetConfig | TimmConfig:
    """The row's backbone with the dialect's conventions."""
    if isinstance(row, TimmConfig) or isinstance(dialect, TimmConfig):
        return row
    fits = len(dialect.multi_grid) == BLOCKS[row.depth][-1]  # else the file is of another depth, as its keys will tell
    conventions = {name: getattr(dialect, name) for name in BODY_CONVENTIONS}
    return replace(row, **conventions, multi_grid=dialect.multi_grid if fits else ())
