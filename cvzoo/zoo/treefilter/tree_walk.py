"""Trees and their filter on the CPU, vertex by vertex: compiled by Numba on first use, and kept on disk.

The kernels take one image, or one group of its channels, and let go of Python's lock: `in_threads`
runs them side by side.
Shape suffixes: V vertices, S edges in the order of their cost, T = V - 1 edges of a tree, D channels of the feature and
F of the embedding in a group, K = 1 + channels of a block: the last one is the similarities' sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvzoo.ops.compiled import compiled

Kernel = Callable[..., Any]
Array = NDArray[Any]

BLOCK = 8
"""So many channels are summed at a time: what that needs stays in a processor's caches."""


def in_threads(kernel: Kernel, *arguments: Iterable[Tensor]) -> list[Any]:
    """What the kernel returns for the n-th of every argument, for all n, in as many threads as torch may use."""
    tasks = [[tensor.detach().numpy() for tensor in task] for task in zip(*arguments, strict=True)]
    threads = min(len(tasks), torch.get_num_threads())
    if threads < 2:
        return [kernel(*task) for task in tasks]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda task: kernel(*task), tasks))


@compiled
def kruskal(edges_S2: Array, tree_T2: Array) -> None:
    """Write the tree that the first edges make which close no cycle."""
    leader_V = np.arange(len(tree_T2) + 1)
    found = 0
    for edge in range(len(edges_S2)):
        one, other = edges_S2[edge]
        while leader_V[one] != one:
            leader_V[one] = leader_V[leader_V[one]]
            one = leader_V[one]
        while leader_V[other] != other:
            leader_V[other] = leader_V[leader_V[other]]
            other = leader_V[other]
        if one != other:
            leader_V[max(one, other)] = min(one, other)
            tree_T2[found] = edges_S2[edge]
            found += 1


@compiled
def breadth_first(tree_T2: Array, order_V: Array, parent_V: Array) -> tuple[int, int]:
    """Write order and parents from vertex 0; returns how many vertices it reaches, and the edges to the farthest."""
    vertices = len(order_V)
    # the edges at each vertex as a linked list: end 2 * t + side of edge t leads to the next end at the same vertex
    first_V, following = np.full(vertices, -1), np.empty(2 * len(tree_T2), np.int64)
    for end in range(len(following)):
        vertex = tree_T2[end // 2, end % 2]
        following[end], first_V[vertex] = first_V[vertex], end
    depth_V = np.full(vertices, -1)
    order_V[0], parent_V[0], depth_V[0] = 0, 0, 0
    reached, place = 1, 0
    while place < reached:
        vertex = order_V[place]
        end = first_V[vertex]
        while end >= 0:
            neighbour = tree_T2[end // 2, 1 - end % 2]
            if depth_V[neighbour] < 0:
                order_V[reached], parent_V[neighbour], depth_V[neighbour] = neighbour, vertex, depth_V[vertex] + 1
                reached += 1
            end = following[end]
        place += 1
    return reached, int(depth_V[order_V[reached - 1]])


@compiled
def _edge_weights(embedding_FV: Array, parent_V: Array) -> Array:
    """(V,): exp(-squared difference) between each vertex and its parent; the root's is not used."""
    cost_V = np.zeros(len(parent_V))
    for x_V in embedding_FV:
        for i in range(len(parent_V)):
            step = x_V[i] - x_V[parent_V[i]]
            cost_V[i] += step * step
    return np.exp(-cost_V)


@compiled
def _two_passes(x_VK: Array, weight_V: Array, order_V: Array, parent_V: Array) -> Array:
    """(V, K): sum_j S_ij x_j over the tree. Turns x into the sums over the subtrees below each vertex."""
    up_VK = x_VK
    for i in order_V[:0:-1]:
        for k in range(up_VK.shape[1]):
            up_VK[parent_V[i], k] += weight_V[i] * up_VK[i, k]
    all_VK = np.empty_like(up_VK)
    all_VK[0] = up_VK[0]
    for i in order_V[1:]:
        weight = weight_V[i]
        for k in range(up_VK.shape[1]):
            all_VK[i, k] = (1 - weight * weight) * up_VK[i, k] + weight * all_VK[parent_V[i], k]
    return all_VK


@compiled
def _sums(feature_DV: Array, weight_V: Array, order_V: Array, parent_V: Array) -> tuple[Array, Array]:
    """(V, K) each: sums of the feature, and of 1, over subtrees and over the tree."""
    up_VK = np.ones((feature_DV.shape[1], feature_DV.shape[0] + 1))
    up_VK[:, :-1] = feature_DV.T
    all_VK = _two_passes(up_VK, weight_V, order_V, parent_V)
    return up_VK, all_VK


@compiled
def filtered(feature_DV: Array, embedding_FV: Array, order_V: Array, parent_V: Array, out_DV: Array) -> None:
    """Write the mean of the feature over the tree."""
    weight_V = _edge_weights(embedding_FV, parent_V)
    for first in range(0, len(feature_DV), BLOCK):
        _, all_VK = _sums(feature_DV[first : first + BLOCK], weight_V, order_V, parent_V)
        for i in range(len(all_VK)):
            for d in range(all_VK.shape[1] - 1):
                out_DV[first + d, i] = all_VK[i, d] / all_VK[i, -1]


@compiled
def gradients(
    feature_DV: Array,
    embedding_FV: Array,
    order_V: Array,
    parent_V: Array,
    grad_DV: Array,
    grad_feature_DV: Array,
    grad_embedding_FV: Array,
) -> None:
    """Write the gradients of feature and embedding, given that of the mean; the sums are computed again."""
    weight_V = _edge_weights(embedding_FV, parent_V)
    grad_weight_V = np.zeros(len(weight_V))
    for first in range(0, len(feature_DV), BLOCK):
        up_VK, all_VK = _sums(feature_DV[first : first + BLOCK], weight_V, order_V, parent_V)
        grad_up_VK = _grad_of_sums(grad_DV[first : first + BLOCK], all_VK)
        grad_all_VK = _two_passes(grad_up_VK, weight_V, order_V, parent_V)
        grad_feature_DV[first : first + BLOCK] = grad_all_VK[:, :-1].T
        for i in range(1, len(weight_V)):
            weight, parent = weight_V[i], parent_V[i]
            for k in range(up_VK.shape[1]):
                grad_weight_V[i] += grad_up_VK[i, k] * (all_VK[parent, k] - weight * up_VK[i, k])
                grad_weight_V[i] += up_VK[i, k] * (grad_all_VK[parent, k] - weight * grad_up_VK[i, k])
    for x_V, grad_V in zip(embedding_FV, grad_embedding_FV):
        grad_V[:] = 0
        for i in range(1, len(parent_V)):
            step = -2 * weight_V[i] * grad_weight_V[i] * (x_V[i] - x_V[parent_V[i]])
            grad_V[i] += step
            grad_V[parent_V[i]] -= step


@compiled
def _grad_of_sums(grad_DV: Array, all_VK: Array) -> Array:
    """(V, K): the gradient of the sums over the tree, given that of the mean."""
    grad_VK = np.empty_like(all_VK)
    for i in range(len(all_VK)):
        total = 0.0
        for d in range(len(grad_DV)):
            grad_VK[i, d] = grad_DV[d, i] / all_VK[i, -1]
            total += grad_VK[i, d] * all_VK[i, d]
        grad_VK[i, -1] = -total / all_VK[i, -1]
    return grad_VK
