"""Any timm network as a backbone."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Literal

import timm
import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from cvzoo.fields import Natural
from cvzoo.nn.plain_pyramid import PlainPyramid

PLAIN = 16
"""Stride of a plain transformer's only map."""


@dataclass(frozen=True, kw_only=True)
class TimmConfig:
    """A timm model that yields features at strides 4, 8, 16 and 32, or less; or a transformer of stride 16 alone, from
    which the other maps are made."""

    name: str
    """Name of a model in timm, such as `tf_efficientnet_lite0`."""
    norm: Literal["affine", "batch"] = "affine"
    """Batch norms of the body: with fixed statistics and a trained affine part, or trained altogether."""
    output_stride: Literal[8, 16, 32] = 32
    """Stride of the body's last map: later layers are dilated instead of subsampled, which not all timm models can."""
    frozen_outputs: Natural = 0
    """The layers that lead up to so many of the body's outputs do not train: 1 holds all up to C2 fixed, or all of a
    transformer of stride 16."""

    def build(self) -> TimmBackbone:
        return TimmBackbone(self)

    def check(self) -> None:
        """ValueError for a model that does not exist, or has no such maps."""
        _outputs(self)


class TimmBackbone(nn.Module):
    """Images to [C2, C3, C4, C5]."""

    def __init__(self, config: TimmConfig) -> None:
        super().__init__()
        self.body = timm.create_model(config.name, features_only=True, **_outputs(config))
        self.channels_last = _channels_last(self.body)
        self.norm = config.norm
        info: Any = self.body.feature_info
        self.channels: tuple[int, ...] = tuple(info.channels())
        self.pyramid = PlainPyramid(*self.channels) if len(self.channels) == 1 else None
        if self.pyramid is None:
            self._freeze(config.frozen_outputs)
        else:
            self.channels = self.pyramid.channels
            self.body.requires_grad_(config.frozen_outputs == 0)

    def train(self, mode: bool = True) -> TimmBackbone:
        super().train(mode)
        if self.norm == "affine":
            for module in self.body.modules():
                if isinstance(module, (nn.BatchNorm2d, BatchNormAct2d)):
                    module.eval()
        return self

    def forward(self, images_N3HW: Tensor) -> list[Tensor]:
        maps = self.body(images_N3HW)
        if self.pyramid is not None:
            return self.pyramid(maps[0])
        return [x.permute(0, 3, 1, 2).contiguous() for x in maps] if self.channels_last else maps

    def _freeze(self, outputs: int) -> None:
        """timm registers modules in the order they run, so all up to the last one of an output comes before it."""
        if outputs == 0:
            return
        last = self.body.feature_info.module_name()[outputs - 1]  # type: ignore[operator,union-attr]
        names = [name for name, _ in self.body.named_parameters()]
        # where timm runs the layers one by one it has put them in a flat list
        end = max(i for i, name in enumerate(names) if name.startswith((f"{last}.", f"{last.replace('.', '_')}.")))
        for parameter in list(self.body.parameters())[: end + 1]:
            parameter.requires_grad_(False)


def _outputs(config: TimmConfig) -> dict[str, Any]:
    """How to ask timm for the outputs of the wanted strides, the last one of each; see `TimmConfig.check`."""
    name, wanted = config.name, [min(stride, config.output_stride) for stride in (4, 8, 16, 32)]
    # asked for only where it is needed: most transformers have no such option
    options: dict[str, Any] = {} if config.output_stride == 32 else {"output_stride": config.output_stride}
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise ValueError(f"timm has no model {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else ""))
    probe = _probe(name, options)
    info: Any = probe.feature_info
    strides, numbers = list(info.reduction()), list(info.out_indices)
    if set(strides) == {PLAIN} and wanted == [4, 8, 16, 32]:
        plain = {"out_indices": numbers[-1:], "dynamic_img_size": True}
        _probe(name, plain)
        return plain
    if any(stride not in strides for stride in wanted):
        needed = ", ".join(str(stride) for stride in sorted(set(wanted)))
        raise ValueError(f"timm's {name} yields features at strides {strides}; a backbone must yield {needed}")
    first = len(strides) - 1 - strides[::-1].index(wanted[0])
    of_stride = dict(zip(strides, numbers))
    indices = [of_stride[stride] for stride in wanted]
    if len(set(wanted)) < len(wanted):  # dilated: the last maps share a stride
        indices = numbers[first : first + len(wanted)]
    # a transformer with windows of one size takes images of another one if it is told to
    windows = {"strict_img_size": False} if _channels_last(probe) else {}
    return {"out_indices": indices, **options, **windows}


def _probe(name: str, options: dict[str, Any]) -> nn.Module:
    """The body without its weights. ValueError where timm has none with these options."""
    try:
        with torch.device("meta"):
            return timm.create_model(name, features_only=True, **options)
    except (RuntimeError, TypeError, AssertionError, AttributeError) as error:
        raise ValueError(
            f"timm's {name} yields no feature maps of images of any size ({error}); choose a convolutional network"
        ) from error


def _channels_last(body: nn.Module) -> bool:
    return str(getattr(body, "output_fmt", "NCHW")).endswith("NHWC")
