"""Picture files to tensors, whatever their mode: greyscale, palette, alpha, CMYK, 16-bit, EXIF-rotated."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from cvzoo.data.problems import DataError, Problem

EXIF_ORIENTATION = 0x0112


def read_image(path: Path) -> Tensor:
    """Decode a picture file, upright as its EXIF orientation says.

    Returns: (3, H, W) uint8 RGB, channels-last in memory.
    Raises: DataError naming the file, the reason and the remedy.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError([Problem(path, f"cannot be read ({error.strerror})", "put the picture there")]) from None
    if not content:
        raise DataError([Problem(path, "the file is empty (0 bytes)", "copy or download it again")])
    try:
        with Image.open(io.BytesIO(content)) as image:
            return from_pil(image)
    except Exception as error:  # decoders raise anything on damaged bytes: OSError, SyntaxError, struct.error ...
        raise DataError([Problem(path, *_explain(error))]) from None


def _explain(error: Exception) -> tuple[str, str]:
    """Reason and remedy, in the user's words, for what PIL raised."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "is not a picture in a known format", "remove it or replace it by a JPEG or PNG"
    if isinstance(error, Image.DecompressionBombError):
        return "has more pixels than can be decoded safely", "scale it down"
    return f"cannot be decoded ({error})", "copy or download it again, or remove it from the annotations"


def from_pil(image: Image.Image) -> Tensor:
    """Turn a PIL picture of any mode upright and into RGB.

    Alpha is dropped, as every reference does; 16-bit grey levels are scaled to 8 bits, not cut off.

    Returns: (3, H, W) uint8 RGB, channels-last in memory.
    Raises: ValueError for floating-point pictures, whose range is unknown.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PIL grumbles about odd metadata and palettes that it reads all right
        if image.getexif().get(EXIF_ORIENTATION, 1) != 1:  # asked first, since transposing to the same side copies
            image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16-bit grey, also where PIL keeps it in 32 bits
            grey = np.asarray(image).astype(np.float32).clip(0, 65535) / 257
            image = Image.fromarray(np.rint(grey).astype(np.uint8))
        elif image.mode == "F":
            raise ValueError("floating-point pixels have no known range")
        elif "transparency" in image.info or image.mode == "PA":
            image = image.convert("RGBA")
        pixels = np.array(image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)
