"""What each toolbox means by the same system for semantic segmentation: what of its options no file tells.

Sources: mmsegmentation 1.2.2 `configs/_base_/models/{fcn,pspnet,deeplabv3,deeplabv3plus,gcnet}_r50-d8.py`; detectron2
0.6 `projects/DeepLab/configs/Cityscapes-SemanticSegmentation/deeplab_v3{,_plus}_R_103_os16_mg124_poly_90k_bs16.yaml`;
torchvision 0.29 `models/segmentation/{fcn,deeplabv3}.py` and its `references/segmentation/train.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from cvzoo.models.deeplabv3plus import DeepLabV3PlusConfig
from cvzoo.models.fcn import FCNConfig
from cvzoo.models.gcnet import GCNetConfig
from cvzoo.models.pspnet import PSPNetConfig
from cvzoo.models.semantic.head import DILATED, AuxiliaryConfig
from cvzoo.models.semantic.pixels import PixelLossConfig
from cvzoo.models.treefilter import TreeFilterConfig
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig
from cvzoo.weights.dialects import Dialects
from cvzoo.weights.systems import SegmenterConfig

TORCHVISION_BODY = replace(DILATED, deep_stem=False)
TORCHVISION_AUX = AuxiliaryConfig(loss_weight=0.5)
TORCHVISION_LOSS = PixelLossConfig(count_ignored=False)
R103 = replace(DILATED, depth=101, stem_channels=128, output_stride=16, multi_grid=(2, 4, 8))
"""detectron2's ResNet-101 with three convolutions in the stem."""


def deeplabv3_mmsegmentation() -> DeepLabV3PlusConfig:
    """`deeplabv3_r50-d8_*`."""
    return DeepLabV3PlusConfig(separable=False, low_channels=0, decoder_convs=0)


def deeplabv3plus_detectron2() -> DeepLabV3PlusConfig:
    """`deeplab_v3_plus_R_103_os16_mg124_poly_90k_bs16`, trained on crops of 512x1024 pixels."""
    return DeepLabV3PlusConfig(
        backbone=R103,
        channels=256,
        dilations=(6, 12, 18),
        separable=False,
        fuse_kernel=1,
        pool_norm=False,
        pool_window=(512 // R103.output_stride, 1024 // R103.output_stride),
        aspp_dropout=0.1,
        dropout=0.0,
        aux=None,
        loss=PixelLossConfig(hardest=0.2),
    )


def deeplabv3_detectron2() -> DeepLabV3PlusConfig:
    """`deeplab_v3_R_103_os16_mg124_poly_90k_bs16`."""
    return replace(deeplabv3plus_detectron2(), low_channels=0, decoder_convs=0)


def fcn_torchvision() -> FCNConfig:
    """`fcn_resnet50`: the 21 classes of PASCAL VOC."""
    return FCNConfig(
        num_classes=21,
        backbone=TORCHVISION_BODY,
        convs=1,
        concat=False,
        aux=TORCHVISION_AUX,
        loss=TORCHVISION_LOSS,
    )


def deeplabv3_torchvision() -> DeepLabV3PlusConfig:
    """`deeplabv3_resnet50`: the 21 classes of PASCAL VOC."""
    return DeepLabV3PlusConfig(
        num_classes=21,
        backbone=TORCHVISION_BODY,
        channels=256,
        separable=False,
        fuse_kernel=1,
        aspp_dropout=0.5,
        low_channels=0,
        decoder_convs=1,
        dropout=0.0,
        aux=TORCHVISION_AUX,
        loss=TORCHVISION_LOSS,
    )


DIALECTS: dict[str, Dialects] = {
    "torchvision": {"FCN": fcn_torchvision, "DeepLab v3": deeplabv3_torchvision},
    "detectron2": {"DeepLab v3": deeplabv3_detectron2, "DeepLab v3+": deeplabv3plus_detectron2},
    "mmlab": {  # our defaults are mmsegmentation's
        "FCN": FCNConfig,
        "PSPNet": PSPNetConfig,
        "DeepLab v3": deeplabv3_mmsegmentation,
        "DeepLab v3+": DeepLabV3PlusConfig,
        "GCNet": GCNetConfig,
    },
    "treefilter": {"TreeFilter": TreeFilterConfig},  # so are its authors'
}
"""By toolbox; what is not here, cvzoo knows no conventions of."""


def as_in_file(dialect: SegmenterConfig, state: Mapping[str, Tensor]) -> SegmenterConfig:
    """`dialect` with the sizes and parts of the network that `state` (our keys) is of: stem, heads and their widths."""
    classes, channels = state["head.classifier.conv.weight"].shape[:2]
    seen: dict[str, Any] = {"num_classes": classes, "channels": channels}
    seen |= {"backbone": _body(dialect.backbone, state), "aux": _aux(dialect.aux, state)}
    match dialect:
        case FCNConfig():
            seen |= {"convs": _count(state, "head.convs."), "concat": "head.merge.conv.weight" in state}
        case DeepLabV3PlusConfig():
            seen |= _deeplab(state)
        case GCNetConfig():
            seen["ratio"] = len(state["head.context.transform.0.weight"]) / channels
        case TreeFilterConfig():
            seen["decoder"] = "extra" if "head.start.context.conv.weight" in state else "basic"
            seen["embed_channels"] = len(state["head.finer.0.embed.conv.weight"])
        case PSPNetConfig():
            pass
    return replace(dialect, **seen)


def _body(backbone: ResNetConfig | TimmConfig, state: Mapping[str, Tensor]) -> ResNetConfig | TimmConfig:
    if isinstance(backbone, TimmConfig):
        return backbone
    deep = "backbone.stem.6.weight" in state
    stem = state.get("backbone.stem.6.weight" if deep else "backbone.conv1.weight")
    if stem is not None and len(stem) != (backbone.stem_channels or backbone.width):
        backbone = replace(backbone, stem_channels=len(stem))
    return replace(backbone, deep_stem=deep)


def _aux(aux: AuxiliaryConfig | None, state: Mapping[str, Tensor]) -> AuxiliaryConfig | None:
    """Files for inference alone may lack that head."""
    weight = state.get("aux_head.classifier.conv.weight")
    return None if weight is None else replace(aux or AuxiliaryConfig(), channels=weight.shape[1])


def _deeplab(state: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "separable": "head.aspp.atrous.0.0.conv.weight" in state,
        "fuse_kernel": state["head.aspp.fuse.conv.weight"].shape[2],
        "pool_norm": "head.aspp.pooled.norm.weight" in state,
        "low_channels": len(state["head.low.conv.weight"]) if "head.low.conv.weight" in state else 0,
        "decoder_convs": _count(state, "head.decoder."),
    }


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """Members of the list under `prefix`."""
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})
