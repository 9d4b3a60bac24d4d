"""What the tests know of TreeFilter. Its golden cases are of the operator: parity/test_golden_tree_filter.py."""

from __future__ import annotations

from dataclasses import replace

from zoo.segmenter import CHANNELS, GROUPS
from zoo.segmenter import narrow as narrow_segmenter
from zoo.systems import Fits, Golden

from cvzoo.zoo.treefilter.model import TreeFilterConfig


def narrow(config: TreeFilterConfig) -> TreeFilterConfig:
    """Embeddings have fewer channels, too."""
    return narrow_segmenter(replace(config, channels=CHANNELS, embed_channels=CHANNELS, groups=GROUPS))


PARAMETERS: dict[str, int] = {}
GOLDEN: dict[str, Golden] = {}
MANIFESTS: dict[str, Fits] = {}
"""Those of its authors' networks are beside test_treefilter.py."""
