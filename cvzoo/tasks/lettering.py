"""Text on images, in fonts that have its letters, on plates that keep clear of each other."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path

import matplotlib as mpl
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

log = logging.getLogger(__name__)
Colour = tuple[int, int, int]
Place = tuple[float, float]
"""x and y in pixels."""
DEFAULT = Path(mpl.get_data_path(), "fonts/ttf/DejaVuSans.ttf")
"""Latin, Greek, Cyrillic, Arabic and more; comes with matplotlib."""
PLACEHOLDERS = "Last Resort"
"""A font that has the same box for every letter of a script."""
BESIDE = 3
"""Pixels of a plate to the left and right of its text."""


@dataclass(frozen=True)
class Font:
    """Several fonts of one size: what one lacks, the next writes."""

    files: tuple[Path, ...]
    size: int
    """In pixels."""

    def runs(self, text: str) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
        """The text in pieces, each with its font, which changes only where it lacks a letter."""
        piece, file = "", self.files[0]
        for letter in text:
            if not _has(file, letter):
                if piece:
                    yield piece, _truetype(file, self.size)
                piece, file = "", next((other for other in self.files if _has(other, letter)), file)
            piece += letter
        if piece:
            yield piece, _truetype(file, self.size)

    def width(self, text: str) -> float:
        """In pixels."""
        return sum(font.getlength(piece) for piece, font in self.runs(text))

    @property
    def height(self) -> int:
        """From the top of a line to the lower end of its letters, in pixels."""
        return round(_truetype(self.files[0], self.size).getbbox("Ag")[3])

    def write(self, canvas: ImageDraw.ImageDraw, at: Place, text: str, fill: str) -> None:
        """Draw the text from this top left corner on; all fonts stand on one line."""
        x, y = at
        line = y + _truetype(self.files[0], self.size).getmetrics()[0]
        runs = list(self.runs(text))
        places = accumulate((font.getlength(piece) for piece, font in runs), initial=x)
        for (piece, font), place in zip(runs, places):
            canvas.text((place, line), piece, fill=fill, font=font, anchor="ls")


def lettering(drawn: Image.Image, texts: Sequence[str]) -> tuple[list[str], Font]:
    """The texts as they are written on an image, and fonts of a size that suits it.

    These are matplotlib's own and, for the letters that it lacks, those of the machine that have most of them. A letter
    that none has is written as its number: \\u732b.
    """
    files, missing = _font_files(frozenset("".join(texts)))
    names = str.maketrans({letter: letter.encode("unicode_escape").decode() for letter in missing})
    return [text.translate(names) for text in texts], Font(files, max(11, round(max(drawn.size) / 44)))


@cache
def _font_files(letters: frozenset[str]) -> tuple[tuple[Path, ...], frozenset[str]]:
    """Fonts that have the letters between them, and the letters that none has."""
    files, missing = (DEFAULT,), _missing(DEFAULT, letters)
    while missing:
        lacking = [(file, _missing(file, missing)) for file in _machine_fonts()]
        file, left = min(lacking, key=lambda entry: len(entry[1]), default=(DEFAULT, missing))
        if left == missing:
            _warn(missing)
            break
        files, missing = (*files, file), left
    return files, missing


def _missing(file: Path, letters: frozenset[str]) -> frozenset[str]:
    """The letters that a font lacks; all where it is made of dots of one size, as some of coloured pictures are."""
    try:
        font = FT2Font(str(file))
    except (OSError, RuntimeError):  # gone since matplotlib has listed it, or none that FreeType reads
        return letters
    return frozenset(letter for letter in letters if not (font.scalable and font.get_char_index(ord(letter))))


@cache
def _warn(missing: frozenset[str]) -> None:
    """Once for the same letters."""
    log.warning(
        "no font of this machine has %s; the numbers of these letters are drawn instead. Install a font that has"
        " them (Chinese, Japanese, Korean: Noto Sans CJK)",
        " ".join(sorted(missing)),
    )


@cache
def _machine_fonts() -> list[Path]:
    from matplotlib import font_manager  # lists all fonts, which takes seconds where none has done it

    fonts = (entry for entry in font_manager.fontManager.ttflist if not entry.name.startswith(PLACEHOLDERS))
    return sorted({Path(entry.fname) for entry in fonts if entry.style == "normal"})


@cache
def _truetype(file: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


@cache
def _letters(file: Path) -> frozenset[int]:
    """The code points that a font has, of those that are written with."""
    return frozenset(FT2Font(str(file)).get_charmap())


def _has(file: Path, letter: str) -> bool:
    return ord(letter) in _letters(file)


def plate_size(text: str, font: Font) -> tuple[float, float]:
    """Width and height of the plate that `write_plate` draws; the height is that of any text."""
    return font.width(text) + 2 * BESIDE, font.height + 4


def write_plate(canvas: ImageDraw.ImageDraw, text: str, at: Place, colour: Colour, font: Font) -> None:
    """Text on a plate of the colour, whose top left corner is at this place."""
    (x, y) = at
    (width, height) = plate_size(text, font)
    canvas.rectangle((x, y, x + width, y + height), fill=colour)
    is_light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    font.write(canvas, (x + BESIDE, y + 1), text, "black" if is_light else "white")
