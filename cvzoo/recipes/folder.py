"""What lies in the folder that a recipe is given for its data."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cvzoo.data.config import UNDIVIDED, Data, LabelMaps, Source, Split
from cvzoo.recipes import Recipe

if TYPE_CHECKING:
    from cvzoo.data.formats.recognise import Found


def in_the_folder(asked: Recipe, own: Recipe, named: Collection[str]) -> tuple[Recipe, str]:
    """The recipe for what lies in the folder that `data.root` names, where nothing else is said of the data's place.

    Where the row's own splits lie in there, it is them that are meant. Nothing is written: a training divides what has
    no validation part, see `divided`.

    Args:
        asked: with the changes that were asked for.
        own: without them.
        named: the fields that were changed, "data.root".
    Returns: also a line that says what was recognised, or nothing.
    Raises: ValueError where a row of drawn images would leave aside what is said of the data's place.
    """
    told = any(name.startswith(("data.train.", "data.val.")) or name in ("data.train", "data.val") for name in named)
    source = asked.data.source if "data.source" in named else None
    draws = source is None and asked.data.source == "shapes"
    if draws and told:
        reason = f"{asked.row} draws its images, so data.train and data.val have no effect"
        raise ValueError(f"{reason}; say what they are with --data.source, or name their folder alone, --data.root")
    if "data.root" not in named or told or not (draws or asked.data.root.is_dir()):
        return asked, ""
    if source == "shapes" or (source in (None, own.data.source) and lies_in(asked.data)):
        return asked, ""
    if not any(name.startswith("data.label_maps") for name in named):
        asked = replace(asked, data=replace(asked.data, label_maps=LabelMaps()))
    data, found = recognised(asked.data, source, own.data.semantic, evaluates=True)
    return replace(asked, data=data), str(found)


def recognised(
    data: Data, source: Source | None, semantic: bool | None = None, evaluates: bool = False
) -> tuple[Data, Found]:
    """The data with the source and the splits of what lies in the root, and all that was found; see `recognise`."""
    from cvzoo.data.formats.recognise import recognise

    found = recognise(data.root, source, semantic, evaluates)
    suffixes = {name: getattr(found.label_maps, name) for name in ("image_suffix", "label_suffix")}
    label_maps = replace(data.label_maps, **suffixes) if found.source == "label_maps" else data.label_maps
    return replace(data, source=found.source, train=found.train, val=found.val, label_maps=label_maps), found


def divided(data: Data, evaluates: bool = False) -> tuple[Data, str]:
    """The data with a part held back for the validation, where recognition left that open, and a line that says so.

    Args:
        evaluates: only where an earlier training has held one back; otherwise all of it is evaluated.

    Raises: DataError where nothing is to be trained on, or the lists cannot be written.
    """
    if data.train != UNDIVIDED:
        return data, ""
    data, found = recognised(data, data.source, evaluates=evaluates)
    return data, str(found)


def lies_in(data: Data) -> bool:
    """Whether one of the splits, as the recipe names them, is in the folder."""
    return data.source != "shapes" and any(has_split(data.root, split) for split in (data.train, data.val))


def has_split(root: Path, split: Split) -> bool:
    """Whether a folder holds the images, annotations and lists of a split."""
    named = [name for names in (split.images, split.annotations) for name in names.split(",")]
    return all((root / name).exists() for name in [*named, *split.lists])
