"""Whose weights TreeFilter loads: TreeFilter-Torch, the code of its authors."""

from __future__ import annotations

from cvzoo.parts.semantic.fitted import fitted_segmenter
from cvzoo.weights.keys import segmenter
from cvzoo.weights.keys.rename import Rules, State, renamed
from cvzoo.weights.source import Marker, Source, own
from cvzoo.zoo.treefilter.model import TreeFilterConfig

AUTHORS = TreeFilterConfig()
"""Our defaults."""
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


def from_authors(state: State) -> State:
    return renamed(state, RULES, drop=UNUSED)


def authors(state: State, row: TreeFilterConfig) -> TreeFilterConfig:
    decoder = "extra" if "head.start.context.conv.weight" in state else "basic"
    embed_channels = len(state["head.finer.0.embed.conv.weight"])
    return fitted_segmenter(AUTHORS, state, row, decoder=decoder, embed_channels=embed_channels)


WHAT = "TreeFilter"
SOURCES = (
    own(WHAT, Marker(has=(segmenter.OURS, r"^head\.finer\."))),
    Source(
        name="TreeFilter-Torch",
        what=WHAT,
        marker=Marker(has=(r"^embed_layers\.\d\.",)),  # its network without filters has none of these
        translate=from_authors,
        config=authors,
    ),
)
