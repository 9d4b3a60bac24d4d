"""The filter of `tree.py` in whole tensors, for devices that would be idle in a walk along a thousand levels.

The pass to the root adds to every vertex its descendants, (I - N)^-1 x, where N hands weight times value from a vertex
to its parent; the pass back is its transpose. With n levels, (I - N)^-1 = (I + N)(I + N^2)(I + N^4)... has log2 n
factors, and N^2k follows two jumps of N^k: to an ancestor, with the product of the weights on the way.
Shape suffixes: B images, V vertices, R = B * V, G groups, D channels of the feature and F of the embedding in a group,
K = D + 1: the last one sums up the similarities.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cvzoo.zoo.treefilter.doubling import doubled


def jumping_filter(feature_BGDV: Tensor, embedding_BGFV: Tensor, parent_BV: Tensor, depth: int) -> Tensor:
    """(B, G, D, V): the mean of the feature over the tree, in the feature's type."""
    batch, groups, _, vertices = feature_BGDV.shape
    first_B1 = torch.arange(batch, device=parent_BV.device).unsqueeze(1) * vertices
    x_RGD = feature_BGDV.double().permute(0, 3, 1, 2).flatten(0, 1)
    x_RGK = torch.cat([x_RGD, torch.ones_like(x_RGD[..., :1])], dim=-1)
    weight_RG1 = _edge_weights(embedding_BGFV, parent_BV).transpose(1, 2).reshape(-1, groups, 1)
    all_RGK = _Sums.apply(x_RGK, weight_RG1, (parent_BV + first_B1).flatten(), depth)
    y_RGD = all_RGK[..., :-1] / all_RGK[..., -1:]
    return y_RGD.unflatten(0, (batch, vertices)).permute(0, 2, 3, 1).to(feature_BGDV.dtype).contiguous()


def _edge_weights(embedding_BGFV: Tensor, parent_BV: Tensor) -> Tensor:
    """(B, G, V) float64: exp(-squared difference) between each vertex and its parent, and 0 at the root."""
    parents = embedding_BGFV.gather(3, parent_BV[:, None, None].expand_as(embedding_BGFV))
    cost_BGV = (embedding_BGFV - parents).square().sum(dim=2, dtype=torch.float64)
    is_root = torch.arange(parent_BV.shape[1], device=parent_BV.device) == 0
    return cost_BGV.neg().exp().masked_fill(is_root, 0)


def _sums(x_RGK: Tensor, weight_RG1: Tensor, parent_R: Tensor, depth: int) -> tuple[Tensor, Tensor]:
    """(R, G, K) each: sums over the subtree below each vertex, and sum_j S_ij x_j over the whole tree."""

    def up(up_RGK: Tensor, *jump: Tensor) -> tuple[Tensor, ...]:
        ancestor_R, product_RG1 = jump
        return up_RGK.index_add_(0, ancestor_R, product_RG1 * up_RGK), *_twice(*jump)

    def back(all_RGK: Tensor, *jump: Tensor) -> tuple[Tensor, ...]:
        ancestor_R, product_RG1 = jump
        return all_RGK.add_(product_RG1 * all_RGK[ancestor_R]), *_twice(*jump)

    up_RGK, *_ = doubled(up, (x_RGK.clone(), parent_R, weight_RG1), depth)
    all_RGK, *_ = doubled(back, ((1 - weight_RG1.square()) * up_RGK, parent_R, weight_RG1), depth)
    return up_RGK, all_RGK


def _twice(ancestor_R: Tensor, product_RG1: Tensor) -> tuple[Tensor, Tensor]:
    """Jumps of double length, and the products of the weights on their ways."""
    return ancestor_R[ancestor_R], product_RG1 * product_RG1[ancestor_R]


class _Sums(torch.autograd.Function):
    """sum_j S_ij x_j; S is symmetric, so that its gradient is the same sum."""

    @staticmethod
    def forward(ctx: Any, x_RGK: Tensor, weight_RG1: Tensor, parent_R: Tensor, depth: int) -> Tensor:
        up_RGK, all_RGK = _sums(x_RGK, weight_RG1, parent_R, depth)
        ctx.save_for_backward(weight_RG1, parent_R, up_RGK, all_RGK)
        ctx.depth = depth
        return all_RGK

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, Tensor, None, None]:
        weight, parent_R, up, all_ = ctx.saved_tensors
        grad_up, grad_all = _sums(grad_outputs[0], weight, parent_R, ctx.depth)
        grad_weight = grad_up * (all_[parent_R] - weight * up) + up * (grad_all[parent_R] - weight * grad_up)
        return grad_all, grad_weight.sum(dim=-1, keepdim=True), None, None
