"""Configs of mmsegmentation with other values than the golden cases have: each reaches its field, or is refused."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from parity.options import Options
from zoo.deeplabv3plus import config_of as deeplab_of
from zoo.fcn import config_of as fcn_of
from zoo.gcnet import config_of as gcnet_of
from zoo.pspnet import config_of as pspnet_of

from cvzoo.nn.pixels import Pixels

NORM = {"type": "SyncBN", "requires_grad": True}
GROUPS = {"type": "GN", "num_groups": 6, "requires_grad": True}
LOSS = {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0}
MODEL: dict[str, Any] = {
    "type": "EncoderDecoder",
    "pretrained": "open-mmlab://resnet50_v1c",
    "train_cfg": {},
    "test_cfg": {},
    "data_preprocessor": {
        "type": "SegDataPreProcessor",
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "bgr_to_rgb": True,
        "pad_val": 0,
        "seg_pad_val": 255,
    },
    "backbone": {
        "type": "ResNetV1c",
        "depth": 50,
        "num_stages": 4,
        "out_indices": [0, 1, 2, 3],
        "strides": [1, 2, 1, 1],
        "dilations": [1, 1, 2, 4],
        "norm_cfg": NORM,
        "norm_eval": False,
        "style": "pytorch",
        "contract_dilation": True,
    },
    "decode_head": {
        "in_channels": 2048,
        "in_index": 3,
        "channels": 48,
        "dropout_ratio": 0.2,
        "num_classes": 7,
        "norm_cfg": NORM,
        "align_corners": False,
        "loss_decode": LOSS,
    },
    "auxiliary_head": {
        "type": "FCNHead",
        "in_channels": 1024,
        "in_index": 2,
        "channels": 24,
        "num_convs": 1,
        "concat_input": False,
        "dropout_ratio": 0.3,
        "num_classes": 7,
        "norm_cfg": NORM,
        "align_corners": False,
        "loss_decode": LOSS | {"loss_weight": 0.4},
    },
}
SEPARABLE = {"type": "DepthwiseSeparableASPPHead", "dilations": [1, 6, 12]}
HEADS: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "fcn": (fcn_of, {"type": "FCNHead", "num_convs": 3, "concat_input": False}, {"convs": 3, "concat": False}),
    "pspnet": (pspnet_of, {"type": "PSPHead", "pool_scales": [1, 4]}, {"bins": (1, 4)}),
    "gcnet": (
        gcnet_of,
        {"type": "GCHead", "ratio": 0.125, "pooling_type": "att", "fusion_types": ["channel_add"]},
        {"ratio": 0.125},
    ),
    "v3+": (
        deeplab_of,
        SEPARABLE | {"c1_in_channels": 256, "c1_channels": 20},
        {"separable": True, "dilations": (6, 12), "low_channels": 20, "decoder_convs": 2},
    ),
    "separable v3": (
        deeplab_of,
        SEPARABLE | {"c1_in_channels": 0, "c1_channels": 0},
        {"separable": True, "low_channels": 0, "decoder_convs": 2},
    ),
    "v3": (
        deeplab_of,
        {"type": "ASPPHead", "dilations": [1, 12, 24, 36]},
        {"separable": False, "dilations": (12, 24, 36), "low_channels": 0, "decoder_convs": 0},
    ),
}
"""How the config is read, what its head states, and the fields these are."""


def read(head: str, changes: dict[str, Any] | None = None, drop: tuple[str, ...] = ()) -> Any:
    """The config; of the model each option was read but `test_cfg`, which the comparison reads. `changes`: by part."""
    config_of, stated, _ = HEADS[head]
    model = deepcopy(MODEL)
    model["decode_head"] |= stated
    for part, values in (changes or {}).items():
        model[part] |= values
    options = Options({name: value for name, value in model.items() if name not in drop})
    config = config_of({"model": options})
    assert options.unread() == ["test_cfg"]
    return config


def fields(config: Any, names: Any) -> dict[str, Any]:
    return {name: getattr(config, name) for name in names}


@pytest.mark.parametrize("head", HEADS)
def test_heads(head: str) -> None:
    config, expected = read(head), HEADS[head][2]
    assert fields(config, expected) == expected
    common = {"num_classes": 7, "channels": 48, "dropout": 0.2, "norm": "batch", "align_corners": False}
    assert fields(config, common) == common
    assert fields(config.aux, ("channels", "dropout", "loss_weight")) == {
        "channels": 24,
        "dropout": 0.3,
        "loss_weight": 0.4,
    }
    assert config.pixels == Pixels(divisor=1)
    config.build()


@pytest.mark.parametrize("head", HEADS)
def test_group_norms_have_the_groups_that_are_stated(head: str) -> None:
    heads = {"decode_head": {"norm_cfg": GROUPS}, "auxiliary_head": {"norm_cfg": GROUPS}}
    config = read(head, heads | {"backbone": {"norm_cfg": GROUPS | {"num_groups": 2}}})
    assert (config.norm, config.norm_groups) == ("group", 6)
    assert (config.backbone.norm, config.backbone.norm_groups) == ("group", 2)


@pytest.mark.parametrize("head", HEADS)
def test_without_an_auxiliary_head(head: str) -> None:
    assert read(head, drop=("auxiliary_head",)).aux is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"type": "ResNet"}, {"deep_stem": False}),
        ({"type": "ResNet", "deep_stem": True}, {"deep_stem": True}),
        ({"base_channels": 32, "stem_channels": 48}, {"width": 32, "stem_channels": 48}),
        ({"style": "caffe"}, {"stride_in_1x1": True}),
        ({"contract_dilation": False}, {"contract_dilation": False, "output_stride": 8}),
        ({"strides": [1, 2, 2, 1], "dilations": [1, 1, 1, 2]}, {"output_stride": 16, "multi_grid": ()}),
        (
            {"strides": [1, 2, 2, 1], "dilations": [1, 1, 1, 2], "multi_grid": [1, 2, 4]},
            {"output_stride": 16, "multi_grid": (1, 2, 4)},  # as they are, unlike detectron2's
        ),
        ({"strides": [1, 2, 2, 2], "dilations": [1, 1, 1, 1]}, {"output_stride": 32}),
        ({"norm_eval": True}, {"norm": "affine"}),
        ({"norm_eval": True, "norm_cfg": NORM | {"requires_grad": False}}, {"norm": "frozen"}),
    ],
)
def test_bodies(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    scale = changes.get("base_channels", 64) / 64
    inputs = {"decode_head": {"in_channels": int(2048 * scale)}, "auxiliary_head": {"in_channels": int(1024 * scale)}}
    body = read("pspnet", inputs | {"backbone": changes}).backbone
    assert fields(body, expected) == expected
    assert body.frozen_stages == 0


def test_other_conventions() -> None:
    corners, mean = {"align_corners": True}, {"loss_decode": LOSS | {"avg_non_ignore": True}}
    aux = corners | {"loss_decode": LOSS | {"avg_non_ignore": True, "loss_weight": 0.7}}
    pixels = {"bgr_to_rgb": False, "size_divisor": 32}
    config = read("pspnet", {"decode_head": corners | mean, "auxiliary_head": aux, "data_preprocessor": pixels})
    assert config.align_corners
    assert not config.loss.count_ignored
    assert config.aux.loss_weight == 0.7
    assert (config.pixels.bgr, config.pixels.divisor) == (True, 32)


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("backbone", {"avg_down": True}),
        ("backbone", {"frozen_stages": 1}),
        ("backbone", {"norm_cfg": NORM | {"requires_grad": False}}),
        ("backbone", {"norm_cfg": NORM | {"eps": 1e-3}}),
        ("backbone", {"dcn": {"type": "DCN"}}),
        ("decode_head", {"in_channels": 1024}),
        ("decode_head", {"loss_decode": LOSS | {"class_weight": [1.0] * 7}}),
        ("decode_head", {"loss_decode": LOSS | {"loss_weight": 2.0}}),
        ("decode_head", {"sampler": {"type": "OHEMPixelSampler"}}),
        ("auxiliary_head", {"num_convs": 2}),
        ("auxiliary_head", {"norm_cfg": GROUPS}),
        ("auxiliary_head", {"align_corners": True}),
    ],
)
def test_what_our_models_have_not_is_refused(part: str, changes: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        read("pspnet", {part: changes})
