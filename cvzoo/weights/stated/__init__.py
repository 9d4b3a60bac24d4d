"""What a toolbox's own config, kept in a weights file or beside it, says that no key tells.

It is parsed as data and never run: mmdetection's and mmsegmentation's Python text, detectron2's YAML. All of it that
bears on an answer is read; what we cannot compute is refused by its name.
"""

from __future__ import annotations

import re
from typing import Any

from cvzoo.weights.errors import WeightsError
from cvzoo.weights.stated.detectron2 import of_detectron2
from cvzoo.weights.stated.mmlab import of_mmlab
from cvzoo.weights.stated.section import Section
from cvzoo.weights.stated.text import Settings, settings_of

VERSION_1 = r"_coco_v1(?!\d)"
"""How mmdetection names its configs that keep to its first version."""


def stated(config: Any, record: str, source: str) -> Any:
    """The model's config with what the toolbox's config in a file's record says, if there is one.

    WeightsError names all that we do not compute.
    """
    settings: Settings = settings_of(record)
    _check_whole(settings, source)
    if not settings and re.search(VERSION_1, record.partition("\n")[0]):
        raise WeightsError(
            f"{source} is named like weights of mmdetection 1, whose boxes are a pixel wider than those of today, which"
            " cvzoo does not compute; where it is none of them, rename it"
        )
    whole = Section(settings, "")
    config = of_detectron2(config, whole) if "MODEL" in settings else of_mmlab(config, whole)
    whole.check(source)
    return config


def _check_whole(settings: Settings, source: str) -> None:
    """WeightsError for a config that states what sets it apart from others, which are not at hand."""
    for name in ("_base_", "_BASE_"):
        if settings.get(name):
            raise WeightsError(
                f"{source} comes with a config that is built on {settings[name]} ({name}), so it does not say all; put"
                " the whole one beside the file, which a training writes into its folder"
            )
