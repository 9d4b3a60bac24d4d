"""The tree and its filter beside what they are by definition, on small grids."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cvzoo.zoo.treefilter.tree import Method, Tree, minimum_spanning_tree, spanning_tree, tree_filter

SIZES = [(1, 1), (1, 6), (5, 1), (3, 4), (5, 5)]
METHODS: list[Method] = ["walk", "jump"]


def similarities(embedding_EV: Tensor, tree: Tree, image: int) -> Tensor:
    """(V, V): the product of the edges' weights between every two vertices, from their paths to the root."""
    parent, order = tree.parent[image].tolist(), tree.order[image].tolist()
    rows: dict[int, Tensor] = {}
    for vertex in order:
        row = torch.zeros(len(order), dtype=torch.float64)
        if vertex != order[0]:
            step = embedding_EV[:, vertex] - embedding_EV[:, parent[vertex]]
            row = torch.exp(-step.square().sum()) * rows[parent[vertex]]
        rows[vertex] = torch.cat([row[:vertex], torch.ones(1, dtype=torch.float64), row[vertex + 1 :]])
        for other in rows:  # the way there is the way back
            if other != vertex:
                back = rows[other]
                rows[other] = torch.cat([back[:vertex], rows[vertex][other : other + 1], back[vertex + 1 :]])
    return torch.stack([rows[vertex] for vertex in range(len(order))])


def by_definition(feature: Tensor, embedding: Tensor, tree: Tree, groups: int) -> Tensor:
    out = torch.empty_like(feature)
    for n in range(len(feature)):
        parts = zip(feature[n].flatten(1).chunk(groups), embedding[n].flatten(1).chunk(groups), strict=True)
        means = []
        for x_DV, e_EV in parts:
            s_VV = similarities(e_EV, tree, n)
            means.append(x_DV @ s_VV / s_VV.sum(dim=0))
        out[n] = torch.cat(means).view_as(feature[n])
    return out


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=15)
@given(size=st.sampled_from(SIZES), groups=st.sampled_from([1, 2]), seed=st.integers(0, 2**16))
def test_filter_and_its_gradients_are_the_definitions(
    method: Method, size: tuple[int, int], groups: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    feature, embedding, guidance, upstream = (
        torch.randn(2, 4, *size, generator=generator, dtype=torch.float64) for _ in range(4)
    )
    tree = minimum_spanning_tree(guidance)
    computed = []
    for compute in (
        lambda x, e: tree_filter(x, e, tree, groups, method),
        lambda x, e: by_definition(x, e, tree, groups),
    ):
        x, e = feature.clone().requires_grad_(), (0.5 * embedding).requires_grad_()
        y = compute(x, e)
        grads = torch.autograd.grad((y * upstream).sum(), (x, e), materialize_grads=True)
        computed.append((y.detach(), *grads))
    for found, wanted in zip(*computed):
        torch.testing.assert_close(found, wanted, atol=1e-9, rtol=1e-7)


@settings(max_examples=20)
@given(size=st.sampled_from(SIZES), seed=st.integers(0, 2**16), levels=st.sampled_from([1, 2, 1000]))
def test_no_tree_has_less_weight(size: tuple[int, int], seed: int, levels: int) -> None:
    """With many ties, with few, and where the guidance is constant."""
    height, width = size
    guidance = torch.randint(levels, (1, 2, height, width), generator=torch.Generator().manual_seed(seed)).double()
    graph = nx.grid_2d_graph(height, width)
    for one, other in graph.edges:
        graph.edges[one, other]["weight"] = (guidance[0, :, *one] - guidance[0, :, *other]).square().sum().item()
    wanted = sum(edge["weight"] for _, _, edge in nx.minimum_spanning_tree(graph).edges(data=True))
    tree = minimum_spanning_tree(guidance)
    values = guidance[0].flatten(1)
    assert (values - values[:, tree.parent[0]]).square().sum().item() == pytest.approx(wanted)
    assert sorted(tree.order[0].tolist()) == list(range(height * width))


@settings(max_examples=30)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    batch=st.integers(1, 3),
    seed=st.integers(0, 2**16),
    levels=st.sampled_from([1, 2, 1000]),
)
def test_the_tree_is_the_same_however_it_is_made(size: tuple[int, int], batch: int, seed: int, levels: int) -> None:
    guidance = torch.randint(levels, (batch, 2, *size), generator=torch.Generator().manual_seed(seed)).float()
    walked, jumped = (minimum_spanning_tree(guidance, method) for method in METHODS)
    assert torch.equal(walked.parent, jumped.parent)
    assert walked.depth <= jumped.depth


def test_a_tree_without_an_order_is_not_walked() -> None:
    guidance, feature, embedding = maps(1, (3, 4))
    tree = minimum_spanning_tree(guidance, "jump")
    assert torch.isfinite(tree_filter(feature, embedding, tree, 1, "jump")).all()
    with pytest.raises(ValueError, match="made by jumps"):
        tree_filter(feature, embedding, tree, 1, "walk")


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_stays_and_strangers_keep_to_themselves(method: Method) -> None:
    generator = torch.Generator().manual_seed(0)
    guidance, embedding = torch.randn(2, 1, 3, 7, 6, generator=generator)
    tree = minimum_spanning_tree(guidance)
    constant = torch.full((1, 2, 7, 6), 3.5)
    torch.testing.assert_close(tree_filter(constant, embedding[:, :2], tree, 1, method), constant)
    feature = torch.randn(1, 2, 7, 6, generator=generator)
    far = 100.0 * torch.arange(42.0).view(1, 1, 7, 6)  # every edge's weight is 0
    torch.testing.assert_close(tree_filter(feature, far, tree, 1, method), feature)


def maps(batch: int, size: tuple[int, int], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Guidance, feature and embedding, 4 channels each, of similar neighbours."""
    guidance, feature, embedding = torch.randn(3, batch, 4, *size, generator=torch.Generator().manual_seed(1))
    return guidance.to(dtype), feature.to(dtype), (0.3 * embedding).to(dtype)


def results(
    feature: Tensor, embedding: Tensor, tree: Tree, groups: int, method: Method
) -> tuple[Tensor, Tensor, Tensor]:
    """The filter's output, and gradients of feature and embedding that weight every output in another way."""
    inputs = feature.detach().requires_grad_(), embedding.detach().requires_grad_()
    out = tree_filter(*inputs, tree, groups, method)
    upstream = torch.linspace(-1, 1, out[0].numel(), dtype=out.dtype).view_as(out[0]).expand_as(out)
    return out.detach(), *torch.autograd.grad(out, inputs, upstream)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_gradcheck(method: Method, groups: int) -> None:
    guidance, feature, embedding = maps(2, (3, 4), torch.float64)
    tree = minimum_spanning_tree(guidance)
    inputs = feature.requires_grad_(), embedding.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, e: tree_filter(x, e, tree, groups, method), inputs)


@pytest.mark.parametrize("channels", [1, 8, 9, 17])
def test_wide_groups_are_summed_in_blocks(channels: int) -> None:
    """Walking, eight channels at a time; jumping, all of them."""
    guidance, _, embedding = maps(2, (9, 8), torch.float64)
    feature = torch.randn(2, 2 * channels, 9, 8, dtype=torch.float64)
    tree = minimum_spanning_tree(guidance)
    torch.testing.assert_close(
        results(feature, embedding, tree, 2, "walk"), results(feature, embedding, tree, 2, "jump")
    )


@pytest.mark.parametrize("method", METHODS)
def test_large_offsets_do_not_spoil_the_gradients(method: Method) -> None:
    """Sums in float32 would lose them: neighbours are alike, and the feature is large beside its changes."""
    guidance, feature, embedding = maps(1, (48, 64))
    tree = minimum_spanning_tree(guidance)
    feature, embedding = feature + 100, embedding / 30
    found = results(feature, embedding, tree, 1, method)
    wanted = results(feature.double(), embedding.double(), tree, 1, method)
    for x, y in zip(found, wanted):
        assert (x - y).abs().max() <= 1e-6 * y.abs().max()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_an_image_does_not_depend_on_its_batch(method: Method, threads: int) -> None:
    guidance, feature, embedding = maps(3, (9, 8))
    torch.set_num_threads(threads)
    try:
        trees = minimum_spanning_tree(guidance)
        together = results(feature, embedding, trees, 2, method)
    finally:
        torch.set_num_threads(1)
    for n in range(3):
        tree = minimum_spanning_tree(guidance[n : n + 1])
        assert torch.equal(tree.parent[0], trees.parent[n])
        assert torch.equal(tree.order[0], trees.order[n])
        alone = results(feature[n : n + 1], embedding[n : n + 1], tree, 2, method)
        for x, y in zip(together, alone):
            torch.testing.assert_close(x[n : n + 1], y, atol=0, rtol=1e-6)
    assert trees.depth == max(minimum_spanning_tree(guidance[n : n + 1]).depth for n in range(3))


@pytest.mark.parametrize("method", METHODS)
def test_layout_in_memory_does_not_matter(method: Method) -> None:
    """Channels last, and every other column of a map."""
    plain = maps(2, (6, 7))
    strided = [torch.stack([x, torch.full_like(x, torch.nan)], dim=-1).flatten(3)[..., ::2] for x in plain]
    last = [x.contiguous(memory_format=torch.channels_last) for x in plain]
    wanted = results(*plain[1:], minimum_spanning_tree(plain[0]), 2, method)
    for guidance, feature, embedding in (strided, last):
        assert not feature.is_contiguous()
        assert torch.equal(feature, plain[1])
        for x, y in zip(results(feature, embedding, minimum_spanning_tree(guidance), 2, method), wanted):
            assert torch.equal(x, y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("method", METHODS)
def test_half_precision_is_only_that_of_the_result(method: Method, dtype: torch.dtype) -> None:
    guidance, feature, embedding = maps(2, (6, 7), dtype)
    large, _, _ = maps(1, (32, 32), dtype)
    assert torch.equal(minimum_spanning_tree(large).parent, minimum_spanning_tree(large.float()).parent)
    tree = minimum_spanning_tree(guidance)
    for embedded in (embedding, embedding.float()):  # autocast hands over either
        found = tree_filter(feature, embedded, tree, 2, method)
        assert torch.equal(found, tree_filter(feature.float(), embedding.float(), tree, 2, method).to(dtype))
    found, grad_feature, grad_embedding = results(feature, embedding, tree, 2, method)
    assert found.dtype == grad_feature.dtype == grad_embedding.dtype == dtype
    assert grad_embedding.abs().sum() > 0


@pytest.mark.parametrize("method", METHODS)
def test_channels_of_a_group_may_change_places(method: Method) -> None:
    guidance, feature, embedding = maps(2, (6, 7))
    tree = minimum_spanning_tree(guidance)
    swapped = [1, 0, 3, 2]
    wanted = tree_filter(feature, embedding, tree, 2, method)
    found = tree_filter(feature[:, swapped], embedding[:, swapped], tree, 2, method)
    torch.testing.assert_close(found, wanted[:, swapped])
    other = tree_filter(feature[:, [2, 1, 0, 3]], embedding, tree, 2, method)[:, [2, 1, 0, 3]]
    assert not torch.allclose(other[:, [0, 2]], wanted[:, [0, 2]], atol=1e-3), "each group has similarities of its own"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (4, 5)])
def test_equal_embeddings_give_the_mean_of_the_image(method: Method, size: tuple[int, int]) -> None:
    guidance, feature, embedding = maps(2, size)
    out, grad_feature, grad_embedding = results(
        feature, torch.ones_like(embedding), minimum_spanning_tree(guidance), 2, method
    )
    torch.testing.assert_close(out, feature.mean(dim=(2, 3), keepdim=True).expand_as(out))
    torch.testing.assert_close(grad_feature, grad_feature.mean(dim=(2, 3), keepdim=True).expand_as(out))
    assert (grad_embedding == 0).all()


def test_among_equal_edges_rows_are_joined_first() -> None:
    tree = minimum_spanning_tree(torch.full((1, 3, 3, 4), 7.0))
    assert tree.parent[0].view(3, 4).tolist() == [[0, 0, 1, 2], [0, 1, 2, 3], [4, 5, 6, 7]]
    assert tree.depth == 5


def test_order_is_breadth_first_and_the_depth_its_last() -> None:
    tree = minimum_spanning_tree(maps(2, (9, 8))[0])
    deepest = 0
    for order, parent in zip(tree.order.tolist(), tree.parent.tolist()):
        depth = {0: 0}
        for vertex in order[1:]:
            depth[vertex] = depth[parent[vertex]] + 1
        assert order[0] == parent[0] == 0
        assert list(depth.values()) == sorted(depth.values())
        deepest = max(deepest, *depth.values())
    assert tree.depth == deepest


@settings(max_examples=20)
@given(size=st.sampled_from([(1, 1), (1, 6), (4, 5)]), seed=st.integers(0, 2**16))
def test_a_tree_is_known_by_its_edges(size: tuple[int, int], seed: int) -> None:
    """In any order, from either end, and for any graph: a vertex may have many neighbours."""
    generator = torch.Generator().manual_seed(seed)
    tree = minimum_spanning_tree(torch.randn(1, 2, *size, generator=generator))
    count = size[0] * size[1]
    edges = torch.stack([torch.arange(1, count), tree.parent[0, 1:]], dim=-1)
    edges = torch.where(torch.rand(count - 1, 1, generator=generator) < 0.5, edges, edges.flip(1))
    again = spanning_tree(edges[torch.randperm(count - 1, generator=generator)].unsqueeze(0))
    assert torch.equal(again.parent, tree.parent)
    assert again.depth == tree.depth
    star = spanning_tree(torch.stack([torch.arange(1, count), torch.zeros(count - 1).long()], dim=-1).unsqueeze(0))
    assert star.depth == min(count - 1, 1)
    assert (star.parent == 0).all()


def test_guidance_gets_no_gradient() -> None:
    guidance, feature, embedding = (x.requires_grad_() for x in maps(1, (3, 4)))
    tree_filter(feature, embedding, minimum_spanning_tree(guidance)).square().sum().backward()
    assert guidance.grad is None
    assert feature.grad is not None
    assert embedding.grad is not None


def test_what_is_no_tree_is_refused() -> None:
    with pytest.raises(ValueError, match="which is no tree"):
        spanning_tree(torch.tensor([[[0, 1], [1, 2], [0, 2]]]))
    with pytest.raises(ValueError, match="image 1: 2 edges join 2 of 3 vertices"):
        spanning_tree(torch.tensor([[[0, 1], [1, 2]], [[0, 1], [1, 0]]]))
    with pytest.raises(ValueError, match="the vertices 0 to 2, not 0 to 3"):
        spanning_tree(torch.tensor([[[0, 1], [1, 3]]]))
    with pytest.raises(ValueError, match="the vertices 0 to 2, not -1 to 1"):
        spanning_tree(torch.tensor([[[0, 1], [1, -1]]]))


def test_maps_that_do_not_fit_are_refused() -> None:
    tree = minimum_spanning_tree(torch.rand(1, 1, 2, 2))
    for channels in ((3, 2), (2, 3)):
        feature, embedding = (torch.rand(1, count, 2, 2) for count in channels)
        with pytest.raises(ValueError, match="cannot share"):
            tree_filter(feature, embedding, tree, groups=2)
    for shape in ((2, 2, 2, 2), (1, 2, 1, 2), (1, 2, 2, 1)):
        with pytest.raises(ValueError, match="but embedding"):
            tree_filter(torch.rand(1, 2, 2, 2), torch.rand(shape), tree)
    for shape in ((2, 2, 2, 2), (1, 2, 2, 3)):
        with pytest.raises(ValueError, match="but trees of"):
            tree_filter(torch.rand(shape), torch.rand(shape), tree)
