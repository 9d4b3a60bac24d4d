"""One image as users have it: a file, its address, a PIL image, an array or a tensor."""

from __future__ import annotations

import glob
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cvzoo.data.image_files import is_moving
from cvzoo.data.images import decode_image, from_pil, read_image
from cvzoo.data.problems import DataError, Problem

ImageLike = str | Path | Image.Image | np.ndarray | Tensor
"""A file or its http(s) address, a PIL image, an (H, W, 3) array or a (3, H, W) tensor of RGB; see `read_frame`."""
IMAGES = "an image (a picture) is a path, a PIL image, an array or a tensor"
ADDRESS = ("http://", "https://")
TIMEOUT = 20
"""Seconds without an answer after which a server counts as out of reach."""
LARGEST = 200 * 2**20
"""Bytes of an image that is fetched."""
SIXTEEN_BITS = 257
"""What 16-bit values are divided by to become 8-bit ones."""


@dataclass
class Frame:
    """A decoded image."""

    pixels: Tensor
    """(3, H, W) uint8 RGB."""
    path: Path | str | None = None
    """The file or address it comes from."""
    number: int | None = None
    """Of a video: which frame it is, from 0."""
    seconds: float = 0.0
    """How long it took to read."""
    time: float | None = None
    """Of a video: when it is seen, in seconds after the first frame."""

    @property
    def is_file(self) -> bool:
        """Whether it can be read again."""
        return isinstance(self.path, Path) and self.number is None


def read_frame(image: ImageLike, bgr: bool = False) -> Frame:
    """Decode one image.

    Arrays are (H, W, 3), or grey (H, W) or (H, W, 1), or with alpha (H, W, 4), which is dropped; tensors have their
    channels first. Their values are uint8, or uint16, which is scaled to 8 bits.

    Args:
        bgr: arrays and tensors are in OpenCV's order of channels.

    Raises: ValueError with reason and remedy.
    """
    start = time.perf_counter()
    match image:
        case str() if image.startswith(ADDRESS):
            frame = Frame(decode_image(_fetched(image), image), image)
        case str() | Path():
            frame = Frame(read_file(Path(image)), Path(image))
        case Image.Image():
            frame = Frame(from_pil(image))
        case np.ndarray():
            frame = Frame(_coloured(image, bgr, "an array must be (H, W, 3)", image))
        case Tensor():
            frame = Frame(_from_tensor(image, bgr))
        case _:
            raise ValueError(f"{IMAGES}, not {type(image).__name__}")
    frame.seconds = time.perf_counter() - start
    return frame


def read_file(path: Path) -> Tensor:
    """(3, H, W) uint8 RGB of an image file. DataError for what is none, and for what holds several images."""
    is_pattern = glob.has_magic(str(path)) and not path.exists()
    if path.is_dir() or is_moving(path) or is_pattern:
        remedy = f"from Python predictor.stream({str(path)!r}) goes through them"
        raise DataError([Problem(path, "holds several images", remedy)])
    return read_image(path)


def _fetched(address: str) -> bytes:
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as response:
            data = response.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise ValueError(f"{address} cannot be fetched ({error}); check the address, or download it by hand") from None
    if len(data) > LARGEST:
        raise ValueError(f"{address} is larger than {LARGEST >> 20} MB; download it by hand and pass its path")
    return data


def _from_tensor(image: Tensor, bgr: bool) -> Tensor:
    if image.dtype not in (torch.uint8, torch.uint16):
        raise ValueError(f"a tensor must be (3, H, W) uint8 RGB, not {tuple(image.shape)} {image.dtype}")
    given = image.detach().cpu().numpy()
    values = np.moveaxis(given, 0, -1) if given.ndim == 3 else given
    return _coloured(values, bgr, "a tensor must be (3, H, W)", given)


def _coloured(image: np.ndarray, bgr: bool, wanted: str, given: np.ndarray) -> Tensor:
    """(3, H, W) uint8 RGB of an (H, W, C) array, which was `given` in some layout."""
    values = image[:, :, None] if image.ndim == 2 else image
    known = values.ndim == 3 and values.shape[2] in (1, 3, 4) and values.dtype in (np.uint8, np.uint16)
    if not known or not values.size:
        raise ValueError(
            f"{wanted} uint8 RGB, not {given.shape} {given.dtype} (grey, alpha as a fourth channel, and uint16 do too)"
        )
    if values.dtype == np.uint16:
        values = np.rint(values.astype(np.float32) / SIXTEEN_BITS).astype(np.uint8)
    values = np.broadcast_to(values[:, :, :3], (*values.shape[:2], 3))
    return torch.from_numpy(values[:, :, :: -1 if bgr else 1].copy()).permute(2, 0, 1)
