"""Commands on one row: show, train, eval, bench, predict."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Generic, Literal

import tyro

import cvzoo
from cvzoo.commands.printing import print_json
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import disagreements, to_json
from cvzoo.recipes.recipe import Config
from cvzoo.results.published import comparison
from cvzoo.results.row_files import RowFile, load_rows
from cvzoo.tasks.sections import SUMMARY, metric_title
from cvzoo.zoo import ROWS, system_of

if TYPE_CHECKING:
    from cvzoo.engine.finish import Result
    from cvzoo.zoo.system import Published, Reference, Row

Flat = tyro.conf.arg(name="")


@dataclass(frozen=True, kw_only=True)
class Show(Generic[Config]):
    """Options of `cvzoo show`."""

    recipe: Annotated[Recipe[Config], Flat]
    """The row."""
    json: bool = False
    """Print one JSON object: recipe, parameters, references, published weights and what was measured."""


@dataclass(frozen=True, kw_only=True)
class Bench(Generic[Config]):
    """Options of `cvzoo bench`."""

    recipe: Annotated[Recipe[Config], Flat]
    """The row."""
    iterations: int | None = None
    """Timed iterations of each measurement; None: 50 on CUDA, 5 on the CPU."""
    batch: int = 2
    """Images per training iteration; 2 per GPU is what the reference tables state."""
    profile: bool = False
    """Also tell the ten most expensive kernels of a GPU, or operations of a CPU, in training and in inference."""


@dataclass(frozen=True, kw_only=True)
class Predict(Generic[Config]):
    """Options of `cvzoo predict`."""

    images: tyro.conf.Positional[tuple[Path, ...]] = tyro.MISSING
    """Files of images or videos, folders of them, or a camera, camera:0."""
    recipe: Annotated[Recipe[Config], Flat]
    """The row."""
    output: Path = Path("predictions")
    """Folder for what is drawn, and predictions.json, or label maps; of a video NAME.mp4 and NAME.jsonl."""
    min_score: float = 0.3
    """Draw detections with at least this score; the files of answers hold them all."""
    show: Literal["answers", "heatmaps", "texture"] = "answers"
    """What is drawn: the answers, or also, in an image of their own, the heat maps of a detector by key points, or
    people painted with a texture by a row of dense pose."""
    tile: tuple[int, int] | None = None
    """Look at windows of this height and width in pixels, which overlap by a fifth, and join what is found in them: for
    small objects in large images."""
    texture: Path | None = None
    """The texture: an image of 4 x 6 square tiles, one for each part, down its columns; None is a checkerboard."""


def rows_named(names: Sequence[str]) -> list[Row]:
    """These rows of the zoo, or all of them where none is named. ValueError for one that is not of the zoo."""
    found = [cvzoo.recipe(name).row for name in names]
    if strange := [name for name in found if name not in ROWS]:
        raise ValueError(f"{', '.join(strange)} is no row of the zoo; `cvzoo list` shows them")
    return [ROWS[name] for name in found] or list(ROWS.values())


def show(options: Show) -> None:
    """Show the resolved recipe, its parameters, references, published weights and results."""
    import torch

    recipe = options.recipe
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in recipe.model.build().parameters())
    resolved, row = to_json(recipe), ROWS.get(recipe.row)
    files = [file for file in load_rows() if file.row == recipe.row and not disagreements(resolved, file.recipe)]
    if options.json:
        stated = {"references": row.references, "published": row.published} if row else {}
        listed = {name: [asdict(one) for one in found] for name, found in stated.items()}
        system = {"system": system_of(recipe.row).name, "papers": system_of(recipe.row).papers} if row else {}
        measured = [asdict(replace(file, recipe={}, log=[])) for file in files]
        print_json({"recipe": resolved, "parameters": parameters, **system, **listed, "measured": measured})
        return
    print(json.dumps(resolved, indent=1))
    print(f"{parameters / 1e6:.2f} M parameters")
    if row:
        _show_published(recipe.row)
    for file in files:
        print(_line(file))


def _show_published(name: str) -> None:
    row, system = ROWS[name], system_of(name)
    print(f"{system.name} ({', '.join(f'https://arxiv.org/abs/{paper}' for paper in system.papers)})")
    for reference in row.references:
        print(f"{_noted(reference)}: {_figures(reference.results)} ({reference.page or 'no address'})")
    for weights in row.published:
        print(f"--weights {_noted(weights)}: {_figures(weights.results)} ({weights.file.url})")


def _noted(found: Published | Reference) -> str:
    return found.name + (f" ({found.note})" if found.note else "")


def _figures(results: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.3f}" for name, value in results.items())


def train_row(recipe: Recipe) -> None:
    """Train, evaluate, write the row file and a report; continues by itself."""
    from cvzoo.engine.train import train

    _conclude(train(recipe))


def evaluate(recipe: Recipe) -> None:
    """Evaluate given weights (--weights W), or those of the run folder.

    Of published weights it prints the published figures and the difference, too.
    """
    from cvzoo.engine.finish import evaluate_row

    _conclude(evaluate_row(recipe))


def measure(options: Bench) -> None:
    """Measure memory, time, throughput and the share of the machine's peak."""
    from cvzoo.engine.bench import bench

    found = bench(options.recipe, options.iterations, options.batch, options.profile)
    for name, value in found.cost.items():
        print(f"{name:<20} {value:.4g}" if isinstance(value, float) else f"{name:<20} {value}")
    if options.profile:
        for name, profile in found.profiles.items():
            print(f"{name}: {1000 * profile.total:.4g} ms, most of it in\n{profile}")
    if found.row_file is not None:
        print(found.row_file)


def predict(options: Predict) -> None:
    """Predict images and videos: draws them and writes COCO JSON or label maps."""
    from cvzoo.predict import predict_files

    o = options
    for path in predict_files(o.recipe, o.images, o.output, o.min_score, o.show, o.texture, o.tile):
        print(path)


def _conclude(result: Result) -> None:
    """Print the table line of a finished run and write its report, in the main process."""
    from cvzoo.report.run_report import write_report

    if not result.evaluations:
        return
    if result.row_file is None:
        figures = result.evaluations["val"].figures.stats
        print(_figures({metric_title(name): figures[name] for name in SUMMARY if name in figures}))
        print(write_report(result))
        return
    file = RowFile(**json.loads(result.row_file.read_text()))
    print(_line(file))
    if compared := comparison(file):
        print(compared)
    print(result.row_file)
    print(write_report(result))


def _line(file: RowFile) -> str:
    """A row file in one line."""
    results = [
        f"{'' if split == 'val' else split + ' '}{metric_title(name)} {figures[name]:.3f}"
        for split, figures in sorted(file.results.items(), reverse=True)
        for name in SUMMARY
        if name in figures
    ]
    costs = [
        f"{title} {value:.3g} {unit}"
        for key, title, unit in (
            ("mem_gb", "mem", "GB"),
            ("train_s_per_iter", "train", "s/iter"),
            ("inf_s_per_im", "inference", "s/im"),
        )
        if isinstance(value := file.cost.get(key), float)
    ]
    changes = [f"{name}={value}" for name, value in file.changes.items()]
    if len(changes) > 3:
        changes = [f"{len(changes)} fields changed"]
    return "  ".join([file.row, *results, *costs, file.machine, *changes])
