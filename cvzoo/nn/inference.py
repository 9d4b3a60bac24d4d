"""Turn a trained model into an equal one that is faster and cannot be trained."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import nn

from cvzoo.nn.deconv import DeconvNorm
from cvzoo.nn.layers import ConvNorm, FixedBatchNorm2d
from cvzoo.nn.resnet import BasicBlock, Bottleneck, ResNet

Model = TypeVar("Model", bound=nn.Module)


def optimise_for_inference(model: Model) -> Model:
    """A copy in eval mode with batch norm folded into the convolutions and weights in channels_last memory."""
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for module in model.modules():
        for conv_name, norm_name in _conv_norm_pairs(module):
            conv, norm = module.get_submodule(conv_name), module.get_submodule(norm_name)
            assert isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d))
            # timm's batch norm has an activation in it
            if isinstance(norm, (nn.BatchNorm2d, FixedBatchNorm2d)) and not isinstance(norm, BatchNormAct2d):
                _fold(conv, norm)
                setattr(module, norm_name, nn.Identity())
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _conv_norm_pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Names of the convolutions of a module and of the norms that follow them."""
    names = dict(module.named_children())
    match module:
        case ConvNorm() | DeconvNorm():
            return [("conv", "norm")] if module.norm is not None else []
        case ResNet() | BasicBlock() | Bottleneck():
            return [(name, name.replace("conv", "bn")) for name in names if name.startswith("conv")]
        case nn.Sequential():
            order = list(names)
            return [pair for pair in pairwise(order) if isinstance(names[pair[0]], nn.Conv2d)]
    return []


def _fold(conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d | FixedBatchNorm2d) -> None:
    """Give `conv` the weight and bias of norm(conv(x))."""
    if isinstance(norm, nn.BatchNorm2d):
        fixed = FixedBatchNorm2d(norm.num_features, norm.eps).to(norm.weight.device)
        fixed.load_state_dict(norm.state_dict(), strict=False)
        norm = fixed
    scale, shift = norm.scale_and_shift()
    bias = shift if conv.bias is None else shift + conv.bias * scale
    # a deconvolution's weight has its input's channels first
    scale = scale[None, :, None, None] if isinstance(conv, nn.ConvTranspose2d) else scale[:, None, None, None]
    conv.weight = nn.Parameter(conv.weight * scale, requires_grad=False)
    conv.bias = nn.Parameter(bias, requires_grad=False)
