"""Options know what was read."""

from __future__ import annotations

from typing import Any

import pytest
from parity.options import Options, must_be

STATED: dict[str, Any] = {
    "depth": 50,
    "sizes": [[8, 16], [32]],
    "head": {"convs": 4, "norm": {"type": "GN", "groups": 32}, "init": {}},
    "stages": [{"iou": 0.5}, {"iou": 0.6, "loss": {"beta": 1.0}}],
}
NAMES = ["depth", "sizes", "head.convs", "head.norm.type", "head.norm.groups", "head.init"]
NAMES += ["stages.0.iou", "stages.1.iou", "stages.1.loss.beta"]


def test_all_is_unread_at_first() -> None:
    assert Options(STATED).unread() == NAMES


def test_looking_at_keys_reads_nothing() -> None:
    options = Options(STATED)
    assert "depth" in options
    assert "width" not in options
    assert list(options) == list(STATED)
    assert len(options) == 4
    assert "groups" in options["head"]["norm"]
    assert options.unread() == NAMES


def test_each_value_is_read_on_its_own() -> None:
    options = Options(STATED)
    assert options["depth"] == 50
    assert options.get("width") is None
    assert options["sizes"] == [[8, 16], [32]]
    assert options["head"]["norm"].get("groups") == 32
    assert options["stages"][1]["loss"]["beta"] == 1.0
    assert options.unread() == ["head.convs", "head.norm.type", "head.init", "stages.0.iou", "stages.1.iou"]


def test_a_comparison_reads_all_of_a_mapping() -> None:
    options = Options(STATED)
    assert options["head"] == STATED["head"]
    assert options["stages"] == STATED["stages"]
    assert options.unread() == ["depth", "sizes"]


def test_items_are_read() -> None:
    options = Options(STATED)
    assert dict(options["head"]["norm"]) == STATED["head"]["norm"]
    assert "head.norm.type" not in options.unread()


def test_what_has_no_effect_counts_as_read_with_all_in_it() -> None:
    options = Options(STATED)
    options.without_effect({"head.norm": "a reason", "dep": "no name of an option", "stages.0.iou": "a reason"})
    assert options.unread() == ["depth", "sizes", "head.convs", "head.init", "stages.1.iou", "stages.1.loss.beta"]


def test_options_with_one_supported_value_are_read_or_refused_by_name() -> None:
    options = Options(STATED)
    must_be(options["head"], convs=4, norm={"type": "GN", "groups": 32}, init={}, kernel=3)
    assert options.unread() == ["depth", "sizes", "stages.0.iou", "stages.1.iou", "stages.1.loss.beta"]
    with pytest.raises(AssertionError, match="depth 50 is not supported, only 101"):
        must_be(options, depth=101)
