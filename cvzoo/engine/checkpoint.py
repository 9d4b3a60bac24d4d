"""Files that are whole or absent: checkpoints to resume from and the final weights."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "model.safetensors"


class SaveError(OSError, ValueError):
    """A file could not be written; what stood in its place is untouched."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which takes the place of `path` when the block ends without error.

    The data are on the disk before the name changes, and the name before the block returns, so a crash or a power cut
    leaves the old file or the new one. SaveError on a full disk; the old file is then intact.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        # torch wraps the system's reason in an error of its own zip writer.
        reason = error.__context__ if isinstance(error.__context__, OSError) else error
        kept = "the one saved before is intact" if path.exists() else "nothing was written"
        raise SaveError(f"cannot save {path}: {reason}; {kept}. Free disk space, then repeat the command") from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings and containers of them) to the run folder's checkpoint."""
    with atomic(folder / CHECKPOINT) as path, path.open("wb") as file:
        torch.save(state, file)


def load(folder: Path, device: torch.device | str) -> dict[str, Any] | None:
    """The run folder's checkpoint with its tensors on `device`, or None. ValueError when it cannot be read."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises half a dozen types here
        raise ValueError(f"{path} is not a readable checkpoint ({error}); delete it to start afresh") from error


def save_weights(folder: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Write the final weights as safetensors with `metadata`, each value as JSON; returns the file's sha256."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with atomic(folder / WEIGHTS) as path:
        safetensors.torch.save_file(tensors, path, {name: json.dumps(value) for name, value in metadata.items()})
    with (folder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
