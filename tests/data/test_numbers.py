"""Numbers out of image files: label maps of every depth, exactly as they were stored; and what the numbers mean."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cvzoo.data.config import LabelMaps
from cvzoo.data.images import read_image, read_numbers, read_size
from cvzoo.data.label_maps import NUMBERS, number_meaning
from cvzoo.data.problems import DataError
from cvzoo.structures import IGNORE


@given(st.integers(1, 254), st.lists(st.integers(-300, 70_000), max_size=6), st.booleans(), st.integers(-300, 300))
def test_what_numbers_mean(classes: int, ignored: list[int], reduce_zero: bool, number: int) -> None:
    meaning = number_meaning(LabelMaps(ignored=tuple(ignored), reduce_zero=reduce_zero), classes)
    label = number - reduce_zero
    if number in (*ignored, IGNORE) or (reduce_zero and number == 0):
        assert meaning[number] == IGNORE
    elif 0 <= label < classes:
        assert meaning[number] == label
    else:
        assert number not in meaning
    table = np.full(NUMBERS, IGNORE)
    table[list(meaning)] = list(meaning.values())
    assert all(table[number] == label for number, label in meaning.items())  # negative ones included


def pattern(levels: int) -> np.ndarray:
    return (np.arange(30)[:, None] * 7 + np.arange(41)) % levels


def grey_png(bits: int, numbers: np.ndarray) -> bytes:
    """A grey PNG of few bits, which PIL reads but does not write."""
    height, width = numbers.shape
    rows = np.unpackbits(numbers.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :].reshape(height, -1)
    content = b"".join(b"\0" + row.tobytes() for row in np.packbits(rows, axis=1))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_of_few_bits_is_not_stretched(tmp_path: Path, bits: int) -> None:
    numbers = pattern(1 << bits)
    (tmp_path / "a.png").write_bytes(grey_png(bits, numbers))
    assert np.array_equal(read_numbers(tmp_path / "a.png"), numbers)
    assert read_numbers(tmp_path / "a.png").dtype == np.uint8


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_are_not_looked_up(tmp_path: Path, bits: int) -> None:
    numbers = pattern(1 << bits)
    image = Image.fromarray(numbers.astype(np.uint8))
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    image.save(tmp_path / "a.png", bits=bits, transparency=0)
    assert np.array_equal(read_numbers(tmp_path / "a.png"), numbers)


@pytest.mark.parametrize(
    ("suffix", "dtype", "first"), [(".png", np.uint16, 0), (".tif", np.uint16, 0), (".tif", np.int32, -1)]
)
def test_more_than_8_bits(tmp_path: Path, suffix: str, dtype: type, first: int) -> None:
    numbers = (pattern(1000) + first).astype(dtype)
    Image.fromarray(numbers).save(tmp_path / f"a{suffix}")
    assert np.array_equal(read_numbers(tmp_path / f"a{suffix}"), numbers)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "F"])
def test_colours_are_refused(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ("a.tif" if mode == "F" else "a.png")
    Image.new(mode, (40, 30)).save(file)
    with pytest.raises(DataError, match=rf"a\.\w+: is an image \({mode}\), not class numbers; save the class number"):
        read_numbers(file)


def test_jpeg_is_refused(tmp_path: Path) -> None:
    Image.new("L", (40, 30)).save(tmp_path / "a.png", format="JPEG")
    with pytest.raises(DataError, match=r"a\.png: is a JPEG, which does not keep numbers; save the class number"):
        read_numbers(tmp_path / "a.png")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_the_header_gives_the_upright_size(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"a{suffix}"
    Image.new("RGB", (40, 30)).save(file, exif=exif)
    assert read_size(file) == tuple(read_image(file).shape[1:]) == ((40, 30) if orientation > 4 else (30, 40))


def test_the_header_suffices_for_the_size(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:100])
    assert read_size(file) == (30, 40)
    with pytest.raises(DataError, match="cannot be decoded"):
        read_image(file)
