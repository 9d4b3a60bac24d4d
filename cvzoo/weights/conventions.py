"""What toolboxes mean by the same network: their bodies, pixels and class numbers; and how a row's sizes enter.

Sources: torchvision 0.29 `models/`; detectron2 0.6 `configs/`; mmdetection 3 `configs/_base_/models/`; mmsegmentation
1.2.2 `configs/_base_/models/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from cvzoo.data.class_names import COCO_IDS
from cvzoo.nn.bodies import BodyConfig
from cvzoo.nn.pixels import CAFFE
from cvzoo.nn.resnet import BLOCKS, ResNetConfig
from cvzoo.weights.class_count import with_classes_of

LAST_COCO_ID = COCO_IDS[-1]

TORCHVISION_BODY = ResNetConfig(norm_eps=0.0)
"""torchvision sets eps to 0 when it loads COCO_V1 weights: they were trained when its frozen norm ignored eps."""
CAFFE_BODY = ResNetConfig(stride_in_1x1=True)
"""The MSRA ResNets detectron2 starts from."""
CAFFE_C4 = replace(CAFFE, divisor=1)
"""Their pixels where no pyramid asks for padding."""
MMDETECTION_BODY = ResNetConfig(norm="affine")

BODY_CONVENTIONS = ("stride_in_1x1", "norm", "norm_eps", "frozen_stages", "output_stride", "contract_dilation")
"""Of a backbone these options are the toolbox's, all others, which say how large it is, the row's."""
SIZES = {
    "fpn": ("channels", "norm_groups"),
    "box_head": ("fc_channels", "conv_norm_groups"),
    "mask_head": ("convs", "channels", "conv_norm_groups"),
}
"""Of each part of a model the options that say how large it is: these are the row's, all others the toolbox's."""


def coco_classes(first_output: int) -> tuple[int, ...]:
    """`class_ids` of a network with one output per COCO category id, from `first_output` to 90."""
    return tuple(COCO_IDS.index(i) if i in COCO_IDS else -1 for i in range(first_output, LAST_COCO_ID + 1))


def torchvision_body(state: Mapping[str, Tensor], published: ResNetConfig) -> ResNetConfig:
    """Norms that count batches were not frozen: a torchvision model that did not start from ImageNet."""
    trained = "backbone.bn1.num_batches_tracked" in state
    return replace(published, norm="batch", norm_eps=1e-5) if trained else published


def on_resnext(convention: Any, row: Any) -> Any:
    """detectron2's convention for a row with a ResNeXt body: that is Caffe2's `X_101_32x8d`, not the MSRA's."""
    if not isinstance(row.backbone, ResNetConfig) or row.backbone.groups == 1:
        return convention
    pixels = replace(convention.pixels, std=(57.375, 57.12, 58.395))
    return replace(convention, backbone=replace(convention.backbone, stride_in_1x1=False), pixels=pixels)


def fitted(convention: Any, state: Mapping[str, Tensor], row: Any, own: tuple[str, ...] = ()) -> Any:
    """The toolbox's convention for a detector, as large as the row's and with as many outputs as the state has.

    `own` names further options that are the row's, since no file tells them.
    """
    fitting: dict[str, Any] = {"backbone": fitted_body(convention.backbone, row.backbone)}
    if hasattr(row, "tower_norm_groups"):
        fitting["tower_norm_groups"] = row.tower_norm_groups
    for name, sizes in SIZES.items():
        part, of_row = getattr(convention, name, None), getattr(row, name, None)
        if part is not None and of_row is not None:
            fitting[name] = replace(part, **{size: getattr(of_row, size) for size in sizes})
    return with_classes_of(state, replace(convention, **fitting, **{name: getattr(row, name) for name in own}))


def counting_from_one(config: Any) -> Any:
    """torchvision's output 0 is the background, which its dense detectors score, too, in vain."""
    if config.class_ids:
        return config
    return replace(config, class_ids=tuple(range(-1, config.num_classes - 1)))


def fitted_body(convention: BodyConfig, row: BodyConfig) -> BodyConfig:
    """The row's backbone with the toolbox's conventions."""
    if not isinstance(row, ResNetConfig) or not isinstance(convention, ResNetConfig):
        return row
    # else the file is of another depth, as its keys will tell
    fits = len(convention.multi_grid) == BLOCKS[row.depth][-1]
    conventions = {name: getattr(convention, name) for name in BODY_CONVENTIONS}
    return replace(row, **conventions, multi_grid=convention.multi_grid if fits else ())
