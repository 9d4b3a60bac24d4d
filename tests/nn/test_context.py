"""Pyramid pooling, ASPP, context blocks; and the ResNet options of semantic segmentation."""

from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from cvzoo.nn.context import ASPP, AtrousDepthwise, ContextBlock, Fuse, NonLocal, PyramidPooling, averages
from cvzoo.nn.inference import optimise_for_inference
from cvzoo.nn.layers import ConvNorm
from cvzoo.nn.resnet import ResNetConfig
from cvzoo.ops.resize import resize

SMALL = ResNetConfig(depth=50, width=4, norm="batch", frozen_stages=0)
ODD = ((7, 11), (1, 3), (5, 1))
"""Sizes that no bin and no window divides."""


def randomise(module):
    """Norms that do something, and context blocks that are not the identity."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight, layer.running_var):
                nn.init.uniform_(values, 0.5, 1.5)
            for values in (layer.bias, layer.running_mean):
                nn.init.uniform_(values, -0.2, 0.2)
        elif isinstance(layer, ContextBlock):
            nn.init.normal_(layer.transform[-1].weight)
    return module


@pytest.mark.parametrize("size", ODD)
def test_pyramid_pooling_averages_ever_smaller_regions(size):
    pool = randomise(PyramidPooling(8, 3, (1, 2, 3, 6), norm="batch")).eval()
    x = torch.randn(2, 8, *size)
    levels = pool(x)
    assert [level.shape for level in levels] == [(2, 3, bins, bins) for bins in (1, 2, 3, 6)]
    torch.testing.assert_close(levels[0], pool.branches[0](x.mean(dim=(2, 3), keepdim=True)))
    for bins, exported in zip(pool.bins, averages(x, pool.bins)):
        torch.testing.assert_close(exported, F.adaptive_avg_pool2d(x, bins))


@pytest.mark.parametrize("size", ODD)
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("train", [False, True])
def test_fusing_tiny_maps_equals_fusing_them_resized(size, align_corners, kernel, train):
    fuse = randomise(Fuse(8 + 2 * 3, 5, kernel, norm="batch", relu=True)).train(train)
    x, *tiny = torch.randn(2, 8, *size), torch.randn(2, 3, 1, 1), torch.randn(2, 3, 6, 6)
    resized = torch.cat([x, *(resize(part, size, align_corners) for part in tiny)], dim=1)
    torch.testing.assert_close(fuse(x, tiny, align_corners), fuse(resized), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", ODD)
@pytest.mark.parametrize("dilation", [1, 2, 12])
def test_atrous_depthwise_equals_the_dilated_convolution(size, dilation):
    layer = randomise(AtrousDepthwise(300, dilation, "batch")).eval()  # more than are done at once
    x = torch.randn(2, 300, *size)
    for own in (x, x.contiguous(memory_format=torch.channels_last)):
        torch.testing.assert_close(layer(own), ConvNorm.forward(layer, own))


@pytest.mark.parametrize("size", ODD)
@pytest.mark.parametrize("options", [{}, {"separable_convs": True}, {"pool_norm": False, "pool_window": (3, 4)}])
@pytest.mark.parametrize("fuse_kernel", [1, 3])
def test_aspp_keeps_the_size(size, options, fuse_kernel):
    aspp = ASPP(8, 4, (2, 4, 6), norm="batch", fuse_kernel=fuse_kernel, **options).eval()
    assert aspp(torch.randn(2, 8, *size)).shape == (2, 4, *size)


def test_a_window_as_large_as_the_map_is_the_whole_map():
    whole = ASPP(8, 4, (2,), norm="batch").eval()
    window = ASPP(8, 4, (2,), norm="batch", pool_window=(5, 9)).eval()
    window.load_state_dict(whole.state_dict())
    x = torch.randn(2, 8, 5, 7)
    torch.testing.assert_close(window(x), whole(x))


def test_aspp_sees_beyond_its_kernel():
    """A cell depends on cells at each of the dilations, and through the pooling on all others."""
    aspp = randomise(ASPP(4, 4, (3,), norm="batch")).eval()
    x = torch.randn(1, 4, 9, 9, requires_grad=True)
    aspp(x)[0, :, 4, 4].sum().backward()
    assert (x.grad != 0).any(dim=1).all()


@pytest.mark.parametrize("ratio", [1 / 16, 1 / 4])
def test_a_context_block_starts_as_the_identity(ratio):
    block = ContextBlock(32, ratio)
    x = torch.randn(2, 32, 5, 7)
    assert block(x).equal(x)
    assert block.transform[0].out_channels == int(32 * ratio)


def test_a_context_block_adds_the_same_to_every_cell_and_ignores_their_order():
    block = randomise(ContextBlock(16, 0.25))
    x = torch.randn(2, 16, 4, 6)
    added = block(x) - x
    torch.testing.assert_close(added, added[:, :, :1, :1].expand_as(added))
    shuffled = x.flatten(2)[:, :, torch.randperm(24)].view_as(x)
    torch.testing.assert_close((block(shuffled) - shuffled)[:, :, 0, 0], added[:, :, 0, 0])


def test_a_context_block_attends():
    """A cell on which all attention rests is all there is to the context."""
    block = randomise(ContextBlock(4, 0.5))
    nn.init.zeros_(block.attention.weight)
    block.attention.weight.data[0, 0] = 1000.0
    x = torch.rand(1, 4, 3, 3)
    x[0, 0, 1, 2] = 2.0
    torch.testing.assert_close(block(x) - x, block.transform(x[:, :, 1:2, 2:3]).expand_as(x))


@pytest.mark.parametrize("ratio", [None, 0.25])
@pytest.mark.parametrize("deep_stem", [False, True])
@pytest.mark.parametrize(("output_stride", "strides"), [(32, (4, 8, 16, 32)), (16, (4, 8, 16, 16)), (8, (4, 8, 8, 8))])
def test_strides(deep_stem, output_stride, strides, ratio):
    config = replace(SMALL, deep_stem=deep_stem, output_stride=output_stride, context_ratio=ratio)
    backbone = randomise(config.build()).eval()
    image = torch.randn(1, 3, 97, 65)
    features = backbone(image)
    for feature, stride, channels in zip(features, strides, config.channels, strict=True):
        assert feature.shape == (1, channels, -(-97 // stride), -(-65 // stride))
    folded = optimise_for_inference(backbone)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    for feature, fast in zip(features, folded(image), strict=True):
        torch.testing.assert_close(fast, feature, rtol=1e-3, atol=1e-3)


def test_context_blocks_sit_in_all_but_the_first_layer_and_change_nothing_at_first():
    plain, context = SMALL.build().eval(), replace(SMALL, context_ratio=0.25).build().eval()
    blocks = [name for name, module in context.named_modules() if isinstance(module, ContextBlock)]
    assert len(blocks) == 4 + 6 + 3
    assert not any(name.startswith("layer1") for name in blocks)
    context.load_state_dict(plain.state_dict(), strict=False)
    image = torch.randn(1, 3, 64, 64)
    for a, b in zip(plain(image), context(image), strict=True):
        assert a.equal(b)


@pytest.mark.parametrize(("output_stride", "replaced"), [(8, (False, True, True)), (16, (False, False, True))])
def test_dilation_is_torchvisions(output_stride, replaced):
    theirs = torchvision.models.resnet50(replace_stride_with_dilation=list(replaced))
    theirs = randomise(theirs).eval()
    ours = ResNetConfig(norm="batch", output_stride=output_stride, frozen_stages=0).build().eval()
    ours.load_state_dict({key: x for key, x in theirs.state_dict().items() if not key.startswith("fc.")})
    image = torch.randn(1, 3, 97, 65)
    x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
    with torch.no_grad():
        for layer, found in zip((theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4), ours(image), strict=True):
            x = layer(x)
            assert found.equal(x)


@pytest.mark.parametrize("contract", [True, False])
@pytest.mark.parametrize("depth", [18, 50])
def test_first_blocks_of_dilated_layers(contract, depth):
    """They are dilated as the layer before or as their own; where nothing is dilated there is no difference."""
    body = replace(SMALL, depth=depth, output_stride=8, contract_dilation=contract).build()
    convs = [[block.conv2 if depth == 50 else block.conv1 for block in layer] for layer in (body.layer3, body.layer4)]
    for first, own, (conv, *others) in zip((1, 2), (2, 4), convs, strict=True):
        assert conv.dilation[0] == (first if contract else own)
        assert {other.dilation[0] for other in others} == {own}
        assert conv.stride == (1, 1)
    plain = replace(SMALL, depth=depth, contract_dilation=contract).build()
    assert {m.dilation for m in plain.modules() if isinstance(m, nn.Conv2d)} == {(1, 1)}


def test_multi_grid():
    config = replace(SMALL, output_stride=16, multi_grid=(2, 4, 8))
    assert [block.conv2.dilation for block in config.build().layer4] == [(2, 2), (4, 4), (8, 8)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"multi_grid": (1, 2)}, r"multi-grid \(1, 2\): give one for each of 3 blocks"),
        ({"depth": 18, "context_ratio": 0.25}, "context-ratio: depth 18 has no bottlenecks; take 50 or more"),
        ({"depth": 18, "deform": "v2"}, "deform: depth 18 has no bottlenecks; take 50 or more"),
        ({"depth": 34, "groups": 32}, "groups: depth 34 has no bottlenecks; take 50 or more"),
        ({"width": 8, "groups": 3}, "groups 3 must be a divisor of the width, 8"),
        ({"width": 8, "context_ratio": 1 / 128}, "context-ratio 0.0078125 leaves no channel of 64; raise it"),
    ],
)
def test_what_cannot_be_built(options, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **options)


def test_resizing_to_the_same_size_does_nothing():
    x = torch.randn(1, 2, 3, 4)
    assert resize(x, (3, 4)) is x


def test_a_non_local_block_is_a_mean_weighted_by_likeness() -> None:
    """Cell by cell from the definition; keys and values are the largest of 2 x 2 cells."""
    block = NonLocal(8, norm_groups=2)
    x = torch.randn(2, 8, 6, 4)
    torch.testing.assert_close(block(x), x)  # it starts as the identity
    assert isinstance(block.out.norm, nn.GroupNorm)
    nn.init.normal_(block.out.norm.weight)
    query, key, value = block.query(x), F.max_pool2d(block.key(x), 2), F.max_pool2d(block.value(x), 2)
    seen = torch.zeros_like(query)
    for n, row, column in product(range(2), range(6), range(4)):
        likeness = torch.einsum("c,chw->hw", query[n, :, row, column], key[n])
        share = likeness.exp() / likeness.exp().sum()
        seen[n, :, row, column] = (value[n] * share).sum(dim=(1, 2))
    torch.testing.assert_close(block(x), x + block.out.norm(block.out.conv(seen)), atol=1e-5, rtol=1e-4)


def test_an_aspp_may_fuse_without_norm_and_bias() -> None:
    aspp = ASPP(4, 8, (2,), norm="group", norm_groups=2, fuse_norm=False)
    assert aspp.fuse.norm is None
    assert aspp.fuse.conv.bias is None
    x = torch.randn(2, 4, 6, 6)
    branches = [aspp.point(x), aspp.atrous[0](x), aspp.pooled(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, 6, 6)]
    torch.testing.assert_close(aspp(x), aspp.fuse.conv(torch.cat(branches, dim=1)).relu(), atol=1e-5, rtol=1e-4)
