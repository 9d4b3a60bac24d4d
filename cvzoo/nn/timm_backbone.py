"""Any timm network as a backbone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import timm
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

USUAL, ONE_MORE = (1, 2, 3, 4), (2, 3, 4, 5)
"""Which of timm's outputs are of strides 4 to 32: most networks have one before them, DLA two."""


@dataclass(frozen=True, kw_only=True)
class TimmConfig:
    """A timm model that yields features at strides 4, 8, 16 and 32, or less."""

    name: str
    """Name of a model in timm, such as `tf_efficientnet_lite0`."""
    norm: Literal["affine", "batch"] = "affine"
    """Batch norms of the body: with fixed statistics and a trained affine part, or trained altogether."""
    output_stride: Literal[8, 16, 32] = 32
    """Stride of the body's last map: later layers are dilated instead of subsampled, which not all timm models can."""
    frozen_outputs: int = 0
    """The layers that lead up to so many of the body's outputs do not train: 1 holds all up to C2 fixed."""

    def build(self) -> TimmBackbone:
        return TimmBackbone(self)


class TimmBackbone(nn.Module):
    """Images to [C2, C3, C4, C5]."""

    def __init__(self, config: TimmConfig) -> None:
        super().__init__()
        # asked for only where it is needed: most transformers have no such option
        stride: dict[str, Any] = {} if config.output_stride == 32 else {"output_stride": config.output_stride}
        wanted = [min(stride, config.output_stride) for stride in (4, 8, 16, 32)]
        self.body = timm.create_model(config.name, features_only=True, out_indices=USUAL, **stride)
        if self._strides()[0] == wanted[0] // 2:
            self.body = timm.create_model(config.name, features_only=True, out_indices=ONE_MORE, **stride)
        if self._strides() != wanted:
            raise ValueError(
                f"{config.name} yields features at strides {self._strides()}; a backbone must yield {wanted}"
            )
        self.norm = config.norm
        self._freeze(config.frozen_outputs)
        self.channels = tuple(self.body.feature_info.channels())  # type: ignore[operator,union-attr]

    def train(self, mode: bool = True) -> TimmBackbone:
        super().train(mode)
        if self.norm == "affine":
            for module in self.body.modules():
                if isinstance(module, (nn.BatchNorm2d, BatchNormAct2d)):
                    module.eval()
        return self

    def forward(self, images_N3HW: Tensor) -> list[Tensor]:
        return self.body(images_N3HW)

    def _strides(self) -> list[int]:
        return list(self.body.feature_info.reduction())  # type: ignore[operator,union-attr]

    def _freeze(self, outputs: int) -> None:
        """timm registers modules in the order they run, so all up to the last one of an output comes before it."""
        if outputs == 0:
            return
        last = self.body.feature_info.module_name()[outputs - 1]  # type: ignore[operator,union-attr]
        names = [name for name, _ in self.body.named_parameters()]
        end = max(i for i, name in enumerate(names) if name.startswith(f"{last}."))
        for parameter in list(self.body.parameters())[: end + 1]:
            parameter.requires_grad_(False)
