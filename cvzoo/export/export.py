"""`cvzoo export`: the graph, the file, and the proof that it answers as the model does."""

from __future__ import annotations

import copy
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from cvzoo.engine.dist import device_of
from cvzoo.engine.finish import with_weights
from cvzoo.engine.log import say
from cvzoo.engine.place import DTYPES
from cvzoo.engine.prepare import build_model
from cvzoo.export.compare import Comparison, compared
from cvzoo.export.formats import write
from cvzoo.export.graph import TRACED, graph_of
from cvzoo.export.quantise import feeds_of
from cvzoo.loading import Loaded
from cvzoo.nn.model import Model
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import to_json
from cvzoo.runtime.facts import SMALLEST, Facts, Format
from cvzoo.runtime.formats import SUFFIXES
from cvzoo.runtime.model import Exported
from cvzoo.tasks.limits import detection_config

PRECISIONS: dict[Format, tuple[str, ...]] = {
    "onnx": ("fp32", "fp16", "int8"),
    "torch_export": ("fp32", "fp16", "bf16"),
    "aoti": ("fp32", "fp16", "bf16"),
    "openvino": ("fp32", "fp16", "bf16", "int8"),
}
"""What each runtime computes in: onnxruntime has no convolutions in bf16."""


def export(
    recipe: Recipe[Any], format: Format, path: Path | None = None, int8: int | None = None
) -> tuple[Path, Comparison]:
    """Export the recipe's weights in `run.precision`, and compare what the file answers with what the model does.

    `path` is by default the row's name in the current folder, with the format's suffix. `int8` are the training images
    that show the ranges of a file in int8.

    Raises:
        ValueError: weights are missing, the runtime has not that precision, a model or an operation has no place in a
            graph, or an fp32 file answers otherwise than its model; that file is left as it is.
    """
    path = path or Path(f"{recipe.row}{SUFFIXES[format]}")
    precision = _precision(recipe, int8)
    _check(precision, format, path)
    loaded = build_model(with_weights(recipe))
    if isinstance(loaded.model, Exported):
        raise ValueError(f"{recipe.weights} is an exported file already; give the weights it was made from")
    model = loaded.model.to(device_of(recipe.run)).for_inference()
    facts = facts_of(loaded, model, precision)
    say(f"{recipe.row}: its graph ...")
    feeds = feeds_of(loaded.recipe.data, facts, int8) if int8 else ()
    graph = graph_of(_in_precision(model, precision, format), loaded.recipe.data.canvas)
    write(graph, facts, path, format, feeds)
    say(f"{path}: compared with the model ...")
    found = compared(model, _opened(path, model), loaded.recipe)
    found.check(path, precision)
    return path, found


def _precision(recipe: Recipe[Any], int8: int | None) -> str:
    if int8 is None:
        return recipe.run.precision
    if int8 < 1:
        raise ValueError(f"--int8 {int8}: the ranges of an int8 file are seen in images; give their number, 100 or so")
    if recipe.run.precision != "fp32":
        raise ValueError(f"--int8 and --precision {recipe.run.precision} exclude each other; leave one out")
    return "int8"


def _check(precision: str, format: Format, path: Path) -> None:
    if precision not in PRECISIONS[format]:
        raise ValueError(
            f"{format} runs in {' or '.join(PRECISIONS[format])}, not in {precision}; choose another format"
        )
    suffix = SUFFIXES[format]
    if not path.name.endswith(suffix):
        raise ValueError(f"a file of {format} is named *{suffix}, not {path.name}")


def _in_precision(model: Model, precision: str, format: Format) -> Model:
    """The model itself where the file or its runtime makes less of it; else a copy whose network computes so."""
    if precision not in DTYPES or precision == "fp32" or format == "openvino":
        return model
    dtype = DTYPES[precision]
    copied = copy.deepcopy(model).to(dtype)
    copied.backbone.register_forward_pre_hook(lambda _, images: tuple(x.to(dtype) for x in images))
    return copied


def _opened(path: Path, model: Model) -> Exported:
    exported = Exported(path)
    exported.config = model.config
    return exported


def facts_of(loaded: Loaded, model: Model, precision: str = "fp32") -> Facts:
    """What an exported file will say of a model."""
    recipe, config = loaded.recipe, model.config
    data, pixels, detect = recipe.data, config.pixels, detection_config(config)
    thresholds = {
        name: getattr(detect, name) for name in ("score_threshold", "nms_threshold", "detections") if detect is not None
    }
    return Facts(
        cvzoo=metadata.version("cvzoo"),
        row=recipe.row,
        task=config.answer,
        outputs=_outputs(model),
        precision=precision,
        classes=loaded.class_names,
        category_ids=loaded.category_ids,
        short_side=data.test_short_side,
        long_side=data.max_long_side,
        full_size=data.test_full_size,
        canvas=None if data.canvas is None else list(data.canvas),
        divisor=pixels.divisor,
        smallest=SMALLEST,
        mean=list(pixels.mean),
        std=list(pixels.std),
        bgr=pixels.bgr,
        thresholds=thresholds,
        data=loaded.data,
        recipe=to_json(recipe),
    )


@torch.no_grad()
def _outputs(model: Model) -> list[str]:
    """Names of what a model answers; it is asked, and says so too where it cannot be exported."""
    device = next(model.parameters()).device
    images = torch.zeros(1, 3, *TRACED, dtype=torch.uint8, device=device)
    return list(model.infer(images, torch.tensor([TRACED], device=device))._fields)
