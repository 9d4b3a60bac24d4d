"""The tree and its filter beside what they are by definition, on small grids."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cvzoo.ops.tree import Method, Tree, minimum_spanning_tree, spanning_tree, tree_filter

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
@settings(max_examples=15, deadline=None)
@given(size=st.sampled_from(SIZES), groups=st.sampled_from([1, 2]), seed=st.integers(0, 2**16))
def test_filter_and_its_gradients_are_the_definitions(
    method: Method, size: tuple[int, int], groups: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    feature, embedding, guidance, upstream = (
        torch.randn(2, 4, *size, generator=generator, dtype=torch.float64) for _ in range(4)
    )
    tree = minimum_spanning_tree(guidance)
    results = []
    for compute in (
        lambda x, e: tree_filter(x, e, tree, groups, method),
        lambda x, e: by_definition(x, e, tree, groups),
    ):
        x, e = feature.clone().requires_grad_(), (0.5 * embedding).requires_grad_()
        y = compute(x, e)
        grads = torch.autograd.grad((y * upstream).sum(), (x, e), materialize_grads=True)
        results.append((y.detach(), *grads))
    for found, wanted in zip(*results):
        torch.testing.assert_close(found, wanted, atol=1e-9, rtol=1e-7)


@settings(max_examples=20, deadline=None)
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


def test_what_is_no_tree_is_refused() -> None:
    with pytest.raises(ValueError, match="which is no tree"):
        spanning_tree(torch.tensor([[[0, 1], [1, 2], [0, 2]]]))
    tree = minimum_spanning_tree(torch.rand(1, 1, 2, 2))
    with pytest.raises(ValueError, match="cannot share"):
        tree_filter(torch.rand(1, 3, 2, 2), torch.rand(1, 2, 2, 2), tree, groups=2)
