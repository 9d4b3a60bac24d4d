"""Where the images come from and how they are prepared. Imports no torch: the command line reads it at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cvzoo.fields import Count, Degrees, Natural, Needs, NotNegative, Pixels, Positive, Range, Share, recipe_problems

Source = Literal["coco", "coco_export", "voc", "yolo", "labelme", "csv", "label_maps", "shapes"]

DROPPING = ("rotation", "zoom", "shift", "shear", "mosaic", "mixup", "copy_paste", "cutout")
"""What may leave too little of an object to be seen."""
SEMANTIC = ("source=label_maps", "shapes.label_maps=True")


@dataclass(frozen=True, kw_only=True)
class Split:
    """One part of a data set."""

    images: str
    """Folder of the images, relative to the root. Several COCO-format files, or folders of annotations, have one each,
    separated by commas."""
    annotations: str
    """COCO-format JSON, CSV file, or the folder of the label maps or of a file for each image, relative to the root.
    Several are separated by commas: all count, but of label maps the first that an image has."""
    lists: tuple[str, ...] = ()
    """Text files, relative to the root, that name the images of the split, one a line, the suffix left out or not; of
    label maps also image and label map. None takes every image. Source `coco` has no lists, `coco_export` may have."""


UNDIVIDED = Split(images="", annotations="")
"""In place of the training split: what is evaluated is all there is, and a training has yet to hold some of it back."""


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """The drawn data set: every image is a pure function of (split, index), so nothing is stored."""

    size: Pixels = 128
    """Side of the square images in pixels."""
    train_images: Count = 20_000
    """Images in the training split before they repeat."""
    val_images: Count = 100
    """Unseen images for the evaluation."""
    max_objects: Count = 5
    """Each image shows 1 to this many objects."""
    label_maps: bool = False
    """Give every pixel a class, the background's among them, instead of every object a box."""
    figures: bool = False
    """Draw jointed figures of people instead of geometric shapes, with their surfaces for dense pose."""


@dataclass(frozen=True, kw_only=True)
class LabelMaps:
    """Label maps: images whose pixels are class numbers, each named like the image it belongs to."""

    classes: tuple[str, ...] = ()
    """Name of each class, in the order of their numbers. None reads `classes.txt` in the root, a name a line."""
    ignored: tuple[int, ...] = (255,)
    """Numbers of pixels without a class: they are not learnt and not counted."""
    reduce_zero: bool = False
    """0 means without a class, and the classes count from 1 (ADE20K)."""
    image_suffix: str = ".jpg"
    """What follows the common name of image and label map in the name of the image's file."""
    label_suffix: str = ".png"
    """What follows the common name of image and label map in the name of the label map's file."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Where the images and what is known of them come from."""

    source: Source = "coco"
    """What lies under `root`, beside images. `coco`: a COCO-format JSON for each split. `coco_export`: the same as
    other tools write it, put right where it departs from COCO. `voc`: an XML for each image (Pascal VOC). `yolo`: a
    text file for each image. `labelme`: a JSON for each image. `csv`: a table of boxes. `label_maps`: a label map for
    each image. `shapes`: drawn on the fly, nothing to download. Where data.root alone is named, what lies there is
    recognised."""
    root: Path = Path("data/coco")
    """Folder of the data set."""
    train: Split = Split(images="train2017", annotations="annotations/instances_train2017.json")
    """The training split."""
    val: Split = Split(images="val2017", annotations="annotations/instances_val2017.json")
    """The split that is evaluated."""
    shapes: Annotated[Shapes, Needs("source=shapes")] = Shapes()
    """Settings of the drawn images; used by source `shapes` only."""
    label_maps: Annotated[LabelMaps, Needs("source=label_maps")] = LabelMaps()
    """What the numbers of label maps mean; used by source `label_maps` only."""
    classes: tuple[str, ...] = ()
    """Learn and evaluate only these classes, by their names after `data.rename`; their labels are in this order. None
    takes all, in the order of the data. Objects of other classes are left out, pixels of other classes ignored."""
    rename: tuple[str, ...] = ()
    """New names of classes, each `old=new`. Classes that come to have one name become one class."""
    limit: Count | None = None
    """Train and evaluate on this many training images, of objects those with 2 to 12 boxes (a check that a model can
    learn at all)."""
    masks: bool = False
    """Read the objects' segmentations, and evaluate masks too."""
    surfaces: bool = False
    """Read the surfaces of people (dense pose), and train only on images where at least one person has one."""
    charts: Annotated[Literal["smpl", "flat"], Needs("surfaces")] = "smpl"
    """Dense pose: what the parts of a surface are like. `smpl`: COCO's body, described by files in `data.smpl`.
    `flat`: unconnected squares, whose mirror images are the same squares of the other side (the drawn figures)."""
    smpl: Annotated[Path, Needs("surfaces")] = Path("data/smpl")
    """Dense pose: folder of the files that describe COCO's body; docs/dense_pose.md lists them."""

    def problems(self) -> list[str]:
        """What is wrong with these settings, each with the field's name."""
        problems = []
        if self.source == "coco" and (self.train.lists or self.val.lists):
            problems.append(
                "data.train.lists, data.val.lists: of COCO's files all images count; lists choose among those"
                " of source coco_export"
            )
        if self.shapes.figures and self.shapes.label_maps:
            problems.append("data.shapes.figures are objects without label maps; leave out data.shapes.label-maps")
        if self.source == "shapes" and self.surfaces and not self.shapes.figures:
            problems.append("data.surfaces: geometric shapes have none; draw people with data.shapes.figures")
        if self.source == "shapes" and self.surfaces and self.charts != "flat":
            problems.append("data.charts of drawn figures must be flat")
        if self.source == "shapes" and (self.classes or self.rename):
            problems.append("data.classes and data.rename: drawn images have fixed classes; leave both out")
        problems += [
            f"data.rename: {entry!r} is not of the form old=new"
            for entry in self.rename
            if not all(entry.partition("="))
        ]
        return problems

    @property
    def semantic(self) -> bool:
        """Whether every pixel has a class, instead of every object a box."""
        return self.source == "label_maps" or (self.source == "shapes" and self.shapes.label_maps)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large images are, in training and in evaluation."""

    short_sides: Annotated[tuple[Pixels, ...], Needs("window_scales=()")] = (800,)
    """Training: the short side is drawn from these, in pixels."""
    test_short_side: Pixels = 800
    """Evaluation and prediction: the short side in pixels."""
    test_full_size: bool = False
    """Evaluation and prediction: leave every image at its own size instead."""
    test_scales: tuple[Pixels, ...] = ()
    """Evaluation: look at every image at each of these short sides instead, and merge (test-time augmentation)."""
    test_flip: bool = False
    """Evaluation: look at every image mirrored, too, and merge (test-time augmentation)."""
    test_window: tuple[Pixels, Pixels] | None = None
    """Evaluation of label maps: slide a (height, width) window over the image, by two thirds of it, and merge."""
    max_long_side: Pixels = 1333
    """The long side never exceeds this; the short side shrinks instead."""
    canvas: tuple[Pixels, Pixels] | None = None
    """Fixed (height, width) every image is padded to; None pads to the largest image of the batch."""

    def problems(self) -> list[str]:
        """What is wrong with these settings, each with the field's name."""
        problems = []
        if not self.short_sides:
            problems.append("data.short-sides must hold a size at least")
        if self.max_long_side < max((*self.short_sides, self.test_short_side, *self.test_scales)):
            problems.append(f"data.max-long-side {self.max_long_side} is below the short side; raise it")
        if self.test_full_size and (self.test_scales or self.canvas is not None):
            problems.append("data.test-full-size does not resize; leave out data.test-scales and data.canvas, or it")
        return problems


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training images are varied."""

    scale_jitter: Annotated[tuple[Positive, Positive] | None, Needs("window_scales=()")] = None
    """Training: zoom by a factor drawn from this range around the size above, then crop to fit; keep what is inside."""
    crop: tuple[Pixels, Pixels] | None = None
    """Training: (height, width) that is cut out of the zoomed image, and that a smaller one is padded to."""
    window_scales: tuple[Positive, ...] = ()
    """Training: cut a square window of this many times the image's long side, drawn from these, around a random place
    instead, and resize it to the (square) crop; what of it lies outside the image is black."""
    window_side: Annotated[Pixels | None, Needs("window_scales")] = None
    """Training: the pixels of which the window's scales are multiples, instead of the image's long side."""
    window_border: Annotated[Natural, Needs("window_scales")] = 128
    """Training: the window's middle lies so many pixels inside the image; in a small one half of that, a quarter ..."""
    crop_max_share: Annotated[float, Range(0, 1, above=True), Needs(*SEMANTIC)] = 1.0
    """Training on label maps: look up to ten times for a crop where no class has more than this share of the pixels."""
    colour_jitter: Annotated[float, Range(0, 1, below=True)] = 0.0
    """Training: brightness, contrast and saturation change by up to this share."""
    distort_colours: bool = False
    """Training: brightness, contrast, saturation and hue change, each in every second image (SSD's distortion)."""
    flip: Share = 0.5
    """Training: probability of a horizontal flip."""
    vertical_flip: Share = 0.0
    """Training: probability of a vertical flip."""
    rotation: tuple[Degrees, Degrees] = (0.0, 0.0)
    """Training: turn the image around its middle by an angle drawn from this range, in degrees counter-clockwise. What
    comes into view from outside is black; the image keeps its size."""
    zoom: tuple[Positive, Positive] = (1.0, 1.0)
    """Training: enlarge the image around its middle by a factor drawn from this range; it keeps its size."""
    shift: Share = 0.0
    """Training: move the image by up to this share of its width and height."""
    shear: Annotated[float, Range(0, 45, below=True)] = 0.0
    """Training: slant the image along both axes, by up to so many degrees each."""
    min_visible: Annotated[Share, Needs(*DROPPING)] = 0.1
    """Training: rotation, zoom, shift, shear, mosaic, MixUp, copy-paste and cutout drop an object of which they leave
    less than this share to be seen."""
    mosaic: Share = 0.0
    """Training: probability that an image is put together with three others, which meet at a random point."""
    mixup: Share = 0.0
    """Training: probability that another image shines through, its objects among the image's own."""
    copy_paste: Share = 0.0
    """Training: probability that half of the objects of another image are pasted onto this one, by their masks."""
    mixed_until: Annotated[Share, Needs("mosaic", "mixup", "copy_paste")] = 1.0
    """Training: mosaic, MixUp and copy-paste stop after this share of the run."""
    blur: Share = 0.0
    """Training: probability that an image is blurred, by a Gaussian of 0.1 to 2 pixels."""
    greyscale: Share = 0.0
    """Training: probability that an image loses its colours."""
    cutout: Share = 0.0
    """Training: probability that noise hides a rectangle of 2 to 20 % of the image; of a label map it is ignored."""
    transform: str | None = None
    """Training: a function of your own, `module:function` or `file.py:function`, which is given the sample after all of
    the above, with a generator of random numbers, and returns it varied (docs/augmentation.md)."""
    flip_uv_self_parts: Annotated[bool, Needs("surfaces")] = True
    """Training on surfaces: a horizontal flip mirrors the coordinates on the torso too, which has no left and right
    part. The first recipes of DensePose (until January 2020) left them as they were."""

    def problems(self) -> list[str]:
        """What is wrong with these settings, each with the field's name."""
        problems = []
        if self.scale_jitter is not None and self.scale_jitter[0] > self.scale_jitter[1]:
            problems.append(f"data.scale-jitter is a range of factors, the smaller first, not {self.scale_jitter}")
        if self.window_scales and (self.crop is None or self.crop[0] != self.crop[1]):
            problems.append(f"data.window-scales needs a square data.crop to be resized to, not {self.crop}")
        for name, drawn in (("rotation", self.rotation), ("zoom", self.zoom)):
            if drawn[0] > drawn[1]:
                problems.append(f"data.{name} is a range, the smaller number first, not {drawn}")
        if self.transform is not None and not all(self.transform.rpartition(":")[::2]):
            problems.append(f"data.transform is module:function or file.py:function, not {self.transform!r}")
        return problems

    @property
    def warps(self) -> bool:
        """Whether images are turned, zoomed, moved or slanted."""
        return (*self.rotation, *self.zoom, self.shift, self.shear) != (0, 0, 1, 1, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Loading:
    """Which training images are seen, in which order, and who loads them."""

    keep_empty: bool = False
    """Train on images without objects too (all their pixels are background)."""
    repeat_threshold: NotNegative = 0.0
    """Repeat-factor sampling (LVIS): categories in under this share of the images are seen more often; 0 is off."""
    aspect_grouping: bool = True
    """Put portrait and landscape images in different batches, to pad less."""
    workers: Natural = 4
    """Loader processes per training process; 0 loads in the training process."""
    cache: bool = False
    """Keep decoded, resized images in memory (small data sets)."""


@dataclass(frozen=True, kw_only=True)
class Data(Loading, Augmentation, Sizes, DataSet):
    """Source and preparation of the images."""

    def __post_init__(self) -> None:
        problems = recipe_problems(self, "data.") or self._disagreements()
        if problems:
            raise ValueError("; ".join(problems))

    def _disagreements(self) -> list[str]:
        """What fits no other field, each with the field's name."""
        problems = DataSet.problems(self) + Sizes.problems(self) + Augmentation.problems(self)
        if self.semantic:
            problems += self._refused("blend or paste objects, of which label maps know none", "mixup", "copy_paste")
        if self.surfaces:
            immovable = ("vertical_flip", "rotation", "shear", "copy_paste")
            problems += self._refused("cannot move the surfaces of dense pose", *immovable)
        return problems

    def _refused(self, reason: str, *names: str) -> list[str]:
        """The fields of these names that are set, for which there is a reason against."""
        asked = [name for name in names if getattr(self, name) != getattr(Augmentation, name)]
        fields = ", ".join(f"data.{name.replace('_', '-')}" for name in asked)
        return [f"{fields} {reason}; leave {'them' if len(asked) > 1 else 'it'} out"] if asked else []

    @property
    def reads_masks(self) -> bool:
        """Whether training needs the objects' masks, be it only to cut them out."""
        return self.masks or self.copy_paste > 0
