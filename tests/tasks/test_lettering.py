"""Different names look different, whatever their script."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cvzoo.tasks.lettering import lettering, plate_size, write_plate

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
