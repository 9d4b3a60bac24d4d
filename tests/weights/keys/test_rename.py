"""Tables of (pattern, replacement)."""

from __future__ import annotations

import pytest
import torch

from cvzoo.weights.errors import WeightsError
from cvzoo.weights.keys.rename import renamed


def test_all_rules_apply_in_their_order() -> None:
    state = {"a.weight": torch.zeros(1), "a.b.weight": torch.ones(1)}
    ours = renamed(state, ((r"^a\.", "b."), (r"^b\.b\.", "c."), (r"weight$", "w")))
    assert ours == {"b.w": state["a.weight"], "c.w": state["a.b.weight"]}
    assert all(any(x is y for y in state.values()) for x in ours.values()), "tensors are not copied"


def test_keys_that_no_rule_knows_stay_as_they_are() -> None:
    state = {"something.else": torch.zeros(1)}
    assert renamed(state, ((r"^a\.", "b."),)) == state


def test_what_a_toolbox_keeps_beside_its_weights_is_left_out() -> None:
    state = dict.fromkeys(["a.pixel_mean", "a.weight"], torch.zeros(1))
    assert set(renamed(state, ((r"^a\.", "b."),), drop="pixel_mean$")) == {"b.weight"}


def test_one_layer_under_two_names_is_an_error() -> None:
    state = dict.fromkeys(["old.weight", "new.weight"], torch.zeros(1))
    with pytest.raises(WeightsError, match=r"new\.weight twice, as old\.weight and as new\.weight; remove one of them"):
        renamed(state, ((r"^old\.", "new."),))
