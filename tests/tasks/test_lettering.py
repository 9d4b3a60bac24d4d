"""Different names look different, whatever their script."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cvzoo.tasks.lettering import DEFAULT, _font_files, lettering, plate_size, write_plate

IMAGE = Image.new("RGB", (480, 320))


def written(name: str, among: tuple[str, ...] = ()) -> np.ndarray:
    (text, *_), font = lettering(IMAGE, [name, *among])
    plate = Image.new("RGB", (200, 40))
    write_plate(ImageDraw.Draw(plate), text, (0, 0), (255, 255, 255), font)
    return np.asarray(plate)


@pytest.mark.parametrize(("one", "other"), [("é", "è"), ("ж", "й"), ("ß", "ñ"), ("猫", "犬"), ("α", "β"), ("👟", "👞")])
def test_letters_look_different(one, other):
    assert (written(one) != written(other)).any()
    assert (written(one, among=(other, "a")) != written(other, among=(one, "a"))).any()


def test_letters_of_the_default_font_stay():
    names = ["person 0.97", "Fußgänger", "пешеход"]
    assert lettering(IMAGE, names)[0] == names


def test_a_letter_of_no_font_is_written_as_its_number(caplog):
    unassigned = "\U000e0fff"
    (text,), font = lettering(IMAGE, [f"a{unassigned}b"])
    assert text == r"a\U000e0fffb"
    assert plate_size(text, font)[0] > plate_size("ab", font)[0]
    assert unassigned in caplog.text


def test_each_letter_has_a_font_that_has_it(monkeypatch):
    """A font of few letters first; what it lacks is written in another."""
    monkeypatch.setattr("cvzoo.tasks.lettering.DEFAULT", DEFAULT.with_name("cmr10.ttf"))
    _font_files.cache_clear()
    (text,), font = lettering(IMAGE, ["ab éж 12"])
    _font_files.cache_clear()
    pieces = [(piece, drawn.getname()[0]) for piece, drawn in font.runs(text)]
    assert "".join(piece for piece, _ in pieces) == text == "ab éж 12"
    assert pieces[0] == ("ab ", "cmr10")
    assert all(name != "cmr10" for _, name in pieces[1:])
    assert font.width(text) == pytest.approx(sum(drawn.getlength(piece) for piece, drawn in font.runs(text)))


def test_missing_letters_are_told_once(caplog):
    for number in range(3):
        lettering(IMAGE, [f"\U000e0ffe {number}"])
    assert len(caplog.records) == 1


def test_a_line_break_is_no_second_line():
    (text,), font = lettering(IMAGE, ["a\nb"])
    assert text == r"a\nb"
    write_plate(ImageDraw.Draw(Image.new("RGB", (200, 40))), text, (0, 0), (255, 255, 255), font)
