"""Weights files of every kind as state dicts, without running anything that is in them."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cvzoo.files import SUMS, file_digest, stated_digest
from cvzoo.unpickle import ArrayUnpickler
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.keys.rename import State

log = logging.getLogger(__name__)

WRAPPERS = ("ema", "model_ema", "ema_state_dict", "state_dict_ema", "ema_model", "model", "state_dict")
"""Entries that training checkpoints keep the weights under, the best first: an average is what a run publishes."""
PREFIXES = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and Lightning put before every key."""
DATA = ("classes", "category_ids", "digests")
"""What our own files say of the data that they were trained on."""


class WeightsFile(NamedTuple):
    """What a file holds."""

    state: State
    """Under the keys of whoever wrote it."""
    recipe: dict[str, Any] | None
    """Of our own files: the recipe they were trained with, as JSON values."""
    record: str
    """What else the file says of itself: its name and the text of its toolbox's config, where that is in it or beside
    it."""
    data: dict[str, Any]
    """Of our own files: what they were trained on, see `cvzoo.data.dataset.identity`; else nothing."""


def find_file(path: Path, names: tuple[str, ...] = ("model.safetensors",)) -> Path:
    """`path`, or in a folder the first of `names` that is there, else the only weights file. WeightsError otherwise."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise WeightsError(f"there is no weights file {path}; check the path")
    for name in names:
        if (path / name).is_file():
            return path / name
    inside = sorted(p for p in path.iterdir() if p.suffix in READERS and p.is_file())
    if len(inside) != 1:
        found = ", ".join(p.name for p in inside) or "none"
        raise WeightsError(f"{path} should hold {names[0]} or one weights file; it has {found}. Give the file itself")
    return inside[0]


def read_weights(path: Path) -> WeightsFile:
    """Read a .safetensors, .pth, .pt or .pkl file.

    WeightsError names the file, the reason and the remedy when it is missing, empty, cut off, of another kind, or when
    a pickle in it asks for more than tensors and arrays.
    """
    reader = READERS.get(path.suffix)
    if reader is None:
        raise WeightsError(f"{path} is not a weights file; cvzoo reads {', '.join(READERS)}")
    if not path.is_file():
        raise WeightsError(f"there is no weights file {path}; check the path")
    if path.stat().st_size == 0:
        raise WeightsError(f"{path} is empty; download or copy it again")
    if (stated := stated_digest(path)) and stated != (found := file_digest(path)):
        raise WeightsError(
            f"the sha256 of {path} is {found} where {SUMS} beside it states {stated}: it is damaged, or of another"
            " model; get the folder again, or, if you have put another file there yourself, share it anew"
        )
    content, own = reader(path)
    state = _tensors(_unwrapped(content, path), path)
    _check_numbers(state, path)
    text = _config_text(content) or ("" if own.get("recipe") else _config_beside(path))
    return WeightsFile(state, own.get("recipe"), f"{path.name}\n{text}", own.get("data") or _classes(content))


def _check_numbers(state: dict[str, Tensor], path: Path) -> None:
    """WeightsError for what no training that went well has left."""
    broken = [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise WeightsError(
            f"{path} holds numbers that are not finite (NaN or infinite), in {len(broken)} of {len(state)} tensors,"
            f" such as {broken[0]}: its training has failed; take an earlier checkpoint"
        )
    negative = [key for key, value in state.items() if key.endswith("running_var") and (value < 0).any()]
    if negative:
        raise WeightsError(
            f"{path} holds variances below 0, in {negative[0]}: each has to be a mean of squares; get the file again"
        )


def is_own(path: Path) -> bool:
    """Whether a file is one of ours in safetensors, which brings recipe and classes along."""
    if path.suffix != ".safetensors":
        return False
    with safe_open(path, "pt") as file:
        return bool(_own_metadata(file.metadata() or {}))


Content = tuple[Any, dict[str, Any]]
"""What is in a file and, of our own ones, the recipe and the data they were trained on."""


def _read_safetensors(path: Path) -> Content:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no dictionary)
    except SafetensorError as error:
        raise _damaged(path, "safetensors", error) from error
    return state, _own_metadata(metadata)


def _own_metadata(metadata: dict[str, str]) -> dict[str, Any]:
    """Recipe and data in the metadata of a file of ours; nothing in those of others, whatever they mean by a recipe."""
    try:
        recipe = json.loads(metadata.get("recipe", "null"))
        if not isinstance(recipe, dict) or not {"row", "model"} <= recipe.keys():
            return {}
        return {"recipe": recipe, "data": {n: json.loads(metadata[n]) for n in DATA if n in metadata}}
    except (json.JSONDecodeError, RecursionError):
        return {}


def _read_torch(path: Path) -> Content:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no type for it, and a damaged pickle raises whatever its bytes say
        if asked := re.search(r"GLOBAL (\S+)", str(error)):
            raise _refused(path, asked[1]) from error
        raise _damaged(path, "PyTorch", error) from error
    is_ours = isinstance(content, dict) and "optimiser" in content and isinstance(content.get("recipe"), dict)
    return content, {"recipe": content["recipe"], "data": content.get("data", {})} if is_ours else {}


def _read_pickle(path: Path) -> Content:
    try:
        with path.open("rb") as file:
            return ArrayUnpickler(file, lambda asked: _refused(path, asked)).load(), {}
    except WeightsError:
        raise
    except Exception as error:  # as above
        raise _damaged(path, "pickle", error) from error


READERS: dict[str, Callable[[Path], Content]] = {
    ".safetensors": _read_safetensors,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".pkl": _read_pickle,
}


def _config_text(content: Any) -> str:
    meta = content.get("meta") if isinstance(content, dict) else None
    texts = (meta.get(name) for name in ("cfg", "config")) if isinstance(meta, dict) else ()
    return next((text for text in texts if isinstance(text, str)), "")


def _config_beside(path: Path) -> str:
    """The text of the config that a toolbox's training leaves in its folder: detectron2's, or mmengine's only one."""
    found = [path.with_name("config.yaml")] if path.with_name("config.yaml").is_file() else [*path.parent.glob("*.py")]
    return found[0].read_text(errors="replace") if len(found) == 1 else ""


def _classes(content: Any) -> dict[str, Any]:
    """The names of the classes that mmengine and mmdetection 2 record."""
    meta = content.get("meta") if isinstance(content, dict) else None
    of_data = meta.get("dataset_meta") if isinstance(meta, dict) else None
    for record in (of_data, meta):
        for name in ("classes", "CLASSES"):
            names = record.get(name) if isinstance(record, dict) else None
            if isinstance(names, list | tuple) and names and all(isinstance(n, str) for n in names):
                return {"classes": list(names)}
    return {}


def _unwrapped(content: Any, path: Path) -> Any:
    """The innermost state dict of a checkpoint, without what trainers put before every key."""
    while isinstance(content, dict):
        names = ("state_dict",) if _swaps_average(content) else WRAPPERS
        name = next((name for name in names if isinstance(content.get(name), dict)), None)
        if name is None:
            break
        _say_others(content, name, path)
        content = content[name]
    if isinstance(content, dict):
        while prefix := next((p for p in PREFIXES if content and all(str(k).startswith(p) for k in content)), None):
            content = {str(key).removeprefix(prefix): value for key, value in content.items()}
    return content


def _say_others(checkpoint: dict[Any, Any], taken: str, path: Path) -> None:
    """Under a name that nobody knows there may be an average, which is better."""
    entries = {name: entry for name, entry in checkpoint.items() if name not in WRAPPERS and isinstance(entry, dict)}
    tensors = {name: sum(isinstance(value, Tensor) for value in entry.values()) for name, entry in entries.items()}
    others = [repr(name) for name, count in tensors.items() if 2 * count > len(checkpoint[taken])]
    if others:
        log.warning("%s: the weights under %r are read; it has others under %s", path, taken, ", ".join(others))


def _swaps_average(checkpoint: dict[Any, Any]) -> bool:
    """mmengine's `EMAHook` saves the average as `state_dict`, and what it trains as `ema_state_dict`."""
    meta = checkpoint.get("meta")
    return isinstance(meta, dict) and "mmengine_version" in meta


def _tensors(content: Any, path: Path) -> State:
    if not isinstance(content, dict) or not content:
        raise WeightsError(f"{path} holds no weights but {type(content).__name__}; save model.state_dict() to it")
    state: State = {}
    for key, value in content.items():
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiub":
            value = torch.from_numpy(np.array(value))
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"{path} holds no weights: entry {key!r} is of type {type(value).__name__}, not a tensor;"
                " save model.state_dict() to it"
            )
        state[key] = value
    return state


def _damaged(path: Path, kind: str, error: Exception) -> WeightsError:
    """torch wraps the reason in advice to switch its safety off; that is left out."""
    reason = re.split(r"[\n.:]", str(error.__context__ or error))[0] or type(error).__name__
    return WeightsError(
        f"{path} cannot be read as a {kind} file ({reason}); it is cut off or of another kind: get it again"
    )


def _refused(path: Path, asked: str) -> WeightsError:
    return WeightsError(
        f"{path} asks for {asked}, which weights do not need; it was refused and nothing of it was run."
        " If you trust the file, load it with its own toolbox and save model.state_dict() alone"
    )
