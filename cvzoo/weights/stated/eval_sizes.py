"""How large weights take images in the test of their own toolbox or recipe; here a recipe's `data` says it.

Sources: mmdetection's and mmsegmentation's `test_pipeline`, detectron2's `INPUT`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cvzoo.data.config import Data
from cvzoo.weights.stated.section import Section
from cvzoo.weights.stated.text import settings_of


class EvalSizes(NamedTuple):
    """The sizes of a test, in pixels."""

    short_side: int
    """0 leaves images as large as they are."""
    long_side: int
    """Which it never exceeds."""
    window: tuple[int, int] | None
    """(height, width) of windows that slide over the image."""
    warped: bool = False
    """Images lose their shape, which cvzoo does not compute."""

    def told(self, data: Data) -> str:
        """That a recipe's test differs, and the options by which it would not; nothing where it does not."""
        if self.warped:
            return (
                f"its own test squeezes images to {self.long_side} and {self.short_side} pixels, this recipe does not"
            )
        options = []
        if not self.short_side and not data.test_full_size:
            options.append("--data.test-full-size")
        wanted, own = (self.short_side, self.long_side), (data.test_short_side, data.max_long_side)
        if self.short_side and (data.test_full_size or wanted != own):
            options += ["--data.no-test-full-size"] * data.test_full_size
            options += [f"--data.short-sides {self.short_side}"] * (self.long_side < max(data.short_sides))
            options.append(f"--data.test-short-side {self.short_side} --data.max-long-side {self.long_side}")
        if self.window != data.test_window:
            options.append(f"--data.test-window {' '.join(map(str, self.window or ['None']))}")
        if not options:
            return ""
        return f"its own test takes images in another size or window than this recipe; as there: {' '.join(options)}"


def recorded_sizes(recipe: Mapping[str, Any]) -> EvalSizes | None:
    """The test of the recipe in one of our own files; None where another version has written it."""
    match recipe.get("data"):
        case {
            "test_short_side": int(short),
            "max_long_side": int(long),
            "test_full_size": full,
            "test_window": (list() | None) as window,
        }:
            return EvalSizes(0 if full else short, long, tuple(window) if window else None)
    return None


def eval_sizes(record: str) -> EvalSizes | None:
    """The test of a toolbox's config in a weights file's record; None where it states none, or several sizes."""
    whole = Section(settings_of(record), "")
    given = whole.part("INPUT")
    short, long = given.take("MIN_SIZE_TEST"), given.take("MAX_SIZE_TEST")
    if isinstance(short, int) and isinstance(long, int):
        return EvalSizes(short, long, None)
    match _resize(whole):
        case ((int() as one, int() as other), keeps):
            test = whole.part("model").part("test_cfg")
            crop = test.take("crop_size") if test.take("mode") == "slide" else None
            window = crop if isinstance(crop, tuple) else None
            return EvalSizes(min(one, other), max(one, other), window, warped=not keeps)
    return None


def _resize(whole: Section) -> tuple[Any, bool]:
    """The size in the step that resizes, and whether images keep their shape."""
    for step in _steps(whole):
        kind = str(step.take("type")).rpartition(".")[2]
        if kind == "MultiScaleFlipAug":  # of version 2 of the toolbox
            return step.take("img_scale"), all(inner.take("keep_ratio", True) for inner in _within(step, "transforms"))
        if kind == "Resize":
            return step.take("scale"), bool(step.take("keep_ratio"))
    return None, True


def _steps(whole: Section) -> list[Section]:
    """By which an image is prepared, as the loader has them, or, where it names them, from where they are written."""
    loaders = (whole.part("test_dataloader").part("dataset"), whole.part("data").part("test"))
    found = (_within(place, key) for place, key in (*((one, "pipeline") for one in loaders), (whole, "test_pipeline")))
    return next(filter(None, found), [])


def _within(place: Section, key: str) -> list[Section]:
    inner = place.take(key)
    return [Section(one, "") for one in inner if isinstance(one, dict)] if isinstance(inner, tuple) else []
