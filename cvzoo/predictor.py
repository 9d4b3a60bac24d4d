"""From Python: any kind of images in, answers in their own pixels out."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from itertools import groupby, islice
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, Self, TypedDict, Unpack, overload

from PIL import Image
from torch import Tensor

import cvzoo
from cvzoo.data.image_files import is_camera
from cvzoo.data.inputs import IMAGES, Frame, ImageLike, read_frame
from cvzoo.data.sources import Source, ahead, frames_of, newest
from cvzoo.data.transforms import eval_resize
from cvzoo.engine.dist import device_of
from cvzoo.engine.finish import with_weights
from cvzoo.engine.log import say
from cvzoo.engine.place import autocast, compiled, for_inference, place
from cvzoo.engine.prepare import build_model
from cvzoo.ops.tiles import tiles_of
from cvzoo.recipes import Recipe
from cvzoo.share.folder import push, save
from cvzoo.structures import Answer, Batch, Sample, Size, size_of
from cvzoo.tasks import task_of
from cvzoo.tasks.about import About, ClassNames, labels_of
from cvzoo.tasks.limits import Limits
from cvzoo.tasks.task import Answered, Look, Show
from cvzoo.weights.hub import SCHEME, is_hub

Looked = tuple[Any, dict[str, float]]
"""The answer to an image, and the seconds that it took."""
OVERLAP = 0.2
VARIANTS = 8
"""So many combinations of thresholds are kept ready."""
TOGETHER = 64
"""Of a list of images so many are decoded at a time."""
BATCH = 8
"""Images of one size that are predicted together."""

HABITS = {
    **dict.fromkeys(("threshold", "score_threshold", "score_thr", "min_score", "confidence"), "it is called conf"),
    **dict.fromkeys(("iou_threshold", "nms_threshold", "nms"), "it is called iou"),
    **dict.fromkeys(
        ("imgsz", "image_size", "size"), "images are resized as the row's recipe says; tile looks at parts"
    ),
    **dict.fromkeys(("device", "half", "precision"), "give it to cvzoo.load"),
    "batch_size": "give a list of images, or predictor.stream(images, batch=8)",
}
"""What to say of options that other libraries have here."""


class How(TypedDict, total=False):
    """How a predictor looks at images, call by call."""

    conf: float | None
    """Detections of at least this score, 0..1; also below the model's own threshold."""
    iou: float | None
    """Of two boxes of a class with a higher IoU the lower-scored goes, 0..1; of rows that suppress boxes by IoU."""
    classes: ClassNames | None
    """Detections of these classes, by name or label."""
    max_detections: int | None
    """At most so many detections in an image, the best ones."""
    tile: Size | None
    """Look at windows of the image, of this height and width in its own pixels, and join what is found in them."""
    overlap: float
    """How far neighbouring tiles overlap, as a share of a tile: objects up to this size are seen whole. 0.2 if left
    out."""
    bgr: bool
    """Arrays and tensors are in OpenCV's order of channels."""


class Wanted(NamedTuple):
    """What a call asks for."""

    model: Any
    """The model with the thresholds asked for."""
    limits: Limits
    tile: Size | None
    overlap: float


class Predictor:
    """A model with its weights, ready for images of any size."""

    classes: list[str]
    """Names of the classes, by label."""
    category_ids: Sequence[int]
    """The number of each class in the data set that the weights were trained on."""

    @classmethod
    def from_pretrained(cls, source: str | Path, device: str = "auto", precision: str = "fp32") -> Self:
        """A predictor from a folder that `save_pretrained` has written, or from OWNER/NAME on the Hugging Face hub.

        The weights' sha256 is checked; nothing is unpickled. ValueError when it is no such folder or repository.
        """
        folder = Path(source).is_dir() or is_hub(str(source))
        recipe = cvzoo.trained_recipe(str(source) if folder else f"{SCHEME}{source}")
        return cls(replace(recipe, run=replace(recipe.run, **{"device": device, "precision": precision})))

    def __init__(self, recipe: Recipe[Any]) -> None:
        """Build the recipe's model with its weights. ValueError when it has none."""
        self.device = device_of(recipe.run)
        loaded = build_model(with_weights(recipe))
        self.recipe = loaded.recipe
        if not loaded.classes:
            say(f"{loaded.recipe.weights} names no classes; they are called class 0, class 1 ...")
        self.classes, self.category_ids = loaded.class_names, loaded.category_ids
        fast = for_inference(loaded.model.to(self.device), self.recipe.run)
        self._model = compiled(fast, self.recipe.run)
        self._limited = lru_cache(VARIANTS)(self._with_limits)

    def __repr__(self) -> str:
        return f"<predictor {self.recipe.row}, {len(self.classes)} classes, on {self.device}>"

    @property
    def gives_masks(self) -> bool:
        """Whether its detections have masks."""
        return self._model.predicts_masks

    @overload
    def __call__(self, images: ImageLike, **how: Unpack[How]) -> Answered: ...
    @overload
    def __call__(self, images: Sequence[ImageLike], **how: Unpack[How]) -> list[Answered]: ...

    def __call__(self, images: ImageLike | Sequence[ImageLike], **how: Unpack[How]) -> Answered | list[Answered]:
        """Look at one image or at several, of any mix of kinds and sizes; from several threads at once, if need be.

        `how`: see `How`.

        Returns:
            Detections, or of a row of semantic segmentation LabelledPixels, on the CPU in the image's own pixels; or a
            list of them in the order of the images.

        Raises:
            ValueError: images cannot be read, each of which it names, or something cannot be asked of this row.
        """
        wanted = self.wanted(how)
        if isinstance(images, ImageLike):
            return self.answers(_frames([images], how), [wanted])[0]
        if isinstance(images, bytes | bytearray) or not isinstance(images, Sequence):
            raise ValueError(f"{IMAGES}, or a list of them, not {type(images).__name__}")
        answers: list[Answered] = []
        problems: list[str] = []
        for start in range(0, len(images), TOGETHER):  # decoded images are large, however many there are
            try:
                frames = _frames(images[start : start + TOGETHER], how, start)
                answers += self.answers(frames, [wanted] * len(frames))
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError("\n".join(problems))
        return answers

    def stream(self, source: Source, *, batch: int = BATCH, **how: Unpack[How]) -> Iterator[Answered]:
        """Look at many images, one after the other: a folder, a pattern, a video, an iterable of images, a camera.

        Answers come in order, `batch` images at a time; a thread reads ahead the images of two batches. Take 1 for a
        source that is live. Of a camera (`camera:0`) the latest frame is looked at, one at a time; it has no end.
        `how`: see `How`.

        Raises:
            ValueError: at once for what cannot be asked of this row; and at the end with every image that could not be
                read.
        """
        wanted = self.wanted(how)
        if batch < 1:
            raise ValueError(f"batch is 1 or more, not {batch}")
        return self._stream(source, batch, how.get("bgr", False), wanted)

    def save_pretrained(self, folder: str | Path, licence: str = "") -> Path:
        """Write weights as safetensors, recipe, figures and a model card to a folder, for others: see docs/sharing.md.

        Args:
            licence: of the weights, by the hub's name for it (`apache-2.0`, `cc-by-4.0`); that of published weights
                where nothing is said.

        Returns: the folder. ValueError for the folder of a run, which has other files of these names.
        """
        return save(self.recipe, Path(folder), licence=licence)

    def push_to_hub(self, repository: str, licence: str = "", private: bool = False) -> str:
        """Upload what `save_pretrained` writes to OWNER/NAME on the Hugging Face hub, as the account logged in there.

        Returns: the address. ValueError with the hub's reason where it refuses.
        """
        return push(self.recipe, repository, licence=licence, private=private)

    def _stream(self, source: Source, batch: int, bgr: bool, wanted: Wanted) -> Iterator[Answered]:
        problems: list[ValueError] = []
        live = isinstance(source, str | Path) and is_camera(source)
        batch = 1 if live else batch
        found = frames_of(source, bgr)
        with closing(newest(found) if live else ahead(found, 2 * batch)) as frames:
            while together := list(islice(frames, batch)):
                problems += [frame for frame in together if isinstance(frame, ValueError)]
                readable = [frame for frame in together if isinstance(frame, Frame)]
                yield from self.answers(readable, [wanted] * len(readable))
        if problems:
            raise ValueError("\n".join(map(str, problems)))

    def wanted(self, how: How) -> Wanted:
        """What is asked for, as `answers` takes it. ValueError where this row does not have it."""
        _check_names(how)
        limits = Limits(
            conf=how.get("conf"),
            iou=how.get("iou"),
            classes=how.get("classes"),
            max_detections=how.get("max_detections"),
        )
        tile, overlap = how.get("tile"), how.get("overlap", OVERLAP)
        if tile is not None and not _is_size(tile):
            raise ValueError(f"tile is a height and a width in pixels, such as (640, 640), not {tile!r}")
        if not 0 <= overlap < 1:
            raise ValueError(f"overlap is a share of the tile, 0 to less than 1, not {overlap}")
        if limits.classes is not None:
            limits = replace(limits, classes=tuple(labels_of(limits.classes, self.classes)))
        return Wanted(self._limited(limits), limits, tile, overlap)

    def _with_limits(self, limits: Limits) -> Any:
        model = task_of(self.recipe).limited(self._model, limits, self.recipe)
        return model if model is self._model else compiled(model, self.recipe.run)

    def answers(self, frames: Sequence[Frame], wanted: Sequence[Wanted]) -> list[Answered]:
        """The answers to decoded images, in their order, each as it is wanted; what one model sees it sees together."""
        looked: dict[int, Looked] = {}
        together: dict[int, list[int]] = {}
        for number, (frame, ask) in enumerate(zip(frames, wanted)):
            if ask.tile is None:
                together.setdefault(id(ask.model), []).append(number)
            else:
                looked[number] = self._tiled(frame.pixels, ask.tile, ask)
        for numbers in together.values():
            found = self._looks(wanted[numbers[0]].model, [frames[number].pixels for number in numbers])
            looked |= zip(numbers, found)
        task = task_of(self.recipe)
        return [
            task.answered(looked[number][0], self._about(frame, looked[number][1]), ask.limits)
            for number, (frame, ask) in enumerate(zip(frames, wanted))
        ]

    def _about(self, frame: Frame, seconds: dict[str, float]) -> About:
        return About(
            classes=self.classes,
            category_ids=self.category_ids,
            size=size_of(frame.pixels),
            path=frame.path,
            frame=frame.number,
            time=frame.time,
            pixels=None if frame.is_file else frame.pixels,
            seconds={"read": frame.seconds} | seconds,
        )

    def _tiled(self, image: Tensor, tile: Size, wanted: Wanted) -> Looked:
        """The answer to one image, from those of its tiles; few of them are in work at a time."""
        tiles = tiles_of(size_of(image), tile, wanted.overlap)
        found: list[Looked] = []
        for start in range(0, len(tiles), BATCH):
            windows = [image[:, tile.rows, tile.columns] for tile in tiles[start : start + BATCH]]
            found += self._looks(wanted.model, windows)
        answer = task_of(self.recipe).joined([one for one, _ in found], tiles, size_of(image), wanted.model)
        return answer, {name: sum(seconds[name] for _, seconds in found) for name in ("resize", "predict")}

    def _looks(self, model: Any, images: Sequence[Tensor]) -> list[Looked]:
        """The answer to each image, and what it took."""
        seen = self._each(lambda batch: [answer.to("cpu") for answer in model.predict(batch)], images)
        found = {number: (answer, seconds) for number, answer, seconds in seen}
        return [found[number] for number in range(len(images))]

    def _each(
        self, see: Callable[[Batch], list[Any]], images: Sequence[Tensor]
    ) -> Iterator[tuple[int, Any, dict[str, float]]]:
        """What `see` finds in each image, with the image's number and the seconds that it took, in any order."""
        clock = time.perf_counter()
        samples = [Sample(image=pixels, image_id=n, original_size=size_of(pixels)) for n, pixels in enumerate(images)]
        resized = sorted((eval_resize(sample, self.recipe.data) for sample in samples), key=lambda sample: sample.size)
        resize = (time.perf_counter() - clock) / max(len(samples), 1)
        # images of one size share a canvas that is theirs alone, so the result does not depend on the company.
        for _, group in groupby(resized, key=lambda sample: sample.size):
            together = list(group)
            for start in range(0, len(together), BATCH):
                clock = time.perf_counter()
                batch = Batch.collate(together[start : start + BATCH], self.recipe.data.canvas)
                with autocast(self.recipe.run, self.device):
                    seen = see(place(batch, self.recipe.run, self.device))
                predict = (time.perf_counter() - clock) / len(batch)
                seconds = {"resize": resize, "predict": predict}
                yield from ((number, found, seconds) for number, found in zip(batch.image_ids, seen))

    def _look(self, show: Show, texture: Path | None) -> Look:
        return task_of(self.recipe).look(show, self._model, self.recipe, texture)

    def _looked_at(self, look: Look, image: Tensor, answer: Answer, min_score: float) -> Image.Image:
        ((_, seen, _),) = self._each(look.see, [image])
        return look.draw(image, seen, answer, min_score)


def _check_names(how: How) -> None:
    """TypeError for what is no option, with the nearest one."""
    known = list(How.__annotations__)
    for name in how.keys() - set(known):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        hint = HABITS.get(name, hint)
        raise TypeError(f"a predictor has no option {name}; {hint}")


def _is_size(tile: Any) -> bool:
    """Whether it is two whole numbers from 1 on."""
    sides = tile if isinstance(tile, Sequence) else ()
    return len(sides) == 2 and all(isinstance(side, Integral) and int(side) > 0 for side in sides)


def _frames(images: Sequence[ImageLike], how: How, first: int = 0) -> list[Frame]:
    """Decoded images; ValueError that names all those that cannot be read, by file or number, counted from `first`."""
    frames, problems = [], []
    for number, image in enumerate(images, start=first):
        try:
            frames.append(read_frame(image, how.get("bgr", False)))
        except ValueError as error:
            problems.append(str(error) if isinstance(image, str | Path) else f"picture {number}: {error}")
    if problems:
        raise ValueError("\n".join(problems))
    return frames
