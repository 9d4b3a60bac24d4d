"""Global context blocks in files: how narrow they are, and what norms are around them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from weights.reading import loads, manifest
from zoo.gcnet import MANIFESTS, R50, WITH_MASKS

from cvzoo.loading import read_state
from cvzoo.weights.keys.rename import renamed
from cvzoo.weights.strict import load_state
from cvzoo.zoo import ROWS

OF_MASK_RCNN = [name for name, fits in MANIFESTS.items() if fits.row == WITH_MASKS]


KEYS = (
    (r"^aux_head\.", "auxiliary_head."),
    (r"^head\.before\.", "head.convs.0."),
    (r"^head\.after\.", "head.convs.1."),
    (r"^head\.merge\.", "head.conv_cat."),
    (r"^head\.context\.attention\.", "head.gc_block.conv_mask."),
    (r"^head\.context\.transform\.", "head.gc_block.channel_add_conv."),
    (r"\.classifier\.conv\.", ".conv_seg."),
    (r"\.norm\.", ".bn."),
    (r"^head\.", "decode_head."),
)
"""From our keys to mmsegmentation's."""


@pytest.mark.parametrize("ratio", [1 / 2, 1 / 8, 1 / 16])
def test_how_narrow_the_block_of_the_segmenter_is_its_file_tells(ratio: float) -> None:
    with torch.device("meta"):
        state = replace(ROWS[R50].recipe().model, ratio=ratio).build().state_dict()
    assert loads(renamed(state, KEYS), R50).ratio == ratio


@pytest.mark.parametrize("name", OF_MASK_RCNN)
@pytest.mark.parametrize("norm", ["affine", "batch"])
def test_mask_rcnn_with_norms_that_train_or_not(golden: Path, name: str, norm: Any) -> None:
    """Those trained with SyncBN have the keys of those that were not."""
    recipe, fits = ROWS[WITH_MASKS].recipe(), MANIFESTS[name]
    ours, config = read_state(manifest(golden / "manifests", name), recipe, name)
    assert config.backbone.context_ratio == fits.body.get("context_ratio", 1 / 16)
    with torch.device("meta"):
        load_state(replace(config, backbone=replace(config.backbone, norm=norm)).build(), ours, name)


def test_blocks_are_as_wide_as_the_files(golden: Path) -> None:
    state = manifest(golden / "manifests", "mmlab/mask-rcnn_r50-gcb-r4-c3-c5_fpn_1x_coco")
    assert loads(state, WITH_MASKS).backbone.context_ratio == 1 / 4
