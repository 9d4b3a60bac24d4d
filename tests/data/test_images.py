"""Images of every kind decode to the same upright RGB, or fail with file, reason and remedy."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cvzoo.data.images import from_pil, read_image, read_size
from cvzoo.data.problems import DataError


@pytest.fixture
def original() -> Image.Image:
    """Smooth, so that JPEG keeps it, and without any symmetry."""
    y, x = np.mgrid[0:48, 0:64]
    return Image.fromarray(np.stack([x * 4, y * 5, 255 - x * 2 - y], -1).astype(np.uint8))


def chw(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def worst(a: torch.Tensor, b: torch.Tensor) -> int:
    return int((a.int() - b.int()).abs().max())


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp", "gif"])
def test_formats_equal_pil(original: Image.Image, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    original.save(path)
    image = read_image(path)
    assert image.dtype == torch.uint8
    assert image.shape == (3, 48, 64)
    with Image.open(path) as reference:
        assert worst(image, chw(reference)) == 0


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(original: Image.Image, tmp_path: Path, suffix: str, orientation: int) -> None:
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # stored turned left: a viewer turns it right
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = original.transpose(turn[orientation]) if orientation > 1 else original
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"a.{suffix}", exif=exif, quality=95, subsampling=0)
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.shape == (3, 48, 64)
    assert worst(image, chw(original)) <= 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "RGBX", "YCbCr", "HSV", "I", "I;16"])
def test_modes(original: Image.Image, mode: str) -> None:
    grey = mode in ("1", "L", "LA", "I", "I;16")
    source = (
        Image.fromarray(np.where(np.array(original.convert("L")) > 99, 255, 0).astype(np.uint8)) if grey else original
    )
    if mode.startswith("I"):
        levels = np.array(source).astype(np.int32) * 257
        image = Image.fromarray(levels.astype(np.uint16) if mode == "I;16" else levels)
    elif mode == "PA":
        image = source.convert("P").convert("PA")
    else:
        image = source.convert(mode)
    assert image.mode == mode
    expected = chw(source.convert("P").convert("RGB")) if mode in ("P", "PA") else chw(source)
    assert worst(from_pil(image), expected) <= (8 if mode in ("HSV", "YCbCr") else 2)


def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert torch.equal(image[0], torch.arange(256, dtype=torch.uint8).reshape(16, 16))
    assert torch.equal(image[0], image[2])


def test_alpha_is_dropped(tmp_path: Path) -> None:
    pixels = np.full((8, 8, 4), (200, 100, 50, 0), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[:, 3, 3].tolist() == [200, 100, 50]


def test_palette_with_transparency(original: Image.Image, tmp_path: Path) -> None:
    original.quantize(16).save(tmp_path / "a.png", transparency=bytes(range(16)))
    with Image.open(tmp_path / "a.png") as reference:
        assert worst(read_image(tmp_path / "a.png"), chw(reference.convert("RGBA"))) == 0


def test_cmyk_jpeg_is_not_inverted(original: Image.Image, tmp_path: Path) -> None:
    original.convert("CMYK").save(tmp_path / "a.jpg", quality=95, subsampling=0)  # Adobe marker, inverted inks
    assert worst(read_image(tmp_path / "a.jpg"), chw(original)) <= 16


def test_grey_jpeg(original: Image.Image, tmp_path: Path) -> None:
    original.convert("L").save(tmp_path / "a.jpg", quality=95)
    assert worst(read_image(tmp_path / "a.jpg"), chw(original.convert("L"))) <= 4


def test_first_frame_of_an_animation(original: Image.Image, tmp_path: Path) -> None:
    original.save(tmp_path / "a.png", save_all=True, append_images=[Image.new("RGB", original.size)])
    assert worst(read_image(tmp_path / "a.png"), chw(original)) == 0


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=rf"a\.{suffix}: .+; .+"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>not found</html>", "is not an image in a known format"),
        (b"\xff\xd8\xff\xe0 and then nothing of the kind", "cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n", "is not an image in a known format"),
    ],
)
def test_not_a_image(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.jpg: {reason}"):
        read_image(tmp_path / "a.jpg")


def test_missing_or_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jpg: cannot be read \(No such file or directory\); put the image"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(DataError, match="cannot be read"):
        read_image(tmp_path)


def test_floating_point_has_no_range() -> None:
    with pytest.raises(ValueError, match="no known range"):
        from_pil(Image.new("F", (4, 4)))


@pytest.mark.parametrize(
    "metadata",
    [
        {"icc_profile": bytes(2_000_000)},
        {"exif": b"Exif\0\0garbage"},
        {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0\0\0\0\0"},  # orientation 9
    ],
    ids=["large profile", "broken EXIF", "orientation 9"],
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_odd_metadata(original: Image.Image, tmp_path: Path, suffix: str, metadata: dict[str, bytes]) -> None:
    original.save(tmp_path / f"a.{suffix}", quality=95, subsampling=0, **metadata)
    assert read_size(tmp_path / f"a.{suffix}") == (48, 64)
    assert worst(read_image(tmp_path / f"a.{suffix}"), chw(original)) <= (0 if suffix == "png" else 12)


@pytest.mark.parametrize("compressed", [False, True])
def test_png_with_large_text_is_turned_and_transparent(original: Image.Image, tmp_path: Path, compressed: bool) -> None:
    text, exif = PngInfo(), Image.Exif()
    for number in range(2):
        text.add_text(f"Comment {number}", "x" * 40_000_000, zip=compressed)  # PIL takes 64 MB of text, of 1 MB each
    exif[0x0112] = 6
    palette = original.transpose(Image.Transpose.ROTATE_90).quantize(16)
    palette.save(tmp_path / "a.png", pnginfo=text, exif=exif, transparency=bytes([0, 128]))
    palette.save(tmp_path / "plain.png", exif=exif, transparency=bytes([0, 128]))
    assert read_size(tmp_path / "a.png") == (48, 64)
    assert worst(read_image(tmp_path / "a.png"), read_image(tmp_path / "plain.png")) == 0


def test_a_truncated_png_with_a_large_profile_is_refused(original: Image.Image, tmp_path: Path) -> None:
    original.save(tmp_path / "a.png", icc_profile=bytes(2_000_000))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-400])
    with pytest.raises(DataError, match=r"a\.png: cannot be decoded"):
        read_image(tmp_path / "a.png")


def test_reading_in_threads_leaves_the_filters_of_warnings(original: Image.Image, tmp_path: Path) -> None:
    original.quantize(4).save(tmp_path / "a.png", transparency=bytes([0, 128]))
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(read_image, [tmp_path / "a.png"] * 200))
    assert all(torch.equal(image, images[0]) for image in images)
    assert warnings.filters == before
