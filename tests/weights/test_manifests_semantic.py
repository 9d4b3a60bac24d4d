"""Published weights for semantic segmentation, and for Mask R-CNN with context blocks: all keys and shapes fit."""

import json
from dataclasses import replace

import pytest
import torch
from cvzoo.weights.load import load_state, to_ours
from torchvision.models import segmentation

from cvzoo.nn.resnet import ResNetConfig
from cvzoo.parts.semantic.head import DILATED, AuxiliaryConfig
from cvzoo.weights import dialects
from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig
from cvzoo.zoo.fcn.model import FCNConfig
from cvzoo.zoo.gcnet.model import GCNetConfig
from cvzoo.zoo.pspnet.model import PSPNetConfig

R101 = replace(DILATED, depth=101)
NARROW = {"backbone": replace(DILATED, depth=18), "channels": 128, "aux": AuxiliaryConfig(channels=64)}
SYSTEMS = {
    "fcn": FCNConfig(),
    "pspnet": PSPNetConfig(),
    "gcnet": GCNetConfig(),
    "deeplabv3plus": DeepLabV3PlusConfig(),
    "deeplabv3": DeepLabV3PlusConfig(separable=False, low_channels=0, decoder_convs=0),
}
"""mmsegmentation's, on ResNet-50."""
CLASSES = {"cityscapes": 19, "voc12aug": 21, "ade20k": 150}
SEGMENTATION = (
    "fcn_r50-d8_4xb2-40k_cityscapes-512x1024",
    "pspnet_r18-d8_4xb2-80k_cityscapes-512x1024",
    "pspnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "pspnet_r50-d8_4xb2-80k_cityscapes-769x769",
    "pspnet_r50-d8_4xb4-20k_voc12aug-512x512",
    "pspnet_r50-d8_4xb4-80k_ade20k-512x512",
    "pspnet_r101-d8_4xb2-80k_cityscapes-512x1024",
    "deeplabv3_r50-d8_4xb2-40k_cityscapes-512x1024",
    "deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024",
    "deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024",
    "deeplabv3plus_r50-d8_4xb2-80k_cityscapes-769x769",
    "deeplabv3plus_r50-d8_4xb4-20k_voc12aug-512x512",
    "deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512",
    "deeplabv3plus_r101-d8_4xb2-80k_cityscapes-512x1024",
    "gcnet_r50-d8_4xb2-40k_cityscapes-512x1024",
    "gcnet_r50-d8_4xb4-20k_voc12aug-512x512",
    "gcnet_r50-d8_4xb4-80k_ade20k-512x512",
    "gcnet_r101-d8_4xb2-80k_cityscapes-512x1024",
)
CONTEXT = {
    "mask-rcnn_r50-gcb-r16-c3-c5_fpn_1x_coco": (50, "affine", 1 / 16),
    "mask-rcnn_r50-gcb-r4-c3-c5_fpn_1x_coco": (50, "affine", 1 / 4),
    "mask-rcnn_r50-syncbn-gcb-r16-c3-c5_fpn_1x_coco": (50, "batch", 1 / 16),
    "mask-rcnn_r50-syncbn-gcb-r4-c3-c5_fpn_1x_coco": (50, "batch", 1 / 4),
    "mask-rcnn_r101-gcb-r16-c3-c5_fpn_1x_coco": (101, "affine", 1 / 16),
    "mask-rcnn_r101-gcb-r4-c3-c5_fpn_1x_coco": (101, "affine", 1 / 4),
}
"""Depth, norm and ratio of each body."""
R103 = replace(DILATED, depth=101, stem_channels=128, output_stride=16, multi_grid=(2, 4, 8))
DETECTRON2 = DeepLabV3PlusConfig(
    backbone=R103,
    channels=256,
    dilations=(6, 12, 18),
    separable=False,
    fuse_kernel=1,
    pool_norm=False,
    aux=None,
)
DEEPLAB = {
    "deeplab_v3_plus_R_103_os16_mg124_poly_90k_bs16": DETECTRON2,
    "deeplab_v3_R_103_os16_mg124_poly_90k_bs16": replace(DETECTRON2, low_channels=0, decoder_convs=0),
}
PLAIN = replace(DILATED, deep_stem=False)
TORCHVISION_FCN = FCNConfig(num_classes=21, backbone=PLAIN, convs=1, concat=False)
TORCHVISION_DEEPLAB = DeepLabV3PlusConfig(
    num_classes=21, backbone=PLAIN, channels=256, separable=False, fuse_kernel=1, low_channels=0, decoder_convs=1
)
PLAIN_101 = replace(PLAIN, depth=101)
TORCHVISION = {
    "fcn_resnet50": TORCHVISION_FCN,
    "fcn_resnet101": replace(TORCHVISION_FCN, backbone=PLAIN_101),
    "deeplabv3_resnet50": TORCHVISION_DEEPLAB,
    "deeplabv3_resnet101": replace(TORCHVISION_DEEPLAB, backbone=PLAIN_101),
}
PARAMETERS = {
    "pspnet_r50": (SYSTEMS["pspnet"], 48_975_494),
    "pspnet_r101": (replace(SYSTEMS["pspnet"], backbone=R101), 67_967_622),
    "deeplabv3plus_r50": (SYSTEMS["deeplabv3plus"], 43_589_878),
    "deeplabv3plus_r101": (replace(SYSTEMS["deeplabv3plus"], backbone=R101), 62_582_006),
    "gcnet_r50": (SYSTEMS["gcnet"], 49_630_215),
    "deeplabv3_resnet50": (TORCHVISION["deeplabv3_resnet50"], 42_004_074),
    "deeplabv3_resnet101": (TORCHVISION["deeplabv3_resnet101"], 60_996_202),
}
"""Of the network with its auxiliary head (spec segmentation.md, section 1)."""


def manifest(golden, name):
    shapes = json.loads((golden / "manifests" / f"{name}.json").read_text())
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def loads(config, state):
    """The state fills the config's model, strictly."""
    with torch.device("meta"):
        load_state(config.build(), to_ours(state), "the file")


def config_of(name):
    """From the parts of the reference's name."""
    system, body, _, data_set = name.split("_")
    config = replace(SYSTEMS[system], num_classes=CLASSES[data_set.split("-")[0]])
    if body == "r18-d8":
        return replace(config, **NARROW, **({"low_channels": 12} if system == "deeplabv3plus" else {}))
    return replace(config, backbone=R101) if body == "r101-d8" else config


@pytest.mark.parametrize("name", SEGMENTATION)
def test_mmsegmentation(golden, name):
    loads(config_of(name), manifest(golden, f"mmlab/{name}"))


@pytest.mark.parametrize("name", CONTEXT)
def test_mask_rcnn_with_context_blocks(golden, name):
    depth, norm, ratio = CONTEXT[name]
    body = ResNetConfig(depth=depth, norm=norm, context_ratio=ratio)
    loads(replace(dialects.mask_rcnn_mmdetection(), backbone=body), manifest(golden, f"mmlab/{name}"))


@pytest.mark.parametrize("name", DEEPLAB)
def test_detectron2(golden, name):
    loads(DEEPLAB[name], manifest(golden, f"detectron2/{name}"))


def test_every_manifest_of_these_systems_is_tested(golden):
    folder = golden / "manifests"
    systems = ("fcn_*", "pspnet_*", "deeplabv3_*", "deeplabv3plus_*", "gcnet_*", "mask-rcnn_*gcb*")
    mmlab = {path.stem for pattern in systems for path in (folder / "mmlab").glob(f"{pattern}.json")}
    assert mmlab == {*SEGMENTATION, *CONTEXT}
    assert {path.stem for path in (folder / "detectron2").glob("deeplab_v3_*.json")} == set(DEEPLAB)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision(name):
    with torch.device("meta"):
        theirs = getattr(segmentation, name)(weights=None, weights_backbone=None, aux_loss=True)
    loads(TORCHVISION[name], theirs.state_dict())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts(name):
    config, count = PARAMETERS[name]
    with torch.device("meta"):
        model = config.build()
    assert sum(p.numel() for p in model.parameters()) == count
    assert all(p.requires_grad for p in model.parameters())
