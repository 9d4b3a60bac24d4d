"""Spanning trees of all images at once, in whole tensors, which no one has to wait for on a GPU (Boruvka, 1926).

Every vertex begins as a tree of its own. In each round every tree takes the least edge that leaves it, turns itself so
that its end of this edge becomes its root, and hangs that from the other end. A round halves the trees at least, and
log2 V rounds suffice; along paths it moves by jumps that double.
No two edges are equal, for each has a rank: the tree is the one that Kruskal's algorithm finds.
Shape suffixes: B images, V vertices of each, R = B * V, S edges of each image's grid, E = B * S.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cvzoo.zoo.treefilter.doubling import doubled


def boruvka(edges_S2: Tensor, order_BS: Tensor, vertices: int) -> Tensor:
    """(B, V) int64: each vertex's next one on the way to vertex 0, whose own is itself.

    Args:
        edges_S2: the pairs of vertices that edges join, the same in all images.
        order_BS: the edges of each image by ascending cost.
        vertices: V.
    """
    batch = order_BS.shape[0]
    each_R = torch.arange(batch * vertices, device=order_BS.device)
    first_B1 = each_R.view(batch, vertices)[:, :1]
    ends_E2 = (edges_S2[order_BS] + first_B1.unsqueeze(2)).flatten(0, 1)  # the place of an edge is its rank
    farthest = vertices - 1

    def joined(parent_R: Tensor, root_R: Tensor) -> tuple[Tensor, Tensor]:
        inner_R, outer_R, hangs_R = _links(root_R, ends_E2)
        parent_R = _turned(parent_R, inner_R, outer_R, hangs_R, farthest)
        link_R = torch.where(hangs_R, root_R[outer_R], each_R)
        (link_R,) = doubled(lambda link_R: (link_R[link_R],), (link_R,), farthest)
        return parent_R, link_R[root_R]

    parent_R, _ = doubled(joined, (each_R, each_R), farthest)
    wanted_R = first_B1.expand(-1, vertices).flatten()
    parent_R = _turned(parent_R, wanted_R, wanted_R, each_R == wanted_R, farthest)
    return parent_R.view(batch, vertices) - first_B1


def _links(root_R: Tensor, ends_E2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(R,) each: the ends, inside and outside, of the least edge that leaves a root's tree; whether it hangs.

    Of two trees that take the same edge, the one with the smaller root stays.
    """
    none = ends_E2.shape[0]
    each_R, rank_E = (torch.arange(count, device=root_R.device) for count in (root_R.shape[0], none))
    one_E, other_E = root_R[ends_E2].unbind(1)
    leaving_E = rank_E.masked_fill(one_E == other_E, none)
    least_R = torch.full_like(root_R, none)
    for root_E in (one_E, other_E):
        least_R = least_R.scatter_reduce(0, root_E, leaving_E, "amin")
    first_R, second_R = ends_E2[least_R.clamp(max=none - 1)].unbind(1)
    is_first = root_R[first_R] == each_R
    inner_R, outer_R = torch.where(is_first, first_R, second_R), torch.where(is_first, second_R, first_R)
    goal_R = root_R[outer_R]
    stays_R = (least_R[goal_R] == least_R) & (goal_R > each_R)
    return inner_R, outer_R, (least_R < none) & ~stays_R


def _turned(parent_R: Tensor, start_R: Tensor, goal_R: Tensor, hangs_R: Tensor, farthest: int) -> Tensor:
    """(R,) parents with the way from start to root turned round, and start hung from goal, of the roots that hang."""
    nowhere = parent_R.shape[0]
    each = torch.arange(nowhere + 1, device=parent_R.device)
    parent = torch.cat([parent_R, each[-1:]])
    start_R = start_R.masked_fill(~hangs_R, nowhere)

    def longer(on_way: Tensor, jump: Tensor) -> tuple[Tensor, Tensor]:
        return on_way.scatter_reduce(0, jump, on_way, "amax"), jump[jump]

    on_way, _ = doubled(longer, (torch.zeros_like(each).scatter(0, start_R, 1), parent), farthest)
    from_below = parent.masked_fill((on_way == 0) | (parent == each), nowhere)
    return parent.scatter(0, from_below, each).scatter(0, start_R, goal_R)[:-1]
