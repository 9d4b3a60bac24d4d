"""The model card of shared weights: every figure in it comes from the row files, the recipe or the zoo."""

from __future__ import annotations

from dataclasses import dataclass

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, PackageLoader, StrictUndefined

from cvzoo.loading import Loaded, own_recipe, published_weights, system_of
from cvzoo.recipes.codec import changes
from cvzoo.results.row_files import RowFile
from cvzoo.tasks.sections import SUMMARY, metric_title
from cvzoo.weights.class_count import class_count
from cvzoo.zoo import ROWS
from cvzoo.zoo.system import Published, Reference

PIPELINES = {
    "detection": "object-detection",
    "instance": "image-segmentation",
    "segmentation": "image-segmentation",
    "pose": "keypoint-detection",
}
"""What the hub calls a task."""
COSTS = {
    "mem_gb": "peak memory in training, GB",
    "train_s_per_iter": "training, s per iteration",
    "inf_s_per_im": "inference, s per image",
    "throughput": "inference, images per s",
    "gflops": "GFLOPs of an image",
}


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What a card is made of."""

    name: str
    """What `cvzoo.load` is to be given."""
    loaded: Loaded
    """The model with its weights."""
    rows: list[RowFile]
    """What vouches for the weights; none where nobody has measured them."""
    licence: str
    """As its user states it; empty where not."""
    sha256: str
    """Of the weights' file."""
    size: int
    """Of the weights' file, in bytes."""


def card(shared: Shared) -> str:
    """The text of README.md, in Markdown with the hub's metadata at its head."""
    recipe = shared.loaded.recipe
    row, system = ROWS.get(recipe.row), system_of(recipe)
    published = published_weights(recipe.row).get(recipe.weights or "")
    licence = shared.licence.lower() or (published.licence if published else "")
    # templates of Markdown: escaping for HTML would spoil it
    templates = Environment(loader=PackageLoader("cvzoo", "share"), undefined=StrictUndefined, trim_blocks=True)
    templates.filters |= {"title": metric_title, "code": _code}
    return templates.get_template("card.md").render(
        shared=shared,
        recipe=recipe,
        system=system,
        row=row if _is_of_the_row(shared) else None,
        published=published,
        licence=licence,
        data=_data(shared),
        head=_metadata(shared, licence).to_yaml(),
        classes=shared.loaded.classes or [],
        parameters=sum(parameter.numel() for parameter in shared.loaded.model.parameters()),
        results=[(file, _results(file)) for file in shared.rows if file.results],
        costs=[(file, _costs(file)) for file in shared.rows if file.cost],
        limits=_limits(shared),
        references=_references(shared),
    )


def _metadata(shared: Shared, licence: str) -> ModelCardData:
    recipe = shared.loaded.recipe
    row, system = ROWS.get(recipe.row), system_of(recipe)
    task = PIPELINES[row.task if row else system.rows[0].task]
    return ModelCardData(
        library_name="cvzoo",
        license=licence or "other",
        pipeline_tag=task,
        tags=["cvzoo", system.key, *(f"arxiv:{paper}" for paper in system.papers)],
        model_name=recipe.row,
        eval_results=[
            EvalResult(
                task_type=task,
                dataset_type=_data(shared).lower().replace(" ", "-"),
                dataset_name=_data(shared),
                dataset_split="val",
                metric_type=metric,
                metric_name=metric_title(metric),
                metric_value=file.results["val"][metric],
            )
            for file in shared.rows[:1]
            for metric in SUMMARY
            if metric in file.results.get("val", {})
        ]
        or None,
    )


def _is_of_the_row(shared: Shared) -> bool:
    """Whether the weights are published for the row, or what its recipe makes on its data."""
    recipe = shared.loaded.recipe
    changed = changes(recipe, own_recipe(recipe))
    return recipe.row in ROWS and (shared.loaded.file is None or all(name.startswith("run.") for name in changed))


def _data(shared: Shared) -> str:
    """The data set's name, where the weights are of the row's own."""
    return ROWS[shared.loaded.recipe.row].data if _is_of_the_row(shared) else "data of their own"


def _results(file: RowFile) -> list[tuple[str, list[float | None]]]:
    """Each figure with its value in every split, in the order of the file; what has no ground truth is left out."""
    names = dict.fromkeys(name for figures in file.results.values() for name in figures)
    found = {name: [figures.get(name, -1) for figures in file.results.values()] for name in names}
    return [(name, [None if v < 0 else v for v in values]) for name, values in found.items() if max(values) >= 0]


def _costs(file: RowFile) -> list[tuple[str, float]]:
    return [(title, value) for name, title in COSTS.items() if isinstance(value := file.cost.get(name), int | float)]


def _limits(shared: Shared) -> list[str]:
    """What the figures and the recipe say of where the model ends."""
    data, count = shared.loaded.recipe.data, class_count(shared.loaded.model.config)
    resized = f"to a short side of {data.test_short_side} pixels, and a long one of at most {data.max_long_side}"
    limits = [
        f"It knows {count} classes; everything else is background, or mistaken for one of them.",
        f"Images are resized {resized}; what is a few pixels large then is easily missed."
        if not data.test_full_size
        else "Images are taken at their own size; objects much larger or smaller than in its data are easily missed.",
        "Scores are no probabilities; choose a threshold on images of your own.",
    ]
    for file in shared.rows[:1]:
        limits += _weak_sizes(file.results.get("val", {})) + _learnt_by_heart(file.results)
    return limits if shared.rows else [*limits, "Nobody has measured these weights with cvzoo yet."]


def _weak_sizes(figures: dict[str, float]) -> list[str]:
    sizes = {"small": "s", "medium": "m", "large": "l"}
    found = {
        size: figures[f"box_AP{letter}"] for size, letter in sizes.items() if figures.get(f"box_AP{letter}", -1) >= 0
    }
    if len(found) < 2:
        return []
    weakest = min(found, key=lambda size: found[size])
    return [f"It is weakest at {weakest} objects: box AP {found[weakest]:.3f}, {_others(found, weakest)}."]


def _others(found: dict[str, float], weakest: str) -> str:
    return " and ".join(f"{value:.3f} at {size} ones" for size, value in found.items() if size != weakest)


def _learnt_by_heart(results: dict[str, dict[str, float]]) -> list[str]:
    shared = [name for name in SUMMARY if all(name in results.get(split, {}) for split in ("train", "val"))]
    return [
        f"On the images that it has learnt from {metric_title(name)} is {results['train'][name]:.3f}, on unseen ones"
        f" {results['val'][name]:.3f}."
        for name in shared[:1]
    ]


def _references(shared: Shared) -> list[Published | Reference]:
    """What others have published for the row, to compare with."""
    row = ROWS.get(shared.loaded.recipe.row)
    return [found for found in (*row.published, *row.references) if found.page] if row else []


def _code(text: str) -> str:
    """Text of anybody's making as code, which Markdown leaves as it is."""
    plain = " ".join(text.replace("`", "'").replace("|", "/").split())
    return f"`{plain}`"
