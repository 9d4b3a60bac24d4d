"""The optimiser, its learning rate as a pure function of the iteration, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

from cvzoo.nn.blocks import depths_of
from cvzoo.nn.model import Model
from cvzoo.nn.timm_backbone import TimmBackbone
from cvzoo.recipes import Optim, Schedule

POWER = 0.9
"""Of the schedule `poly`."""


def peak_lr(optim: Optim, schedule: Schedule) -> float:
    """`optim.lr` scaled linearly from `base_batch` to the real batch (Goyal et al., 1706.02677, section 2.1)."""
    return optim.lr * schedule.batch / schedule.base_batch


def lr_factor(schedule: Schedule, iteration: int) -> float:
    """Share of the peak learning rate at a 0-based `iteration`.

    Warm-up from share f over w iterations: f (1 - t/w) + t/w, as detectron2. It multiplies the policy's own factor, so
    that a milestone inside the warm-up counts. The cosine starts after the warm-up and reaches 0 as the run ends.
    `poly` is (1 - floor) (1 - t/T)^0.9 + floor, from the start (1606.00915, equation 3; the floor is mmsegmentation's).
    Of a run that was extended, the end is that of the length it had at `iteration`.
    """
    end = next((length for length in schedule.extended_from if iteration < length), schedule.iterations)
    warmup = schedule.warmup_iterations
    progress = iteration / warmup if iteration < warmup else 1.0
    rise = schedule.warmup_factor * (1 - progress) + progress
    if schedule.policy == "step":
        return rise * schedule.gamma ** sum(iteration >= milestone for milestone in schedule.milestones)
    if schedule.policy == "poly":
        left = 1 - min(1.0, iteration / end)
        return rise * ((1 - schedule.floor) * left**POWER + schedule.floor)
    done = max(0, iteration - warmup) / max(1, end - warmup)
    return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def freeze(model: Model, parts: Sequence[str], row: str) -> None:
    """Hold these parts of a model in training fast: no gradients, and norms keep their statistics.

    ValueError names the row when its model has no such part.
    """
    if absent := [part for part in parts if getattr(model, part, None) is None]:
        raise ValueError(f"{row} has no {' and no '.join(absent)} to hold fast; leave that out of --freeze")
    for part in parts:
        model.get_submodule(part).requires_grad_(False).eval()


def build_optimiser(model: nn.Module, optim: Optim, lr: float, kept: Collection[str] = ()) -> torch.optim.Optimizer:
    """The optimiser of the trainable parameters, in groups of one learning rate and weight decay, with their `peak_lr`.

    `kept` are the names of the parameters that come from `weights`.
    It is fused: few kernels, and no step while its attribute `found_inf`, a number on the device, is 1.
    """
    # By name, because norm layers share no base class: torch's, timm's and ours are all called ...Norm...
    norm_layers = (module for module in model.modules() if "Norm" in type(module).__name__)
    norms = {id(parameter) for layer in norm_layers for parameter in layer.parameters(recurse=False)}
    backbone = _backbone_factors(model.get_submodule("backbone"), optim)
    slower = frozenset(kept) if optim.kept_lr_factor != 1 else frozenset()
    groups: dict[tuple[bool, float | None, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            group = id(parameter) in norms, backbone.get(id(parameter)), name in slower
            groups.setdefault(group, []).append(parameter)
    settings = [
        {
            "params": parameters,
            "weight_decay": optim.norm_weight_decay if is_norm else optim.weight_decay,
            "peak_lr": lr * (1.0 if factor is None else factor) * (optim.kept_lr_factor if is_kept else 1.0),
        }
        for (is_norm, factor, is_kept), parameters in groups.items()
    ]
    if optim.name == "sgd":
        return torch.optim.SGD(settings, lr=lr, momentum=0.9, fused=True)
    return torch.optim.AdamW(settings, lr=lr, fused=True)


def _backbone_factors(backbone: nn.Module, optim: Optim) -> dict[int, float]:
    """Of each parameter of the backbone, by its id, the learning rate relative to the rest of the model.

    With the decay d, block number i of L has d^(L + 1 - i), the stem d^(L + 1) (BEiT, 2106.08254, and its followers).
    """
    if optim.layer_decay == 1:
        return {id(parameter): optim.backbone_lr_factor for parameter in backbone.parameters()}
    # the maps that are made of a plain transformer's one begin anew
    depths, blocks = depths_of(backbone.body if isinstance(backbone, TimmBackbone) else backbone)
    if not blocks:
        raise ValueError("the backbone is no row of blocks, by which optim.layer-decay goes; leave that out")
    return {
        id(p): optim.backbone_lr_factor * optim.layer_decay ** (blocks + 1 - depths.get(id(p), blocks + 1))
        for p in backbone.parameters()
    }


def set_lr(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Move every group to `factor` of its own peak."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak_lr"] * factor


class EMA:
    """Exponential moving average of a model's parameters; buffers follow the model.

    The decay at step t is min(decay, (1 + t) / (10 + t)), so that a short run forgets its random start.
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.decay = decay
        self.model = deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, iteration: int) -> None:
        """Take in the weights after 0-based `iteration`."""
        decay = min(self.decay, (1 + iteration) / (10 + iteration))
        averages: list[Tensor] = list(self.model.parameters())
        values: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(averages, values, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        pairs = list(zip(self.model.buffers(), model.buffers()))
        for dtype in {value.dtype for _, value in pairs}:  # one kind of numbers at a time
            old, new = ([pair[side] for pair in pairs if pair[1].dtype == dtype] for side in (0, 1))
            torch._foreach_copy_(old, new)  # pyright: ignore[reportPrivateImportUsage]
