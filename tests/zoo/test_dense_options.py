"""Whatever a case of a dense detector states, another value of it builds another model, or is refused.

So no option is read and then replaced by a constant.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from operator import getitem
from typing import Any

import pytest
from parity import config_detectron2, config_mmdet
from parity.golden import GOLDEN, Case, load_case
from parity.options import Options
from parity.run_dense import ConfigOf
from weights.as_mmdetection import as_mmdetection
from weights.reading import equal_states
from zoo.atss import from_mmdetection as atss_of
from zoo.fcos import from_detectron2 as fcos_of_detectron2
from zoo.fcos import from_mmdetection as fcos_of
from zoo.freeanchor import WITHOUT_EFFECT as OF_RETINANET
from zoo.freeanchor import from_mmdetection as freeanchor_of
from zoo.reppoints import from_mmdetection as reppoints_of
from zoo.retinanet import from_detectron2 as retinanet_of_detectron2
from zoo.retinanet import from_mmdetection as retinanet_of

from cvzoo.weights.strict import load_state

CONFIG_OF: dict[str, ConfigOf] = {
    "atss": atss_of,
    "fcos": fcos_of_detectron2,
    "fcos_mmdet": fcos_of,
    "freeanchor": freeanchor_of,
    "reppoints": reppoints_of,
    "retinanet": retinanet_of_detectron2,
    "retinanet_mmdet": retinanet_of,
}
"""By folder of golden cases."""
CASES = [f"{folder}/{path.name}" for folder in CONFIG_OF for path in sorted((GOLDEN / folder).glob("*"))]
WITHOUT_EFFECT = (
    *config_mmdet.WITHOUT_EFFECT,
    *OF_RETINANET,
    *(f"MODEL.ANCHOR_GENERATOR.{name}" for name in config_detectron2.WITHOUT_EFFECT),
)
"""Where names of options begin that are listed with a reason."""
Path = tuple[str | int, ...]


def plain(value: Any) -> Any:
    """Without the bookkeeping."""
    if isinstance(value, Options):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where the values lie that hold no others, an empty or a flat list being one of them."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list) and any(isinstance(part, dict | list) for part in value):
        for i, inner in enumerate(value):
            yield from leaves(inner, (*path, i))
    else:
        yield path


def other(value: Any) -> Any:
    """Of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return 3 * value + 1
        case str():
            return f"another {value}"
        case list():
            return [*value[:-1], other(value[-1])]
        case _:
            return "something"


def changed(value: Any, path: Path) -> Any:
    """A copy with another value at the end of the path."""
    if not path:
        return other(value)
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    copy = {key: changed(inner, path[1:]) if key == path[0] else inner for key, inner in pairs}
    return copy if isinstance(value, dict) else list(copy.values())


def config_or_refusal(config_of: ConfigOf, part: str, values: dict[str, Any]) -> tuple[Any, Options]:
    """What becomes of a case's part with these values: a config, or None."""
    options = Options(values)
    try:
        return config_of({part: options}), options
    except (AssertionError, KeyError, ValueError):
        return None, options


@pytest.mark.parametrize("name", CASES)
def test_another_value_is_another_model_or_refused(name: str) -> None:
    config_of, info = CONFIG_OF[name.split("/")[0]], load_case(name).info
    part = "model" if "model" in info else "options"
    values = plain(info[part])
    config, options = config_or_refusal(config_of, part, values)
    assert config is not None
    assert options.unread() == []
    same = [path for path in leaves(values) if config_or_refusal(config_of, part, changed(values, path))[0] == config]
    assert [name for name in map(_dotted, same) if not name.startswith(WITHOUT_EFFECT)] == []


DCN = {"type": "DCNv2", "deform_groups": 2, "fallback_on_stride": False}
RANGES = [[-1, 32], [32, 64], [64, 128], [128, 256], [256, 100_000_000]]
MADE_UP: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fcos_mmdet/fcos-caffe_fpn_gn-head": (
        {
            "backbone.base_channels": 4,
            "backbone.stem_channels": 12,
            "backbone.dcn": DCN,
            "backbone.stage_with_dcn": [False, True, True, True],
            "neck.in_channels": [16, 32, 64, 128],
            "bbox_head.dcn_on_last_conv": True,
            "bbox_head.regress_ranges": RANGES,
            "bbox_head.stacked_convs": 3,
        },
        {"deform_last": True, "ranges": (32, 64, 128, 256), "tower_convs": 3},
    ),
    "reppoints/partial-minmax_fpn-gn_head-gn": (
        {"neck.norm_cfg.num_groups": 8, "bbox_head.norm_cfg.num_groups": 2, "bbox_head.moment_mul": 0.5},
        {"tower_norm_groups": 2, "transfer_gradient": 0.5},
    ),
    "retinanet_mmdet/retinanet_fpn": (
        {
            "bbox_head.norm_cfg": {"type": "BN", "requires_grad": True},
            "bbox_head.loss_bbox.type": "SmoothL1Loss",
            "bbox_head.loss_bbox.beta": 0.2,
            "bbox_head.num_classes": 11,
            "train_cfg.assigner.match_low_quality": False,
        },
        {"tower_norm": "batch", "smooth_l1_beta": 0.2, "num_classes": 11, "best_match": "none"},
    ),
    "freeanchor/freeanchor_fpn": (
        {"bbox_head.pre_anchor_topk": 20, "bbox_head.bbox_thr": 0.7, "bbox_head.gamma": 1.0, "bbox_head.alpha": 0.4},
        {"bag": 20, "localised_from": 0.7, "gamma": 1.0, "alpha": 0.4},
    ),
    "atss/atss_fpn": (
        {"bbox_head.norm_cfg.num_groups": 16, "bbox_head.anchor_generator.center_offset": 0.5},
        {"tower_norm_groups": 16},
    ),
}
"""By case: options that are other ones or stated, too, and the fields that say so."""


@pytest.mark.parametrize("name", MADE_UP)
def test_a_case_that_states_more_is_read_and_its_weights_load(name: str) -> None:
    if name not in CASES:
        pytest.skip(f"NO GOLDEN CASE {name} in {GOLDEN}")
    folder, (stated, fields) = name.split("/")[0], MADE_UP[name]
    values = plain(load_case(name).info["model"])
    for dotted, value in stated.items():
        *parents, last = dotted.split(".")
        reduce(getitem, parents, values)[last] = value
    options = Options(values)
    config = CONFIG_OF[folder]({"model": options})
    assert options.unread() == []
    assert {field: getattr(config, field) for field in fields} == fields
    model = config.build()
    weights = as_mmdetection(model.state_dict(), folder.removesuffix("_mmdet"))
    again = config.build()
    load_state(again, Case(name, {}, weights, {}, {}).ours(config), name)
    assert equal_states(model, again)


def test_deformable_convolutions_of_a_body_reach_its_config() -> None:
    body = {"type": "ResNet", "depth": 50, "norm_cfg": {"type": "BN", "requires_grad": True}, "norm_eval": True}
    body |= {"style": "pytorch", "frozen_stages": 1, "dcn": DCN, "stage_with_dcn": [False, True, True, True]}
    for kind, ours in (("DCN", "v1"), ("DCNv2", "v2")):
        options = Options(body | {"dcn": DCN | {"type": kind}})
        config = config_mmdet.resnet_of(options)
        assert (config.deform, config.deform_groups) == (ours, 2)
        assert options.unread() == []


def _dotted(path: Path) -> str:
    return ".".join(map(str, path))
