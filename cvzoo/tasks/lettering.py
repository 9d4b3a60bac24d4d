"""Text on images, in a font that has its letters."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib as mpl
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

log = logging.getLogger(__name__)
Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont
DEFAULT = Path(mpl.get_data_path(), "fonts/ttf/DejaVuSans.ttf")
"""Latin, Greek, Cyrillic, Arabic and more; comes with matplotlib."""
PLACEHOLDERS = "Last Resort"
"""A font that has the same box for every letter of a script."""


def lettering(drawn: Image.Image, texts: Sequence[str]) -> tuple[list[str], Font]:
    """The texts as they are written on an image, and a font of a size that suits it.

    It is the machine's font that has most of their letters; one that it lacks is written as its number: \\u732b.
    """
    file, missing = _font_file(frozenset("".join(texts)))
    names = str.maketrans({letter: letter.encode("ascii", "backslashreplace").decode() for letter in missing})
    font = ImageFont.truetype(file, max(11, round(max(drawn.size) / 44)))
    return [text.translate(names) for text in texts], font


@cache
def _font_file(letters: frozenset[str]) -> tuple[Path, frozenset[str]]:
    """The font with most of the letters, and those that it lacks."""
    missing = _missing(DEFAULT, letters)
    if not missing:
        return DEFAULT, missing
    from matplotlib import font_manager  # lists all fonts, which takes seconds where none has done it

    fonts = (entry for entry in font_manager.fontManager.ttflist if not entry.name.startswith(PLACEHOLDERS))
    others = {Path(entry.fname) for entry in fonts if entry.style == "normal"}
    found = [(DEFAULT, missing), *((file, _missing(file, letters)) for file in sorted(others))]
    file, missing = min(found, key=lambda entry: len(entry[1]))
    if missing:
        log.warning(
            "no font of this machine has %s; the numbers of these letters are drawn instead. Install a font that has"
            " them (Chinese, Japanese, Korean: Noto Sans CJK)",
            " ".join(sorted(missing)),
        )
    return file, missing


def _missing(file: Path, letters: frozenset[str]) -> frozenset[str]:
    try:
        font = FT2Font(str(file))
    except (OSError, RuntimeError):  # gone since matplotlib has listed it, or none that FreeType reads
        return letters
    return frozenset(letter for letter in letters if not font.get_char_index(ord(letter)))


def plate_size(text: str, font: Font) -> tuple[float, float]:
    """Width and height of the plate that `write_plate` draws; the height is that of any text."""
    return font.getbbox(text)[2] + 6, font.getbbox("Ag")[3] + 4


def write_plate(canvas: ImageDraw.ImageDraw, text: str, at: tuple[float, float], colour: Colour, font: Font) -> None:
    """Text on a plate of the colour, whose top left corner is at this place."""
    (x, y) = at
    (width, height) = plate_size(text, font)
    canvas.rectangle((x, y, x + width, y + height), fill=colour)
    is_light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    canvas.text((x + 3, y + 1), text, fill="black" if is_light else "white", font=font)
