"""Whose weights DeepLab v3+ loads, and v3.

Sources: mmsegmentation 1.2.2 `configs/_base_/models/deeplabv3{,plus}_r50-d8.py`; detectron2 0.6
`projects/DeepLab/configs/Cityscapes-SemanticSegmentation/deeplab_v3{,_plus}_R_103_os16_mg124_poly_90k_bs16.yaml`;
torchvision 0.29 `models/segmentation/deeplabv3.py` and its `references/segmentation/train.py`.
"""

from __future__ import annotations

from dataclasses import replace

from cvzoo.parts.semantic.fitted import fitted_segmenter
from cvzoo.parts.semantic.head import DILATED, AuxiliaryConfig
from cvzoo.parts.semantic.logits import PixelLossConfig
from cvzoo.weights.keys import body, segmenter
from cvzoo.weights.keys.rename import Rules, State, renamed
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig

MMSEGMENTATION = DeepLabV3PlusConfig()
"""`deeplabv3plus_r50-d8_*`: our defaults."""
MMSEGMENTATION_V3 = DeepLabV3PlusConfig(separable=False, low_channels=0, decoder_convs=0)
"""`deeplabv3_r50-d8_*`."""
R103 = replace(DILATED, depth=101, stem_channels=128, output_stride=16, contract_dilation=False, multi_grid=(2, 4, 8))
"""detectron2's ResNet-101 with three convolutions in the stem."""
DETECTRON2 = DeepLabV3PlusConfig(
    backbone=R103,
    channels=256,
    dilations=(6, 12, 18),
    separable=False,
    fuse_kernel=1,
    pool_norm=False,
    pool_window=(512 // R103.output_stride, 1024 // R103.output_stride),
    aspp_dropout=0.1,
    low_first=True,
    dropout=0.0,
    aux=None,
    loss=PixelLossConfig(hardest=0.2),
)
"""`deeplab_v3_plus_R_103_os16_mg124_poly_90k_bs16`, trained on crops of 512x1024 pixels."""
DETECTRON2_V3 = replace(DETECTRON2, low_channels=0, low_first=False, decoder_convs=0)
"""`deeplab_v3_R_103_os16_mg124_poly_90k_bs16`."""
TORCHVISION_V3 = DeepLabV3PlusConfig(
    num_classes=21,
    backbone=replace(DILATED, deep_stem=False),
    channels=256,
    separable=False,
    fuse_kernel=1,
    aspp_dropout=0.5,
    low_channels=0,
    decoder_convs=1,
    dropout=0.0,
    aux=AuxiliaryConfig(loss_weight=0.5),
    loss=PixelLossConfig(count_ignored=False),
)
"""`deeplabv3_resnet50`: the 21 classes of PASCAL VOC."""

MOST_DILATIONS = 8
"""Of mmsegmentation's heads, whose number is free."""
MMSEGMENTATION_HEAD: Rules = (
    (r"\.aspp_modules\.0\.", ".aspp.point."),
    *((rf"\.aspp_modules\.{i + 1}\.", f".aspp.atrous.{i}.") for i in range(MOST_DILATIONS)),
    (r"\.image_pool\.1\.", ".aspp.pooled."),
    (r"\.bottleneck\.", ".aspp.fuse."),
    (r"\.c1_bottleneck\.", ".low."),
    (r"\.sep_bottleneck\.", ".decoder."),
    (r"\.depthwise_conv\.", ".0."),
    (r"\.pointwise_conv\.", ".1."),
)
DETECTRON2_HEAD: Rules = (
    (r"^sem_seg_head\.(?:decoder\.res5\.project_conv|aspp)\.", "head.aspp."),
    (r"^head\.aspp\.convs\.0\.", "head.aspp.point."),
    *((rf"^head\.aspp\.convs\.{i + 1}\.", f"head.aspp.atrous.{i}.") for i in range(3)),
    (r"^head\.aspp\.convs\.4\.1\.", "head.aspp.pooled."),
    (r"^head\.aspp\.project\.", "head.aspp.fuse."),
    (r"^sem_seg_head\.decoder\.res2\.project_conv\.", "head.low."),
    (r"^sem_seg_head\.decoder\.res2\.fuse_conv\.(?=\d)", "head.decoder."),
    (r"^sem_seg_head\.decoder\.res2\.fuse_conv\.", "head.decoder.0."),
    (r"\.depthwise\.", ".0."),
    (r"\.pointwise\.", ".1."),
    (r"^sem_seg_head\.predictor\.", "head.classifier.conv."),
    (r"^(head\.(?:aspp|low|decoder)\b.*)(?<!norm)\.(weight|bias)$", r"\1.conv.\2"),
)
TORCHVISION_HEAD: Rules = (
    (r"^classifier\.0\.convs\.0\.", "head.aspp.point."),
    *((rf"^classifier\.0\.convs\.{i + 1}\.", f"head.aspp.atrous.{i}.") for i in range(3)),
    (r"^classifier\.0\.convs\.4\.1\.", "head.aspp.pooled.0."),  # after the pooling, which is 0
    (r"^classifier\.0\.convs\.4\.2\.", "head.aspp.pooled.1."),
    (r"^classifier\.0\.project\.", "head.aspp.fuse."),
    *((rf"^(head\.aspp\..*)\.{i}\.(?=[a-z_]+$)", rf"\1.{part}.") for i, part in enumerate(("conv", "norm"))),
    (r"^classifier\.1\.", "head.decoder.0.conv."),
    (r"^classifier\.2\.", "head.decoder.0.norm."),
    (r"^classifier\.4\.", "head.classifier.conv."),
)


def from_mmsegmentation(state: State) -> State:
    """The pooling branch comes first among what is fused there, last here."""
    ours = segmenter.from_mmsegmentation(state, MMSEGMENTATION_HEAD)
    fuse = "head.aspp.fuse.conv.weight"
    ours[fuse] = ours[fuse].roll(-len(ours["head.aspp.pooled.conv.weight"]), dims=1)
    return ours


def from_detectron2(state: State) -> State:
    return body.with_detectron2_body(state, DETECTRON2_HEAD)


def from_torchvision(state: State) -> State:
    return renamed(state, (*segmenter.TORCHVISION_AUXILIARY, *TORCHVISION_HEAD))


def in_file(convention: DeepLabV3PlusConfig, state: State, row: DeepLabV3PlusConfig) -> DeepLabV3PlusConfig:
    """v3 is v3+ without low-level features."""
    low = state.get("head.low.conv.weight")
    aspp_channels = len(state["head.aspp.fuse.conv.weight"])
    decoder = state.get("head.decoder.0.0.conv.weight", state.get("head.decoder.0.conv.weight"))
    return fitted_segmenter(
        convention,
        state,
        row,
        aspp_channels=None if aspp_channels == state["head.classifier.conv.weight"].shape[1] else aspp_channels,
        separable="head.aspp.atrous.0.0.conv.weight" in state,
        fuse_kernel=state["head.aspp.fuse.conv.weight"].shape[2],
        pool_norm="head.aspp.pooled.norm.weight" in state,
        low_channels=0 if low is None else len(low),
        decoder_convs=segmenter.members(state, "head.decoder."),
        decoder_kernel=convention.decoder_kernel if decoder is None else decoder.shape[2],
    )


def mmsegmentation(state: State, row: DeepLabV3PlusConfig) -> DeepLabV3PlusConfig:
    return in_file(MMSEGMENTATION if row.low_channels else MMSEGMENTATION_V3, state, row)


def detectron2(state: State, row: DeepLabV3PlusConfig) -> DeepLabV3PlusConfig:
    return in_file(DETECTRON2 if row.low_channels else DETECTRON2_V3, state, row)


def torchvision(state: State, row: DeepLabV3PlusConfig) -> DeepLabV3PlusConfig:
    return in_file(TORCHVISION_V3, state, row)


def is_plus(row: DeepLabV3PlusConfig) -> bool:
    return row.low_channels > 0


def is_v3(row: DeepLabV3PlusConfig) -> bool:
    return row.low_channels == 0


PLUS, V3 = "DeepLab v3+", "DeepLab v3"
OUR_HEAD, OUR_LOW = r"^head\.aspp\.", r"^head\.low\."
MMSEGMENTATION_HEAD_MARK, MMSEGMENTATION_LOW = r"^decode_head\.aspp_modules\.", r"^decode_head\.c1_bottleneck\."
DETECTRON2_LOW = r"^sem_seg_head\.decoder\.res2\."
SOURCES = (
    own(PLUS, Marker(has=(segmenter.OURS, OUR_HEAD, OUR_LOW)), is_plus),
    own(V3, Marker(has=(segmenter.OURS, OUR_HEAD), lacks=(OUR_LOW,)), is_v3),
    Source(
        name="torchvision",
        what=V3,
        marker=Marker(has=(segmenter.TORCHVISION_BODY, r"^classifier\.0\.convs\.", r"^classifier\.2\.running_mean$")),
        translate=from_torchvision,
        config=torchvision,
        fits=is_v3,
    ),
    Source(
        name="detectron2",
        what=PLUS,
        marker=Marker(has=(r"^sem_seg_head\.decoder\.res5\.project_conv\.", DETECTRON2_LOW)),
        translate=from_detectron2,
        config=detectron2,
        fits=is_plus,
    ),
    Source(
        name="detectron2",
        what=V3,
        marker=Marker(has=(r"^sem_seg_head\.aspp\.",)),
        translate=from_detectron2,
        config=detectron2,
        fits=is_v3,
    ),
    Source(
        name="mmsegmentation",
        what=PLUS,
        marker=Marker(has=(MMSEGMENTATION_HEAD_MARK, MMSEGMENTATION_LOW)),
        translate=from_mmsegmentation,
        config=mmsegmentation,
        fits=is_plus,
        types=("DepthwiseSeparableASPPHead",),
    ),
    Source(
        name="mmsegmentation",
        what=V3,
        marker=Marker(has=(MMSEGMENTATION_HEAD_MARK,), lacks=(MMSEGMENTATION_LOW,)),
        translate=from_mmsegmentation,
        config=mmsegmentation,
        fits=is_v3,
        types=("ASPPHead", "DepthwiseSeparableASPPHead"),
    ),
)
