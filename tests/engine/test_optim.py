"""Learning rates, parameter groups and the moving average."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from cvzoo.engine.optim import EMA, build_optimiser, lr_factor, peak_lr, set_lr
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.recipes import Optim, Schedule


def test_1x_schedule_is_detectron2s() -> None:
    schedule = Schedule()
    expected = {
        0: 0.001,
        500: 0.001 * 0.5 + 0.5,
        999: 0.001 * 0.001 + 0.999,
        1000: 1.0,
        59_999: 1.0,
        60_000: 0.1,
        79_999: 0.1,
        80_000: 0.01,
        89_999: 0.01,
    }
    assert {t: lr_factor(schedule, t) for t in expected} == pytest.approx(expected)


def test_cosine_falls_from_the_end_of_the_warm_up_to_zero() -> None:
    schedule = Schedule(iterations=110, policy="cosine", warmup_iterations=10, warmup_factor=0.1)
    assert lr_factor(schedule, 0) == pytest.approx(0.1)
    assert lr_factor(schedule, 10) == pytest.approx(1.0)
    assert lr_factor(schedule, 60) == pytest.approx(0.5)
    assert lr_factor(schedule, 109) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.99)))
    factors = [lr_factor(schedule, t) for t in range(10, 110)]
    assert factors == sorted(factors, reverse=True)


def test_poly_is_mmsegmentations() -> None:
    """Its PolyLR multiplies what is above the floor by (1 - 1 / steps left)^0.9 at every step."""
    schedule = Schedule(iterations=50, policy="poly", floor=0.01, warmup_iterations=0)
    lr = 1.0
    for t in range(50):
        assert lr_factor(schedule, t) == pytest.approx(lr)
        lr = (lr - 0.01) * (1 - 1 / (50 - t)) ** 0.9 + 0.01
    assert lr == pytest.approx(0.01)


def test_no_warm_up_starts_at_the_peak() -> None:
    assert lr_factor(Schedule(warmup_iterations=0), 0) == 1.0


def test_learning_rate_scales_with_the_batch() -> None:
    assert peak_lr(Optim(lr=0.02), Schedule(batch=4, base_batch=16)) == pytest.approx(0.005)


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1))
        self.backbone[0].requires_grad_(False)
        self.head = nn.Sequential(nn.Conv2d(4, 2, 1), nn.GroupNorm(1, 2))


def test_parameter_groups() -> None:
    model = Detector()
    optim = Optim(lr=0.1, weight_decay=1e-4, norm_weight_decay=1e-6, backbone_lr_factor=0.1)
    optimiser = build_optimiser(model, optim, 0.1)
    set_lr(optimiser, 0.5)
    settings = {id(p): (g["lr"], g["weight_decay"]) for g in optimiser.param_groups for p in g["params"]}
    assert all(id(p) not in settings for p in model.backbone[0].parameters())
    expected = {
        model.backbone[1]: (0.005, 1e-6),
        model.backbone[2]: (0.005, 1e-4),
        model.head[0]: (0.05, 1e-4),
        model.head[1]: (0.05, 1e-6),
    }
    for layer, values in expected.items():
        for parameter in layer.parameters():
            assert settings[id(parameter)] == pytest.approx(values)


def test_layer_decay() -> None:
    model = nn.Module()
    model.backbone = ResNetConfig(depth=18, width=8, frozen_stages=1).build()
    model.head = nn.Conv2d(4, 2, 1)
    optimiser = build_optimiser(model, Optim(layer_decay=0.5, backbone_lr_factor=0.1), 1.0)
    rates = {id(p): group["peak_lr"] for group in optimiser.param_groups for p in group["params"]}
    assert id(model.backbone.conv1.weight) not in rates
    assert rates[id(model.head.weight)] == 1.0
    assert rates[id(model.backbone.layer4[1].conv2.weight)] == pytest.approx(0.1 * 0.5)
    assert rates[id(model.backbone.layer1[0].conv1.weight)] == pytest.approx(0.1 * 0.5**8)
    with pytest.raises(ValueError, match="no row of blocks"):
        build_optimiser(Detector(), Optim(layer_decay=0.5), 1.0)


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_optimiser_by_name(name: str, kind: type) -> None:
    optimiser = build_optimiser(Detector(), replace(Optim(), name=name), 0.1)
    assert isinstance(optimiser, kind)
    if name == "sgd":
        assert {(g["momentum"], g["nesterov"]) for g in optimiser.param_groups} == {(0.9, False)}


def test_moving_average() -> None:
    model: Any = nn.BatchNorm1d(1)
    ema = EMA(model, decay=0.5)
    average: Any = ema.model
    with torch.no_grad():
        model.weight.fill_(3.0)
    model.running_mean.fill_(7.0)
    ema.update(model, iteration=0)  # decay min(0.5, 1/10)
    assert average.weight.item() == pytest.approx(0.1 * 1 + 0.9 * 3)
    ema.update(model, iteration=1000)  # decay 0.5
    assert average.weight.item() == pytest.approx(0.5 * 2.8 + 0.5 * 3)
    assert average.running_mean.item() == 7.0
    assert not average.training


def test_a_longer_schedule_moves_the_drops_of_steps_alone() -> None:
    steps = Schedule(iterations=100, milestones=(60, 80), warmup_iterations=10)
    assert steps.stretched(2).milestones == (120, 160)
    cosine = replace(steps, policy="cosine")
    assert cosine.stretched(2) == replace(cosine, iterations=200)
