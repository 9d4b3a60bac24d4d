"""The convolution blocks all heads and necks are made of, and their norms."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cvzoo.nn.deform import DeformConv
from cvzoo.ops.distributed import all_reduce_sum, processes
from cvzoo.ops.kernels import triton_kernels

Norm = Literal["frozen", "affine", "batch", "group"]
"""`frozen`: batch norm, fixed. `affine`: its statistics fixed, its affine part trained. `batch`: both trained, with
the statistics of the whole batch, over all processes (SyncBN).
`group`: group norm."""


SMALLEST_EPS = 1e-30
"""torch 2.11 refuses 0; added to a variance in fp32 this is nothing."""


class FixedBatchNorm2d(nn.Module):
    """Batch norm with its running statistics held fixed: a scale and a shift per channel, applied in place.

    With `trainable` the affine part learns (mmdetection's `norm_eval`), otherwise it is a buffer (detectron2's and
    torchvision's frozen BN). Keys are those of nn.BatchNorm2d.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, trainable: bool = False) -> None:
        super().__init__()
        self.eps = eps
        if trainable:
            self.weight = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))
        else:
            self.register_buffer("weight", torch.ones(channels))
            self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """The (C,) factors a, b for which the layer computes a * x + b."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return scale, self.bias - self.running_mean * scale

    def forward(self, x: Tensor, shortcut: Tensor | None = None, relu: bool = False) -> Tensor:
        """The norm of `x`, plus a shortcut if any, and then ReLU if asked; `x` may be overwritten."""
        eps = max(self.eps, SMALLEST_EPS)
        if not self.weight.requires_grad:
            in_layout = x.is_contiguous(memory_format=torch.channels_last)
            if in_layout and (kernels := triton_kernels("frozen_norm", x)) is not None:
                norm = self.weight, self.bias, self.running_mean, self.running_var
                return kernels.FrozenNorm.apply(x, shortcut, norm, eps, relu)
        if x.requires_grad and not self.weight.requires_grad:
            # nothing is kept for the backward pass, and with the convolution's output overwritten nothing allocated; in
            # half precision neither the map nor its gradient is ever computed in float32
            scale, shift = (of_C[:, None, None].to(x.dtype) for of_C in self.scale_and_shift())
            x = x.mul_(scale).add_(shift)
        else:
            x = F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=eps)
        return _add_and_relu(x, shortcut, relu)


def _add_and_relu(x: Tensor, shortcut: Tensor | None, relu: bool) -> Tensor:
    """In the memory of `x`."""
    if shortcut is not None:
        x = x.add_(shortcut)
    return F.relu(x, inplace=True) if relu else x


class GroupNorm(nn.GroupNorm):
    """Group norm; on CUDA it keeps the map's dtype and its channels last, and does ReLU in the same pass."""

    def forward(self, input: Tensor, relu: bool = False) -> Tensor:
        """The norm of a map, and then ReLU if asked."""
        if input.dim() == 4 and (kernels := triton_kernels("group_norm", input)) is not None:
            return kernels.GroupNorm.apply(input, self.weight, self.bias, self.num_groups, self.eps, relu)
        return _add_and_relu(super().forward(input), None, relu)


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose statistics are those of all processes' images together, as if one process had them all (SyncBN).

    On one process it is torch's; torch's own nn.SyncBatchNorm knows no CPU.
    """

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not self.training:
            return super().forward(x)
        if x[:, 0].numel() * processes() == 1:
            raise ValueError(
                "batch norm of a map pooled to one cell needs two images at a time; raise --schedule.batch, or lower"
                " --schedule.accumulate"
            )
        if processes() == 1:
            return super().forward(x)
        x_wide = x.to(torch.promote_types(x.dtype, torch.float32))
        count = all_reduce_sum(x_wide.new_full((), x[:, 0].numel()))
        mean = all_reduce_sum(x_wide.sum(dim=(0, 2, 3))) / count
        centred = x_wide - mean[:, None, None]
        var = all_reduce_sum(centred.square().sum(dim=(0, 2, 3))) / count
        self._remember(mean.detach(), var.detach() * count / (count - 1).clamp(min=1))
        scale = self.weight * (var + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    def _remember(self, mean: Tensor, unbiased_var: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(unbiased_var, self.momentum)


def make_norm(norm: Norm | None, channels: int, eps: float = 1e-5, groups: int = 32) -> nn.Module | None:
    """The norm layer of that name for `channels` channels, a group norm with so many `groups`; None for None.

    Raises: ValueError when the channels of a group norm do not divide into its groups.
    """
    match norm:
        case None:
            return None
        case "frozen":
            return FixedBatchNorm2d(channels, eps)
        case "affine":
            return FixedBatchNorm2d(channels, eps, trainable=True)
        case "batch":
            return BatchNorm2d(channels, eps)
        case "group":
            if groups < 1 or channels % groups:
                raise ValueError(
                    f"group norm: {channels} channels cannot be divided into {groups} groups; set the norm's groups"
                    f" (norm-groups or conv-norm-groups) to a divisor of {channels}"
                )
            return GroupNorm(groups, channels, eps)


def norm_relu(norm: nn.Module | None, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
    """ReLU of the norm of `x`, if any, plus a shortcut, if any; `x` may be overwritten."""
    if isinstance(norm, FixedBatchNorm2d):
        return norm(x, shortcut, relu=True)
    if isinstance(norm, GroupNorm) and shortcut is None:
        return norm(x, relu=True)
    return _add_and_relu(x if norm is None else norm(x), shortcut, relu=True)


class ConvNorm(nn.Module):
    """Convolution with `same` padding (a deformable one, DCNv2, if asked), norm if any, ReLU if asked."""

    conv: nn.Conv2d

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        norm: Norm | None = None,
        norm_groups: int = 32,
        relu: bool = False,
        bias: bool | None = None,
        deform: bool = False,
        deform_groups: int = 1,
    ) -> None:
        """`groups` are the convolution's, `norm_groups` a group norm's; `bias` None: only where there is no norm."""
        super().__init__()
        layer = DeformConv if deform else nn.Conv2d
        shape: dict[str, Any] = {"padding": kernel // 2 * dilation, "dilation": dilation, "groups": groups}
        shape["bias"] = norm is None if bias is None else bias
        if deform:
            shape["deform_groups"] = deform_groups
        self.conv = layer(in_channels, out_channels, kernel, stride=stride, **shape)
        self.norm = make_norm(norm, out_channels, groups=norm_groups)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        return self.norm_and_relu(self.conv(x))

    def norm_and_relu(self, x: Tensor) -> Tensor:
        """What follows the convolution."""
        if self.relu:
            return norm_relu(self.norm, x)
        return x if self.norm is None else self.norm(x)


def separable(
    in_channels: int, out_channels: int, kernel: int = 3, *, dilation: int = 1, norm: Norm, norm_groups: int = 32
) -> nn.Sequential:
    """A convolution of each channel, then a 1x1 convolution over them, each with norm and ReLU (1610.02357)."""
    after: dict[str, Any] = {"norm": norm, "norm_groups": norm_groups, "relu": True}
    return nn.Sequential(
        ConvNorm(in_channels, in_channels, kernel, dilation=dilation, groups=in_channels, **after),
        ConvNorm(in_channels, out_channels, 1, **after),
    )
