"""detectron2's DeepLab with every option of its heads: its config is read, its keys load, its outputs are ours."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from parity.options import Options
from torch import Tensor, nn
from zoo.deeplab_detectron2 import HEADS
from zoo.deeplabv3plus import R50, detectron2_config_of

from cvzoo.loading import read_state
from cvzoo.parts.semantic.logits import PixelLossConfig
from cvzoo.recipes import Recipe
from cvzoo.weights.strict import load_state
from cvzoo.zoo import ROWS
from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig

OPTIONS: dict[str, Any] = {
    "MODEL": {
        "META_ARCHITECTURE": "SemanticSegmentor",
        "BACKBONE": {"FREEZE_AT": 0, "NAME": "build_resnet_deeplab_backbone"},
        "PIXEL_MEAN": [123.675, 116.28, 103.53],
        "PIXEL_STD": [58.395, 57.12, 57.375],
        "RESNETS": {
            "DEFORM_MODULATED": False,
            "DEFORM_NUM_GROUPS": 1,
            "DEFORM_ON_PER_STAGE": [False, False, False, False],
            "DEPTH": 50,
            "NORM": "BN",
            "NUM_GROUPS": 1,
            "OUT_FEATURES": ["res2", "res5"],
            "RES2_OUT_CHANNELS": 8,
            "RES4_DILATION": 1,
            "RES5_DILATION": 2,
            "RES5_MULTI_GRID": [1, 2, 4],
            "STEM_OUT_CHANNELS": 8,
            "STEM_TYPE": "deeplab",
            "STRIDE_IN_1X1": False,
            "WIDTH_PER_GROUP": 4,
        },
        "SEM_SEG_HEAD": {
            "ASPP_CHANNELS": 32,
            "ASPP_DILATIONS": [6, 12, 18],
            "ASPP_DROPOUT": 0.0,
            "COMMON_STRIDE": 4,
            "CONVS_DIM": 32,
            "IGNORE_VALUE": 255,
            "IN_FEATURES": ["res2", "res5"],
            "LOSS_TYPE": "hard_pixel_mining",
            "LOSS_WEIGHT": 1.0,
            "NAME": "DeepLabV3PlusHead",
            "NORM": "BN",
            "NUM_CLASSES": 7,
            "PROJECT_CHANNELS": [6],
            "PROJECT_FEATURES": ["res2"],
            "USE_DEPTHWISE_SEPARABLE_CONV": False,
        },
    },
    "INPUT.CROP": {"ENABLED": True, "TYPE": "absolute", "SIZE": [64, 128], "SINGLE_CATEGORY_MAX_AREA": 1.0},
    "INPUT.FORMAT": "RGB",
    "TEST.DETECTIONS_PER_IMAGE": 100,
}
SEPARABLE = {"SEM_SEG_HEAD": {"USE_DEPTHWISE_SEPARABLE_CONV": True}}
V3 = {"SEM_SEG_HEAD": {"NAME": "DeepLabV3Head", "IN_FEATURES": ["res5"], "COMMON_STRIDE": 16}}
GROUPS = {"SEM_SEG_HEAD": {"NORM": "GN", "PROJECT_CHANNELS": [32], "ASPP_CHANNELS": 64}}
"""Three channels of low-level and of ASPP's features make a group: their order matters to the norm, too."""
CHANGES: dict[str, list[dict[str, Any]]] = {
    "plain": [],
    "separable": [SEPARABLE],
    "v3": [V3],
    "separable v3": [V3, SEPARABLE],
    "group norms": [GROUPS],
    "separable, group norms": [GROUPS, SEPARABLE],
    "separable v3, group norms": [V3, SEPARABLE, {"SEM_SEG_HEAD": {"NORM": "GN"}}],
    "other widths": [{"SEM_SEG_HEAD": {"CONVS_DIM": 24, "PROJECT_CHANNELS": [10], "ASPP_CHANNELS": 12}}],
    "separable, other widths": [
        SEPARABLE,
        {"SEM_SEG_HEAD": {"CONVS_DIM": 24, "PROJECT_CHANNELS": [10], "NORM": "SyncBN", "NUM_CLASSES": 3}},
    ],
    "separable, other dilations": [SEPARABLE, {"SEM_SEG_HEAD": {"ASPP_DILATIONS": [2, 3, 5]}}],
    "separable, stride 8": [SEPARABLE, {"RESNETS": {"RES4_DILATION": 2, "RES5_DILATION": 4}}],
    "v3, stride 8": [V3, {"RESNETS": {"RES4_DILATION": 2, "RES5_DILATION": 4}, "SEM_SEG_HEAD": {"COMMON_STRIDE": 8}}],
    "separable, stride 32": [SEPARABLE, {"RESNETS": {"RES5_DILATION": 1, "RES5_MULTI_GRID": [1, 1, 1]}}],
    "separable, plain stem": [SEPARABLE, {"RESNETS": {"STEM_TYPE": "basic"}}],
    "separable, whole images": [SEPARABLE, {"CROP": {"ENABLED": False}}],
}
SIZE = (128, 256)


def options_of(name: str) -> dict[str, Any]:
    options = deepcopy(OPTIONS)
    for change in CHANGES[name]:
        for part, values in change.items():
            (options["INPUT.CROP"] if part == "CROP" else options["MODEL"][part]).update(values)
    return options


def config_of(name: str) -> DeepLabV3PlusConfig:
    """As the tests read it, and to the last option."""
    options = Options(options_of(name))
    config = detectron2_config_of({"options": options})
    assert not options.unread()
    return config


def reference(name: str, config: DeepLabV3PlusConfig) -> nn.Module:
    """Its head; norms scale, shift and have seen images."""
    options, channels = options_of(name), config.backbone.channels  # type: ignore[union-attr]
    head, crop = options["MODEL"]["SEM_SEG_HEAD"], options["INPUT.CROP"]
    stride = config.backbone.output_stride
    window = tuple(side // stride for side in crop["SIZE"]) if crop["ENABLED"] else None
    model = HEADS[head["NAME"]]({"res2": channels[0], "res5": channels[3]}, head, window).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return model


def under_their_keys(head: nn.Module) -> dict[str, Tensor]:
    return {f"sem_seg_head.{key}": tensor for key, tensor in head.state_dict().items()}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_outputs_are_equal(name: str, training: bool) -> None:
    """Those of the head on the body's features, whose keys the golden case has; in training the statistics, too."""
    config = config_of(name)
    model, theirs = config.build().double(), reference(name, config)
    state, _ = read_state(under_their_keys(theirs), Recipe(row="a row of none", model=config), name)
    body = {f"backbone.{key}": tensor for key, tensor in model.backbone.state_dict().items()}
    load_state(model, body | {key: tensor.clone() for key, tensor in state.items()}, name)
    with torch.no_grad():
        c2, c3, c4, c5 = model.eval().backbone(torch.randn(2, 3, *SIZE, dtype=torch.float64))
        expected = theirs.train(training)(c2, c5)
        found = model.head.train(training)([c2, c3, c4, c5])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    after, _ = read_state(under_their_keys(theirs), Recipe(row="a row of none", model=config), name)
    ours = model.state_dict()
    for key, tensor in after.items():
        torch.testing.assert_close(ours[key], tensor, rtol=1e-9, atol=1e-9, msg=key)


@pytest.mark.parametrize("name", CHANGES)
def test_files_tell_how_the_heads_are_made(name: str) -> None:
    """All but dilations, the window and the loss, which no key tells and the row has as published."""
    config = config_of(name)
    row = ROWS[R50].recipe()
    options = replace(row.model, backbone=config.backbone, low_channels=config.low_channels)
    state = under_their_keys(reference(name, config))
    state |= {"backbone.stem.conv1.norm.running_mean": torch.zeros(1)}
    if config.backbone.deep_stem:  # type: ignore[union-attr]
        state |= {"backbone.stem.conv2.weight": torch.zeros(1), "backbone.stem.conv3.weight": torch.zeros(8, 4, 3, 3)}
    _, found = read_state(state, replace(row, model=options), name)
    told = ("num_classes", "channels", "aspp_channels", "separable", "fuse_kernel", "pool_norm", "low_channels")
    told += ("low_first", "decoder_convs", "norm", "norm_groups", "aux", "dropout", "align_corners", "pixels")
    assert {key: getattr(found, key) for key in told} == {key: getattr(config, key) for key in told}
    if config.decoder_convs:
        assert found.decoder_kernel == config.decoder_kernel


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("hard_pixel_mining", PixelLossConfig(hardest=0.2)),
        ("cross_entropy", PixelLossConfig(count_ignored=False)),
    ],
)
def test_losses(monkeypatch: pytest.MonkeyPatch, kind: str, expected: PixelLossConfig) -> None:
    monkeypatch.setitem(OPTIONS["MODEL"]["SEM_SEG_HEAD"], "LOSS_TYPE", kind)
    assert config_of("plain").loss == expected


def test_all_blocks_of_a_dilated_stage_are_dilated_alike() -> None:
    body: Any = config_of("separable, stride 8").build().backbone
    assert {block.conv2.dilation for block in body.layer3} == {(2, 2)}
    assert [block.conv2.dilation for block in body.layer4] == [(4, 4), (8, 8), (16, 16)]
    assert body.layer3[0].conv2.stride == (1, 1)
