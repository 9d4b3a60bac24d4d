"""The config of a network for semantic segmentation from a file: all is seen in it but the kind of body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from cvzoo.parts.semantic.head import AuxiliaryConfig
from cvzoo.weights.conventions import fitted_body
from cvzoo.weights.keys.segmenter import norm_in


def fitted_segmenter(convention: Any, state: Mapping[str, Tensor], row: Any, **seen: Any) -> Any:
    """The toolbox's convention with the row's kind of body, and the sizes, classes and parts of `state` (our keys).

    `seen` are further options that the system has found in the state.
    """
    classes, channels = state["head.classifier.conv.weight"].shape[:2]
    backbone = fitted_body(convention.backbone, row.backbone, state)
    aux = _auxiliary(convention.aux, state)
    norm = norm_in(state, "head.", convention.norm)
    sizes = {"num_classes": classes, "channels": channels, "norm_groups": row.norm_groups}
    return replace(convention, **sizes, backbone=backbone, norm=norm, aux=aux, **seen)


def _auxiliary(aux: AuxiliaryConfig | None, state: Mapping[str, Tensor]) -> AuxiliaryConfig | None:
    """Files for inference alone may lack that head."""
    weight = state.get("aux_head.classifier.conv.weight")
    return None if weight is None else replace(aux or AuxiliaryConfig(), channels=weight.shape[1])
