"""Image files to tensors, whatever their mode: greyscale, palette, alpha, CMYK, 16-bit, EXIF-rotated."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import torch
from PIL import Image
from PIL.ImageFile import ImageFile
from torch import Tensor

from cvzoo.data.problems import DataError, Problem
from cvzoo.structures import Size

EXIF_ORIENTATION = 0x0112
UPRIGHT = 1
TURNS: Mapping[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its EXIF orientation; others mean nothing."""
ASIDE = {5, 6, 7, 8}
"""The orientations of images that lie on their side."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

GREY_STEPS = {"L;2": 85, "L;4": 17}
"""PIL spreads grey levels of 2 and 4 bits over 0..255."""
Decoded = TypeVar("Decoded")
Formats = tuple[str, ...] | None
"""Names of PIL's formats that a file may be of; None is any."""


def read_image(path: Path) -> Tensor:
    """Decode an image file, upright as its EXIF orientation says.

    Returns: (3, H, W) uint8 RGB, channels-last in memory.
    Raises: DataError naming the file, the reason and the remedy.
    """
    return _read(path, from_pil)


def decode_image(data: bytes, name: str, formats: Formats = None) -> Tensor:
    """`read_image` of a file that is in memory, in one of these formats.

    ValueError with its `name`, the reason and the remedy.
    """
    return _of_memory(data, name, from_pil, formats)


def decode_size(data: bytes, name: str, formats: Formats = None) -> Size:
    """`read_size` of a file that is in memory, as `decode_image` takes it; its pixels are not decoded."""
    return _of_memory(data, name, _upright_size, formats)


def _of_memory(data: bytes, name: str, decode: Callable[[Image.Image], Decoded], formats: Formats) -> Decoded:
    try:
        return _decoded(io.BytesIO(data), decode, formats)
    except Exception as error:
        raise ValueError(f"{name}: {'; '.join(_explain(error))}") from None


def read_size(path: Path) -> Size:
    """Height and width that `read_image` would give, from the header of the file.

    Raises: DataError naming the file, the reason and the remedy.
    """
    return _read(path, _upright_size)


def read_numbers(path: Path) -> np.ndarray:
    """The numbers that an image file of 1 to 16 bits, grey or with a palette, holds.

    Returns: (H, W) uint8, uint16 or int32.
    Raises: DataError naming the file, the reason and the remedy.
    """
    return _read(path, _numbers)


class _NoNumbersError(ValueError):
    """An image of colours where numbers should be."""


def _read(path: Path, decode: Callable[[Image.Image], Decoded]) -> Decoded:
    """What `decode` makes of a file; no more of it is read than that needs."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError([Problem(path, f"cannot be read ({error.strerror})", "put the image there")]) from None
    with file:
        if not os.fstat(file.fileno()).st_size:
            raise DataError([Problem(path, "the file is empty (0 bytes)", "copy or download it again")])
        try:
            return _decoded(file, decode)
        except Exception as error:  # decoders raise anything on damaged bytes: OSError, SyntaxError, struct.error ...
            raise DataError([Problem(path, *_explain(error))]) from None


def _decoded(file: BinaryIO, decode: Callable[[Image.Image], Decoded], formats: Formats = None) -> Decoded:
    try:
        with Image.open(file, formats=formats) as image:
            return decode(image)
    except ValueError:  # PIL also raises it for a PNG whose text or colour profile is large, of which we need nothing
        file.seek(0)
        if file.read(len(PNG_SIGNATURE)) != PNG_SIGNATURE:
            raise
        with Image.open(_bare_png(file)) as image:
            return decode(image)


def _bare_png(file: BinaryIO) -> io.BytesIO:
    """The chunks of a PNG, of which the signature has been read, that make its pixels and their orientation."""
    kept = [PNG_SIGNATURE]
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind[:1].isupper() or kind in (b"tRNS", b"eXIf"):  # capitals: a decoder must know the chunk
            kept += [head, file.read(length + 4)]
        else:
            file.seek(length + 4, os.SEEK_CUR)
    return io.BytesIO(b"".join(kept))


def _explain(error: Exception) -> tuple[str, str]:
    """Reason and remedy, in the user's words, for what PIL raised."""
    if isinstance(error, _NoNumbersError):
        return str(error), "save the class number of every pixel, as a PNG of 8-bit grey or with a palette"
    if isinstance(error, Image.UnidentifiedImageError):
        return "is not an image in a known format", "remove it or replace it by a JPEG or PNG"
    if isinstance(error, Image.DecompressionBombError):
        return "has more pixels than can be decoded safely", "scale it down"
    return f"cannot be decoded ({error})", "copy or download it again, or remove it from the annotations"


def from_pil(image: Image.Image) -> Tensor:
    """Turn a PIL image of any mode upright and into RGB.

    Alpha is dropped, as every reference does; 16-bit grey levels are scaled to 8 bits, not cut off.

    Returns: (3, H, W) uint8 RGB, channels-last in memory.
    Raises: ValueError for floating-point images, whose range is unknown.
    """
    image = _upright(image)
    if image.mode.startswith("I"):  # 16-bit grey, also where PIL keeps it in 32 bits
        grey = np.asarray(image).astype(np.float32).clip(0, 65535) / 257
        image = Image.fromarray(np.rint(grey).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    elif "transparency" in image.info or image.mode == "PA":
        image = image.convert("RGBA")
    pixels = np.array(image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # which turns a TIFF, and takes its orientation away
    turn = TURNS.get(_orientation(image.getexif))
    return image if turn is None else image.transpose(turn)


def _upright_size(image: Image.Image) -> Size:
    # the `getexif` of PNGs decodes the image first, to look behind it too; the size of a TIFF PIL has turned already
    orientation = _orientation(lambda: Image.Image.getexif(image))
    return image.size if orientation in ASIDE and image.format != "TIFF" else (image.height, image.width)


def _orientation(exif: Callable[[], Image.Exif]) -> object:
    """1 for an upright image, and where EXIF data are broken, as all references take it."""
    try:
        return exif().get(EXIF_ORIENTATION, UPRIGHT)
    except OSError:  # of the pixels, which PNGs decode to reach it
        raise
    except Exception:  # PIL raises SyntaxError, struct.error, ValueError ... on such data
        return UPRIGHT


def _numbers(image: Image.Image) -> np.ndarray:
    if image.format == "JPEG":
        raise _NoNumbersError("is a JPEG, which does not keep numbers")
    if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
        raise _NoNumbersError(f"is an image ({image.mode}), not class numbers")
    layout = image.tile[0].args if isinstance(image, ImageFile) and image.tile else None
    numbers = np.array(image)
    if numbers.dtype == bool:
        return numbers.astype(np.uint8)
    return numbers // GREY_STEPS[layout] if isinstance(layout, str) and layout in GREY_STEPS else numbers
