"""DeepLab in files of every toolbox: v3+, v3, and what lies between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models import segmentation
from weights.reading import loads, manifest
from zoo.deeplabv3plus import R50, R101, V3, V3_ROW

from cvzoo.nn.bodies import BodyConfig
from cvzoo.parts.semantic.head import DILATED
from cvzoo.weights.errors import WeightsError
from cvzoo.zoo import ROWS
from cvzoo.zoo.deeplabv3plus.model import DeepLabV3PlusConfig
from cvzoo.zoo.deeplabv3plus.weights import DETECTRON2, DETECTRON2_V3, TORCHVISION_V3, from_mmsegmentation

BODY_101 = replace(DILATED, depth=101)
PLAIN_STEM = replace(DILATED, deep_stem=False)
CITYSCAPES = ROWS[R50].recipe().model
NAMES = ("deeplabv3", "deeplabv3plus")
PARAMETERS: dict[str, tuple[DeepLabV3PlusConfig, int]] = {
    "v3+ on R-101": (replace(CITYSCAPES, backbone=BODY_101), 62_582_006),
    "torchvision's v3 on R-50": (TORCHVISION_V3, 42_004_074),
    "torchvision's v3 on R-101": (replace(TORCHVISION_V3, backbone=replace(PLAIN_STEM, depth=101)), 60_996_202),
}
"""Of the network with its auxiliary head (spec segmentation.md, section 1)."""


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_counts(name: str) -> None:
    config, count = PARAMETERS[name]
    with torch.device("meta"):
        model = config.build()
    assert sum(p.numel() for p in model.parameters()) == count
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(("name", "expected"), [("v3_plus", DETECTRON2), ("v3", DETECTRON2_V3)])
def test_files_of_detectron2_get_their_options(golden: Path, name: str, expected: DeepLabV3PlusConfig) -> None:
    state = manifest(golden / "manifests", f"detectron2/deeplab_{name}_R_103_os16_mg124_poly_90k_bs16")
    assert loads(state, R101, low_channels=expected.low_channels) == expected


@pytest.mark.parametrize("depth", [50, 101])
@pytest.mark.parametrize("aux", [True, False])
@pytest.mark.parametrize("classes", [21, 5])
def test_files_of_torchvision_get_their_options(depth: int, aux: bool, classes: int) -> None:
    """In rows with mmsegmentation's deep stem; their auxiliary head may be absent."""
    options = {"weights": None, "weights_backbone": None, "aux_loss": aux, "num_classes": classes}
    with torch.device("meta"):
        theirs = getattr(segmentation, f"deeplabv3_resnet{depth}")(**options).state_dict()
    body = replace(DILATED, depth=depth)
    expected = replace(TORCHVISION_V3, num_classes=classes, backbone=replace(body, deep_stem=False))
    assert loads(theirs, R50, backbone=body, low_channels=0) == (expected if aux else replace(expected, aux=None))


def test_v3_has_a_row_of_its_own(golden: Path) -> None:
    """Also where the row of v3+ is made one of v3 and the file is not."""
    v3, plus = (manifest(golden / "manifests", f"mmlab/{name}_r50-d8_4xb2-40k_cityscapes-512x1024") for name in NAMES)
    with pytest.raises(WeightsError, match=rf"weights of DeepLab v3, the row .* \({V3_ROW}\)"):
        loads(v3, R50)
    with pytest.raises(WeightsError, match=rf"of DeepLab v3\+, as {R50} is, but not with --model\.low-channels;"):
        loads(plus, R50, low_channels=0)


def as_mmsegmentation(config: DeepLabV3PlusConfig) -> dict[str, Tensor]:
    """Keys and shapes of the network in that toolbox, written from its `sep_aspp_head.py` and `aspp_head.py`."""
    c5, c = 512, config.channels
    shapes = conv("image_pool.1", c, c5, 1) | conv("aspp_modules.0", c, c5, 1)
    for i in range(1, len(config.dilations) + 1):
        name = f"aspp_modules.{i}"
        shapes |= separable(name, c, c5) if config.separable else conv(name, c, c5, 3)
    shapes |= conv("bottleneck", c, (len(config.dilations) + 2) * c, 3)
    if config.low_channels:
        shapes |= conv("c1_bottleneck", config.low_channels, 64, 1)
    for i, source in enumerate((c + config.low_channels, c) if config.separable else ()):
        shapes |= separable(f"sep_bottleneck.{i}", c, source)
    shapes |= {"conv_seg.weight": (19, c, 1, 1), "conv_seg.bias": (19,)}
    with torch.device("meta"):
        body = config.backbone.build().state_dict()
    head = {f"decode_head.{key}": torch.empty(shape, device="meta") for key, shape in shapes.items()}
    return {f"backbone.{key}": x for key, x in body.items()} | head


def conv(name: str, channels: int, source: int, kernel: int) -> dict[str, Any]:
    norm = {f"{name}.bn.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {f"{name}.conv.weight": (channels, source, kernel, kernel)} | norm


def separable(name: str, channels: int, source: int) -> dict[str, Any]:
    return conv(f"{name}.depthwise_conv", source, 1, 3) | conv(f"{name}.pointwise_conv", channels, source, 1)


SHORT: dict[str, Any] = {"backbone": replace(DILATED, depth=18), "channels": 24, "aux": None}
VARIANTS: dict[str, dict[str, Any]] = {
    "v3+": {"low_channels": 12},
    "two dilations": {"low_channels": 12, "dilations": (6, 12)},
    "five dilations": {"low_channels": 20, "dilations": (2, 3, 5, 7, 11)},
    "v3": V3,
    "v3, four dilations": V3 | {"dilations": (3, 6, 9, 12)},
    "separable v3": {"low_channels": 0},  # c1_in_channels 0
}


@pytest.mark.parametrize("name", VARIANTS)
def test_files_of_mmsegmentations_other_networks(name: str) -> None:
    """All but the dilations, of which a file has as many as the row."""
    expected = replace(CITYSCAPES, **SHORT, **VARIANTS[name])
    body: BodyConfig = expected.backbone
    decided = {"backbone": body, "low_channels": expected.low_channels}
    state = as_mmsegmentation(expected)
    if len(expected.dilations) == len(CITYSCAPES.dilations):
        assert replace(loads(state, R50, **decided), dilations=expected.dilations) == expected
    ours = from_mmsegmentation(state)
    with torch.device("meta"):
        wanted = {key: x.shape for key, x in expected.build().state_dict().items() if "num_batches" not in key}
    assert {key: x.shape for key, x in ours.items() if "num_batches" not in key} == wanted
