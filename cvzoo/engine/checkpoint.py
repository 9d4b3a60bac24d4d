"""Checkpoints to resume from and the final weights: whole files or none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from cvzoo.files import atomic, file_digest

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "model.safetensors"
BEST = "best.safetensors"


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


def save_weights(folder: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, Any], name: str = WEIGHTS) -> str:
    """Write weights as safetensors with `metadata`, each value as JSON; returns the file's sha256."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with atomic(folder / name) as path:
        try:
            safetensors.torch.save_file(tensors, path, {name: json.dumps(value) for name, value in metadata.items()})
        except safetensors.SafetensorError as error:
            raise OSError(str(error)) from error
    return file_digest(folder / name)
