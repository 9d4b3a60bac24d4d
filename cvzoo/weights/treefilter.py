"""Key map of TreeFilter-Torch, the code of the learnable tree filter's authors (1909.12513)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from cvzoo.weights.rename import Rules, State, renamed

MARKER = r"^embed_layers\.\d\."
"""Keys by which it is known; its FCN without filters has none of these."""
UNUSED = r"^embed_layers\.0\.|^refine_layers\.0\.conv\."
"""At the coarsest map nothing is filtered (`basic`), or a constant (`extra`)."""
RULES: Rules = (
    (r"^backbone\.conv1\.", "backbone.stem."),
    (r"^backbone\.bn1\.", "backbone.stem.7."),
    (r"^latent_layers\.0\.conv\.", "head.start.conv."),
    (r"^(latent|refine)_layers\.0\.", r"head.start.\1."),
    *((rf"^(latent|refine|embed)_layers\.{i + 1}\.", rf"head.finer.{i}.\1.") for i in range(3)),
    (r"^global_context\.1\.", "head.start.context."),
    (r"^predict_layer\.head_layers\.0\.", "head.last."),
    (r"^predict_layer\.head_layers\.1\.", "head.classifier.conv."),
    (r"\.conv_1x1\.", ".point."),
    (r"\.cbr\.", ".conv1."),
    (r"\.conv_refine\.", ".conv2."),
    (r"^((?!backbone\.).*)\.bn\.", r"\1.norm."),
)


def from_treefilter(state: Mapping[str, Tensor]) -> State:
    """A network's state under our keys; unknown keys stay as they are."""
    return renamed(state, RULES, drop=UNUSED)
