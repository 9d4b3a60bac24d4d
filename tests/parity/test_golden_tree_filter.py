"""Golden cases of the learnable tree filter: trees, means and gradients of an oracle in float64."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from parity.evidence import proves, record
from parity.golden import GOLDEN, Case, Report, load_case
from parity.options import must_be
from torch import Tensor

from cvzoo.zoo.treefilter.tree import Method, Tree, minimum_spanning_tree, spanning_tree, tree_filter

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


def compare_filter(report: Report, case: Case, tree: Tree, method: Method) -> None:
    """Means along a tree, and their gradients."""
    feature, embedding = (case.inputs[name].clone().requires_grad_() for name in ("feature", "embedding"))
    out = tree_filter(feature, embedding, tree, case.info["options"]["groups"], method)
    (out * case.inputs["upstream_gradient"]).sum().backward()
    report.close(f"{method} output", out.detach(), case.expected["output"])
    for which, x in (("feature", feature), ("embedding", embedding)):
        assert x.grad is not None
        relative = case.info["tolerance"]["grad_relative"]
        report.close(f"{method} grad.{which}", x.grad, case.expected[f"grad.{which}"], relative)


@proves("treefilter", "TreeFilter-Torch, operator")
@pytest.mark.parametrize("golden_case", CASES)
def test_golden_tree_filter(golden_case: str, request: pytest.FixtureRequest) -> None:
    """The filter runs on the tree of the guidance, and on the reference's own: the only one that fits where edges are
    equal."""
    case = load_case(golden_case)
    must_be(case.info["options"], connectivity=4, distance="squared L2", normalised=True, sigma=None)
    report, own = Report(case.info["tolerance"]["relative"]), minimum_spanning_tree(case.inputs["guidance"])
    report.close("tree_weight", weight_of(own, case.inputs["guidance"]), case.expected["tree_weight"])
    trees = [spanning_tree(case.expected["tree_edges"])]
    if "ties" not in golden_case:
        report.equal("tree_edges", edges_of(own), case.expected["tree_edges"])
        trees.append(own)
    for tree in trees:
        for method in get_args(Method):
            compare_filter(report, case, tree, method)
    record(request.node, report)
    assert not case.info["options"].unread()
