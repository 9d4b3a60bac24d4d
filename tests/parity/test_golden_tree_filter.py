"""Golden cases of the learnable tree filter: trees, means and gradients of an oracle in float64."""

from __future__ import annotations

import pytest
import torch
from parity.golden import GOLDEN, Report, load_case
from torch import Tensor

from cvzoo.ops.tree import Method, Tree, minimum_spanning_tree, spanning_tree, tree_filter

CASES = sorted(str(path.parent.relative_to(GOLDEN)) for path in GOLDEN.glob("ops_tree_filter/*/case.json"))


def edges_of(tree: Tree) -> Tensor:
    """(B, V - 1, 2): pairs of vertices, the smaller first, sorted."""
    children = torch.arange(1, tree.parent.shape[1])
    pairs = torch.stack([tree.parent[:, 1:], children.expand_as(tree.parent[:, 1:])], dim=-1).sort(dim=-1).values
    order = (pairs[..., 0] * tree.parent.shape[1] + pairs[..., 1]).argsort(dim=1)
    return pairs.gather(1, order.unsqueeze(-1).expand_as(pairs))


def weight_of(tree: Tree, guidance: Tensor) -> Tensor:
    """(B,): the sum of the tree's squared differences."""
    x = guidance.double().flatten(2)
    return (x - x.gather(2, tree.parent.unsqueeze(1).expand_as(x))).square().sum(dim=(1, 2))


@pytest.mark.parametrize("name", CASES)
def test_tree(name: str) -> None:
    case = load_case(name)
    tree = minimum_spanning_tree(case.inputs["guidance"])
    report = Report(case.info["tolerance"]["relative"])
    report.close("tree_weight", weight_of(tree, case.inputs["guidance"]), case.expected["tree_weight"])
    if "ties" not in name:
        report.equal("tree_edges", edges_of(tree), case.expected["tree_edges"])
    report.finish()


@pytest.mark.parametrize("method", ["walk", "jump"])
@pytest.mark.parametrize(
    ("name", "given"), [(name, given) for name in CASES for given in (False, True) if given or "ties" not in name]
)
def test_filter(name: str, given: bool, method: Method) -> None:
    """On the tree of the guidance, and on the reference's own: the only one that fits where edges are equal."""
    case = load_case(name)
    feature, embedding = case.inputs["feature"].requires_grad_(), case.inputs["embedding"].requires_grad_()
    tree = spanning_tree(case.expected["tree_edges"]) if given else minimum_spanning_tree(case.inputs["guidance"])
    out = tree_filter(feature, embedding, tree, case.info["options"]["groups"], method)
    (out * case.inputs["upstream_gradient"]).sum().backward()
    tolerance = case.info["tolerance"]
    report = Report(tolerance["relative"])
    report.close("output", out.detach(), case.expected["output"])
    for which, x in (("feature", feature), ("embedding", embedding)):
        assert x.grad is not None
        report.close(f"grad.{which}", x.grad, case.expected[f"grad.{which}"], tolerance["grad_relative"])
    report.finish()
