"""Feature pyramids."""

from __future__ import annotations

from collections.abc import Collection

from cvzoo.weights.keys.rename import Rules

TORCHVISION_MARK = r"^backbone\.fpn\.inner_blocks\."
MMDETECTION_MARK = r"^neck\.lateral_convs\."
DETECTRON2_MARK = r"^backbone\.fpn_lateral\d\."
OURS = r"^neck\.lateral\."
"""Keys by which a detector with a pyramid is known."""

TORCHVISION_OLD: Rules = ((r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)$", r"\1.0.\2"),)
"""Names from before 2022 to today's, in which a convolution is `.0` of a block and its norm, if any, `.1`."""
TORCHVISION: Rules = (
    (r"^backbone\.body\.", "backbone."),
    (r"^backbone\.fpn\.inner_blocks\.", "neck.lateral."),
    (r"^backbone\.fpn\.layer_blocks\.", "neck.output."),
    (r"^backbone\.fpn\.extra_blocks\.p6\.", "neck.extra.0.conv."),
    (r"^backbone\.fpn\.extra_blocks\.p7\.", "neck.extra.1.conv."),
    (r"^(neck\.(?:lateral|output))\.(\d)\.0\.", r"\1.\2.conv."),
    (r"^(neck\.(?:lateral|output))\.(\d)\.1\.", r"\1.\2.norm."),
)


def detectron2(keys: Collection[str]) -> Rules:
    """Levels are numbered by their stride there and from 0 here: P2.. of two-stage detectors, P3.. of dense ones."""
    first = 2 if any(key.startswith("backbone.fpn_lateral2.") for key in keys) else 3
    levels = [(level, level - first) for level in range(first, 6)]
    return (
        *((rf"^backbone\.fpn_(lateral|output){level}\.norm\.", rf"neck.\1.{i}.norm.") for level, i in levels),
        *((rf"^backbone\.fpn_(lateral|output){level}\.", rf"neck.\1.{i}.conv.") for level, i in levels),
        (r"^backbone\.top_block\.p6\.", "neck.extra.0.conv."),
        (r"^backbone\.top_block\.p7\.", "neck.extra.1.conv."),
    )


def mmdetection(keys: Collection[str]) -> Rules:
    """`fpn_convs` are the output convolutions and, after as many as there are lateral ones, the extra levels'."""
    laterals = len({key.split(".")[2] for key in keys if key.startswith("neck.lateral_convs.")})
    names = [f"output.{i}" for i in range(laterals)] + [f"extra.{i}" for i in range(2)]
    return (
        *((rf"^neck\.fpn_convs\.{i}\.", f"neck.{name}.") for i, name in enumerate(names)),
        (r"^neck\.lateral_convs\.", "neck.lateral."),
        (r"^(neck\.\w+\.\d)\.(?:bn|gn)\.", r"\1.norm."),
    )
