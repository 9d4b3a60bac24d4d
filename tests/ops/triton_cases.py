"""What Triton kernels compute; run by `test_triton_kernels.py`, in a process where they are interpreted, or on CUDA."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from cvzoo.nn import layers, roi_pool
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.nn.roi_pool import RoIPoolConfig
from cvzoo.nn.towers import tower
from cvzoo.ops import (
    boxes,
    focal_loss_triton,
    frozen_norm_triton,
    group_norm_triton,
    losses,
    nms,
    pairwise_iou_triton,
    swap_align2nat_triton,
)
from cvzoo.ops.assigners import BACKGROUND, IGNORED
from cvzoo.ops.swap_align2nat import swap_align2nat_at

DEVICE = "cpu" if os.environ["TRITON_INTERPRET"] == "1" else "cuda"


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules use the kernels on the CPU, too, which go over several blocks of a small map."""
    for module in (boxes, layers, losses, nms, roi_pool):
        monkeypatch.setattr(module, "triton_kernels", lambda name, x: import_module(f"cvzoo.ops.{name}_triton"))
    monkeypatch.setattr(frozen_norm_triton, "BLOCK", 64)
    monkeypatch.setattr(group_norm_triton, "BLOCK", 64)
    monkeypatch.setattr(focal_loss_triton, "BLOCK", 64)
    monkeypatch.setattr(pairwise_iou_triton, "BLOCK", 16)
    torch.manual_seed(0)
    with torch.device(DEVICE):
        yield


def a_map(*shape: int) -> Tensor:
    return torch.randn(*shape).to(memory_format=torch.channels_last)


def assert_same_gradients(ours: Tensor, theirs: Tensor, leaves: list[Tensor], tolerance: float = 1e-5) -> None:
    upstream = torch.randn_like(theirs)
    found = torch.autograd.grad(ours, leaves, upstream.to(ours.dtype))
    wanted = torch.autograd.grad(theirs, leaves, upstream)
    for mine, other in zip(found, wanted):
        torch.testing.assert_close(mine, other, atol=tolerance, rtol=tolerance)


def test_a_kernel_gives_the_same_when_it_is_launched_again() -> None:
    norm = layers.FixedBatchNorm2d(5)
    norm.running_mean.uniform_()
    for cells in (3, 4, 5):
        x = a_map(2, 5, 3, cells)
        first, again = (norm(x.clone(memory_format=torch.preserve_format), relu=True) for _ in range(2))
        torch.testing.assert_close(again, first, atol=0, rtol=0)
        torch.testing.assert_close(first, (x - norm.running_mean[:, None, None]).relu(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("relu", "added"), list(product([True, False], repeat=2)))
def test_frozen_norm(relu: bool, added: bool) -> None:
    norm = layers.FixedBatchNorm2d(5)
    for buffer in norm.buffers():
        buffer.uniform_(0.5, 2)
    x, shortcut = a_map(2, 5, 3, 4).requires_grad_(), a_map(2, 5, 3, 4).requires_grad_() if added else None
    own = x.clone(memory_format=torch.preserve_format)
    ours = norm(own, shortcut, relu)
    assert ours.data_ptr() == own.data_ptr()
    theirs = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    theirs = theirs if shortcut is None else theirs + shortcut
    theirs = theirs.relu() if relu else theirs
    torch.testing.assert_close(ours, theirs)
    assert_same_gradients(ours, theirs, [x] if shortcut is None else [x, shortcut])


def test_not_a_number_stays_so() -> None:
    """The run stops when a loss is none; ReLU must not hide where it began."""
    x = torch.full((1, 4, 2, 2), torch.nan).to(memory_format=torch.channels_last)
    assert layers.norm_relu(layers.FixedBatchNorm2d(4), x.clone()).isnan().all()
    assert layers.norm_relu(layers.GroupNorm(2, 4), x.clone()).isnan().all()


@pytest.mark.parametrize(("groups", "channels", "relu"), [(3, 6, True), (1, 6, False), (2, 2, True)])
def test_group_norm(groups: int, channels: int, relu: bool) -> None:
    """Of a map whose spread is small beside its mean, in several blocks; and of one cell."""
    norm = layers.GroupNorm(groups, channels)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.uniform_(-1, 1)
    leaves = [*norm.parameters()]
    for size in ((5, 4), (1, 1)):
        x = (a_map(2, channels, *size) + 100).detach().requires_grad_()
        theirs = F.group_norm(x.double(), groups, norm.weight.double(), norm.bias.double(), norm.eps)
        theirs = (theirs.relu() if relu else theirs).float()
        ours = norm(x, relu=relu)
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
        if size != (1, 1) or channels > groups:
            assert_same_gradients(ours, theirs, [x, *leaves], 1e-3)


BOXES = [[1.0, 2, 9, 12], [5, 5, 5, 5], [-9, -6, 2, 3], [26, 19, 40, 33], [15, 9, 10, 4], [5.5, 2.25, 19.1, 13]]
"""Plain, empty, partly outside, mostly outside, turned inside out, of broken numbers."""


@pytest.mark.parametrize(("sampling", "aligned"), [(0, True), (2, False)])
def test_roi_align(sampling: int, aligned: bool) -> None:
    some = slice(None) if sampling == 0 else slice(0, 6, 2)
    config = RoIPoolConfig(size=2, strides=(4, 8), sampling=sampling, aligned=aligned, canonical_size=24)
    maps = [a_map(2, 3, 6, 8).requires_grad_(), a_map(2, 3, 3, 4).requires_grad_()]
    boxes_R4, image_R = torch.tensor(BOXES)[some], torch.tensor([0, 1, 1, 0, 0, 1])[some]
    level_R = roi_pool.roi_levels(boxes_R4, config)
    assert set(level_R[:4].tolist()) == {0, 1} or sampling
    ours = roi_pool.roi_pool(maps, boxes_R4, image_R, config)
    rois_R5 = torch.cat([image_R[:, None].float(), boxes_R4], dim=1)
    both = [roi_align(x, rois_R5, 2, 1 / stride, sampling, aligned) for x, stride in zip(maps, config.strides)]
    theirs = torch.where((level_R == 0)[:, None, None, None], *both)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert_same_gradients(ours, theirs, maps)
    half = roi_pool.roi_pool([x.bfloat16() for x in maps], boxes_R4[:2], image_R[:2], config)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), theirs[:2], atol=0.02, rtol=0.01)


def test_no_regions_give_maps_a_gradient_of_0() -> None:
    x = a_map(1, 3, 4, 4).requires_grad_()
    config = RoIPoolConfig(size=2, strides=(4,))
    roi_pool.roi_pool([x], torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), config).sum().backward()
    assert x.grad is not None
    assert not x.grad.any()


@pytest.mark.parametrize("norm", ["frozen", "group"])
def test_layers_under_autocast(norm: layers.Norm) -> None:
    """A block and a tower give with the kernels what they give without, within bfloat16's rounding, in its dtype.

    The interpreter rounds towards zero, a GPU to the nearest number.
    """
    block = ResNetConfig(depth=18, width=4, norm=norm, norm_groups=2, frozen_stages=0).build().layer1[0]
    network = nn.Sequential(block, tower(4, 1, norm, norm_groups=2)).to(memory_format=torch.channels_last)
    weights = [parameter for parameter in network.parameters() if parameter.dim() == 4]
    x = a_map(2, 4, 4, 5)
    results = []
    for kernels in (True, False):
        with pytest.MonkeyPatch.context() as patch, torch.autocast(DEVICE, torch.bfloat16):
            if not kernels:
                patch.setattr(layers, "triton_kernels", lambda name, x: None)
            out = network(x)
        assert out.dtype == torch.bfloat16
        results.append((out.float(), *torch.autograd.grad(out.float().square().mean(), weights)))
    for ours, theirs in zip(*results):
        assert (ours - theirs).norm() < 0.05 * theirs.norm()


@pytest.mark.parametrize("shape", [(3, 1, 4, 5), (2, 1, 4, 5), (3, 2, 5, 4), (2, 3, 7, 6)])
def test_swap(shape: tuple[int, int, int, int]) -> None:
    side, scale, height, width = shape
    x = torch.randn(2, side * side, height, width, requires_grad=True)
    places = torch.tensor([[0, 1, 1], [0, (height - 1) // scale, 0], [0, 0, (width - 1) // scale]])
    out = swap_align2nat_at(x, places[0], places[1], places[2], scale, -6.0)
    upstream = torch.randn_like(out)
    out.backward(upstream)
    found = swap_align2nat_triton.forward(x.detach().permute(0, 2, 3, 1), places, side, scale, -6.0)
    grad = swap_align2nat_triton.backward(upstream, places, (2, height, width), side, scale).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, out.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(grad, x.grad, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (None, 2.0), (0.6, 1.5), (0.25, 0.0)])
def test_focal_loss(alpha: float | None, gamma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = (20 * torch.randn(50, 11)).requires_grad_()
    labels = torch.randint(0, 11, (50,))
    labels[::3], labels[::7] = BACKGROUND, IGNORED
    ours = losses.focal_loss(logits, labels, alpha, gamma)
    monkeypatch.setattr(losses, "triton_kernels", lambda name, x: None)
    theirs = losses.focal_loss(logits, labels, alpha, gamma)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert_same_gradients(ours, theirs, [logits])


@pytest.mark.parametrize(
    ("few", "many"), [((3, 4), (50, 4)), ((2, 3, 4), (50, 4)), ((2, 3, 4), (2, 50, 4)), ((0, 4), (5, 4))]
)
def test_pairwise_iou(few: tuple[int, ...], many: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    corners = 30 * torch.rand(*few), 30 * torch.rand(*many)
    mine, others = (torch.cat([x[..., :2], x[..., :2] + x[..., 2:]], dim=-1) for x in corners)
    ours = boxes.pairwise_iou(mine, others)
    monkeypatch.setattr(boxes, "triton_kernels", lambda name, x: None)
    assert torch.equal(ours, boxes.pairwise_iou(mine, others))


@pytest.mark.parametrize("count", [1, 40, 70])
def test_suppression(count: int) -> None:
    corner, size = 40 * torch.rand(3, count, 2), 5 + 20 * torch.rand(3, count, 2)
    own, valid = torch.cat([corner, corner + size], dim=-1), torch.rand(3, count) > 0.1
    ours = nms._at_once([own, own[:, :9]], [valid, valid[:, :9]], 0.4)
    for level, found in zip((own, own[:, :9]), ours):
        expected = nms._one_by_one(level.cpu(), valid[:, : level.shape[1]].cpu(), 0.4)
        assert torch.equal(found.cpu(), expected)
