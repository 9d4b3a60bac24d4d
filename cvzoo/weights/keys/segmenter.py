"""Networks for semantic segmentation: a body, a head, and an auxiliary head."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from cvzoo.nn.layers import Norm
from cvzoo.weights.keys import body
from cvzoo.weights.keys.rename import Rules, State, renamed

MMSEGMENTATION_MARK = r"^decode_head\."
OURS = r"^head\.classifier\.conv\."
"""Keys by which such a network is known."""
TORCHVISION_BODY = r"^backbone\.layer1\."
"""Of its networks on a ResNet; it has some on MobileNets, too."""
TORCHVISION_AUXILIARY: Rules = (
    (r"^aux_classifier\.0\.", "aux_head.convs.0.conv."),
    (r"^aux_classifier\.1\.", "aux_head.convs.0.norm."),
    (r"^aux_classifier\.4\.", "aux_head.classifier.conv."),
)


def from_mmsegmentation(state: Mapping[str, Tensor], head: Rules = ()) -> State:
    """A network's state of mmsegmentation under our keys; `head` names what only this head has."""
    rules = (
        (r"^auxiliary_head\.", "aux_head."),
        (r"^decode_head\.", "head."),
        *head,
        (r"^head\.conv_cat\.", "head.merge."),
        (r"\bconv_seg\.", "classifier.conv."),
        (r"^((?!backbone\.).*)\.(?:bn|gn)\.", r"\1.norm."),
        *body.GROUP_NORMS,
    )
    return renamed(state, rules)


def norm_in(state: Mapping[str, Tensor], prefix: str, norm: Norm) -> Norm:
    """`norm`, or group norm where what is under `prefix` has no running statistics."""
    running = any(key.startswith(prefix) and key.endswith(".running_mean") for key in state)
    return norm if running else "group"


def members(state: Mapping[str, Tensor], prefix: str) -> int:
    """Of the list of modules under `prefix`."""
    return len({key.removeprefix(prefix).split(".")[0] for key in state if key.startswith(prefix)})
