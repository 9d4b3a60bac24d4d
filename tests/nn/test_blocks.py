"""The blocks of bodies, and training them with less memory."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from cvzoo.nn.blocks import blocks_of, depths_of, save_memory
from cvzoo.nn.inference import optimise_for_inference
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.timm_backbone import TimmConfig

RESNET = ResNetConfig(depth=18, width=8, norm="batch", deep_stem=True, frozen_stages=0)


def test_the_depths_of_a_resnet():
    torch.manual_seed(0)
    body = RESNET.build()
    depths, blocks = depths_of(body)
    found = {name: depths[id(parameter)] for name, parameter in body.named_parameters()}
    assert blocks == 8
    assert {found[name] for name in found if name.startswith("stem.")} == {0}
    assert [found[f"layer{n}.{i}.conv1.weight"] for n in (1, 2, 3, 4) for i in (0, 1)] == list(range(1, 9))
    assert found["layer3.0.downsample.0.weight"] == 5


@pytest.mark.parametrize(
    ("name", "blocks", "first"),
    [("convnext_atto", 12, "stem_"), ("tf_efficientnet_lite0", 16, "conv_stem"), ("resnet18d", 8, "conv1.")],
)
def test_the_depths_of_timm_networks(name, blocks, first):
    with torch.device("meta"):
        body = TimmConfig(name=name).build().body
    depths, count = depths_of(body)
    of_first = [depths[id(p)] for own, p in body.named_parameters() if own.startswith(first)]
    order = [depths[id(p)] for p in body.parameters()]
    assert count == blocks
    assert set(of_first) == {0}
    assert order == sorted(order)
    assert set(order) == set(range(blocks + 1))


def trained(body: nn.Module, images: Tensor) -> list[Tensor]:
    """Maps, gradients and buffers after a step in training mode."""
    maps = body.train()(images)
    torch.stack([one.square().mean() for one in maps]).sum().backward()
    gradients = [p.grad for p in body.parameters() if p.grad is not None]
    return [*maps, *gradients, *body.buffers()]


@pytest.mark.parametrize("config", [RESNET, TimmConfig(name="tf_efficientnet_lite0", norm="batch")])
def test_activations_that_are_computed_again_change_nothing(config):
    torch.manual_seed(0)
    kept = config.build()
    again = copy.deepcopy(kept)
    assert save_memory(again) > 7
    images = torch.randn(2, 3, 64, 64)
    results = []
    for body in (kept, again):
        torch.manual_seed(1)  # dropped paths
        results.append(trained(body, images))
    assert len(results[0]) == len(results[1])
    assert all(map(torch.equal, *results))
    copied = copy.deepcopy(again)  # as the moving average does
    assert all(type(one.forward.args[0]) is type(one) and one.forward.args[0] is one for one in blocks_of(copied))
    images = images[:1]
    with torch.no_grad():
        for one, other in zip(optimise_for_inference(again)(images), kept.eval()(images)):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
