"""Hourglass networks, and what the published repositories call the layers of a convolution and its norm."""

from __future__ import annotations

from cvzoo.weights.keys.rename import Rules

LEVELS: Rules = (
    (r"\bup1\.", "past."),
    (r"\blow1\.", "down."),
    (r"\blow2\.", "inner."),
    (r"\blow3\.", "up."),
)
"""Of the hourglasses, the same in mmdetection and in the published repositories of 1808.01244 and 1904.07850."""
MMDETECTION: Rules = (
    (r"^backbone\.stem\.1\.0\.", "backbone.stem.1."),
    (r"^backbone\.hourglass_modules\.", "backbone.hourglasses."),
    (r"^backbone\.out_convs\.", "backbone.outputs."),
    (r"^backbone\.conv1x1s\.", "backbone.from_input."),
    (r"^backbone\.remap_convs\.", "backbone.from_output."),
    (r"^backbone\.inters\.", "backbone.merged."),
    (r"\.bn\.", ".norm."),
    *LEVELS,
)
ORIGINAL: Rules = (
    (r"^module\.", ""),
    (r"^pre\.", "backbone.stem."),
    (r"^kps\.", "backbone.hourglasses."),
    (r"^cnvs\.", "backbone.outputs."),
    (r"^inters_\.(\d)\.0\.", r"backbone.from_input.\1.conv."),
    (r"^inters_\.(\d)\.1\.", r"backbone.from_input.\1.norm."),
    (r"^cnvs_\.(\d)\.0\.", r"backbone.from_output.\1.conv."),
    (r"^cnvs_\.(\d)\.1\.", r"backbone.from_output.\1.norm."),
    (r"^inters\.", "backbone.merged."),
    (r"\.skip\.", ".downsample."),
    (r"\.bn\.", ".norm."),
    *LEVELS,
)
"""The published repositories, without their heads."""
