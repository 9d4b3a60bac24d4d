"""The learnable tree filter (1909.12513): every pixel becomes a mean of all, weighted by similarity along a tree.

The tree joins pixels to neighbours above, below, left and right at the least total difference of a guidance map: it
follows objects and seldom crosses their outlines. Two pixels are as similar as the product of the weights of the edges
between them, exp(-squared difference of their embeddings). Two passes over the tree, from the leaves to the root and
back, sum over all pairs of pixels in linear time.

A CPU makes the tree edge by edge and walks it vertex by vertex (`tree_walk.py`); other devices, and exported graphs,
make all its parts at once (`tree_boruvka.py`) and sum along all vertices' paths to the root at once (`tree_jump.py`).
Sums are in float64: they run over a whole image, and the gradient of an edge's weight is a small difference between
them.
Shape suffixes: B images, C channels of the feature, E of the embedding, N of the guidance, H W pixels, G groups,
V = H * W vertices (vertex y * W + x is pixel y, x), S edges of the grid, T = V - 1 of a tree.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cvzoo.zoo.treefilter.tree_boruvka import boruvka
from cvzoo.zoo.treefilter.tree_jump import jumping_filter
from cvzoo.zoo.treefilter.tree_walk import breadth_first, filtered, gradients, in_threads, kruskal

Method = Literal["walk", "jump"]
"""Vertex by vertex, by a program on a CPU; or all at once, in as many rounds as the tree's depth has binary digits."""


class Tree(NamedTuple):
    """A spanning tree of each image's pixels; its root is vertex 0."""

    parent: Tensor
    """(B, V) int64: the next vertex on the way to the root; the root's is itself."""
    depth: int
    """No vertex is farther from the root, in edges, in any image."""
    order: Tensor | None
    """(B, V) int64: the vertices, breadth first from the root. None where nobody walks the tree."""


@torch.compiler.disable()  # thousands of operations on a GPU; on a CPU it would trace Numba at its work
def minimum_spanning_tree(guidance_BNHW: Tensor, method: Method | None = None) -> Tree:
    """The tree whose edges have the least sum of squared differences of the guidance, which gets no gradient.

    Among equal edges those between rows come before those between columns, and then in reading order.

    Args:
        method: None is that of the device; the tree is the same, but one that was made by jumps cannot be walked.
    """
    batch, _, height, width = guidance_BNHW.shape
    vertices = torch.arange(height * width, device=guidance_BNHW.device).view(height, width)
    down = torch.stack([vertices[:-1], vertices[1:]], dim=-1).view(-1, 2)
    right = torch.stack([vertices[:, :-1], vertices[:, 1:]], dim=-1).view(-1, 2)
    method = method or _method(guidance_BNHW)
    cost_BS = (_edge_costs if method == "walk" else _edge_costs_at_once)(guidance_BNHW.detach())
    edges_S2, order_BS = torch.cat([down, right]), cost_BS.sort(stable=True).indices
    if method == "jump":
        return Tree(boruvka(edges_S2, order_BS, height * width), height * width - 1, None)
    tree_BT2 = torch.empty(batch, height * width - 1, 2, dtype=torch.int64)
    in_threads(kruskal, edges_S2[order_BS], tree_BT2)
    return spanning_tree(tree_BT2)


def _method(tensor: Tensor) -> Method:
    return "walk" if tensor.device.type == "cpu" and not torch.compiler.is_exporting() else "jump"


def _edge_costs(guidance_BNHW: Tensor) -> Tensor:
    """(B, S): squared differences down all columns, then along all rows, in float64.

    Channel by channel: the order of the sum, and so the tree, is the same for every batch and layout in memory.
    """
    batch, _, height, width = guidance_BNHW.shape
    down = guidance_BNHW.new_zeros(batch, height - 1, width, dtype=torch.float64)
    right = guidance_BNHW.new_zeros(batch, height, width - 1, dtype=torch.float64)
    for x in guidance_BNHW.unbind(dim=1):
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        down += (x[:, 1:] - x[:, :-1]).square_()
        right += (x[:, :, 1:] - x[:, :, :-1]).square_()
    return torch.cat([down.flatten(1), right.flatten(1)], dim=1)


def _edge_costs_at_once(guidance_BNHW: Tensor) -> Tensor:
    """The same for devices, and graphs, to which a channel at a time would be hundreds of steps."""
    x = guidance_BNHW.to(torch.promote_types(guidance_BNHW.dtype, torch.float32)).contiguous()
    down, right = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
    return torch.cat([step.square().sum(dim=1, dtype=torch.float64).flatten(1) for step in (down, right)], dim=1)


def spanning_tree(edges_BT2: Tensor) -> Tree:
    """The tree that given edges make, pairs of vertices in any order; ValueError where they make none."""
    batch, edges = edges_BT2.shape[:2]
    if ((edges_BT2 < 0) | (edges_BT2 > edges)).any():
        raise ValueError(f"{edges} edges join the vertices 0 to {edges}, not {edges_BT2.min()} to {edges_BT2.max()}")
    order_BV, parent_BV = torch.zeros(2, batch, edges + 1, dtype=torch.int64)
    found = in_threads(breadth_first, edges_BT2.long().cpu().contiguous(), order_BV, parent_BV)
    for image, (reached, _) in enumerate(found):
        if reached <= edges:
            raise ValueError(f"image {image}: {edges} edges join {reached} of {edges + 1} vertices, which is no tree")
    device = edges_BT2.device
    return Tree(parent_BV.to(device), max(depth for _, depth in found), order_BV.to(device))


@torch.compiler.disable()
def tree_filter(
    feature_BCHW: Tensor, embedding_BEHW: Tensor, tree: Tree, groups: int = 1, method: Method | None = None
) -> Tensor:
    """y_i = sum_j S_ij x_j / sum_j S_ij, in the feature's shape and type (1909.12513, section 3.2).

    S_ij is the product of exp(-squared difference of the embeddings) over the edges between i and j, and S_ii = 1. Each
    group has its share of the channels of both, and an S of its own. Feature and embedding get gradients.

    Args:
        tree: of the same images.
        method: None walks on the CPU and jumps elsewhere.

    Raises: ValueError where groups, shapes or method do not fit one another.
    """
    batch, channels, height, width = feature_BCHW.shape
    if channels % groups or embedding_BEHW.shape[1] % groups:
        raise ValueError(f"{groups} groups cannot share {channels} and {embedding_BEHW.shape[1]} channels evenly")
    if embedding_BEHW.shape[::2] != (batch, height) or embedding_BEHW.shape[3] != width:
        raise ValueError(f"feature {tuple(feature_BCHW.shape)}, but embedding {tuple(embedding_BEHW.shape)}")
    if tree.parent.shape != (batch, height * width):
        raise ValueError(f"feature {tuple(feature_BCHW.shape)}, but trees of {tuple(tree.parent.shape)} vertices")
    walks = (method or _method(feature_BCHW)) == "walk"
    if walks and tree.order is None:
        raise ValueError("a tree that was made by jumps is filtered by jumps")
    dtype = torch.promote_types(torch.promote_types(feature_BCHW.dtype, embedding_BEHW.dtype), torch.float32)
    feature, embedding = (
        x.to(dtype).flatten(2).unflatten(1, (groups, -1)).contiguous() for x in (feature_BCHW, embedding_BEHW)
    )
    if walks:
        out = _Walk.apply(feature, embedding, tree)
    else:
        out = jumping_filter(feature, embedding, tree.parent, tree.depth)
    return out.view_as(feature_BCHW).to(feature_BCHW.dtype)


class _Walk(torch.autograd.Function):
    """The filter on the CPU. Keeps nothing but its inputs, and needs sums of one group at a time and thread."""

    @staticmethod
    def forward(ctx: Any, feature_BGDV: Tensor, embedding_BGFV: Tensor, tree: Tree) -> Tensor:
        ctx.save_for_backward(feature_BGDV, embedding_BGFV)
        ctx.tree = tree
        out_BGDV = torch.empty_like(feature_BGDV)
        in_threads(filtered, *_by_group(tree, feature_BGDV, embedding_BGFV), out_BGDV.flatten(0, 1))
        return out_BGDV

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        inputs = ctx.saved_tensors
        grad_feature, grad_embedding = (torch.empty_like(x) for x in inputs)
        passed = (x.flatten(0, 1) for x in (grad_outputs[0].contiguous(), grad_feature, grad_embedding))
        in_threads(gradients, *_by_group(ctx.tree, *inputs), *passed)
        return grad_feature, grad_embedding, None


def _by_group(tree: Tree, feature_BGDV: Tensor, embedding_BGFV: Tensor) -> list[Iterable[Tensor]]:
    """Feature, embedding, order and parents of each group of each image."""
    groups = feature_BGDV.shape[1]
    assert tree.order is not None
    walks = ([row for row in rows for _ in range(groups)] for rows in (tree.order, tree.parent))
    return [feature_BGDV.flatten(0, 1), embedding_BGFV.flatten(0, 1), *walks]
