"""The command line. A row is looked up before anything is parsed, so that a command knows exactly that row's fields.

torch is imported by the commands that need it, inside them: help and lists appear at once.
"""

from __future__ import annotations

import difflib
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal

import tyro

import cvzoo
from cvzoo.data.config import Data, LabelMaps, Split
from cvzoo.engine.stop import ElsewhereError
from cvzoo.recipes import Recipe
from cvzoo.recipes.codec import disagreements, to_json
from cvzoo.recipes.recipe import Config
from cvzoo.results.row_files import RowFile, load_rows
from cvzoo.tasks.sections import SUMMARY, metric_title
from cvzoo.zoo import ROWS, system_of

if TYPE_CHECKING:
    from cvzoo.engine.finish import Result
    from cvzoo.zoo.system import Published, Reference

ON_WEIGHTS = ("eval", "predict")
"""Commands that mean the weights of a run where they are given its folder."""
SHORTHANDS = {"--precision": "--run.precision", "--device": "--run.device"}
MARKERS = (tyro.conf.AvoidSubcommands,)
"""A union in a recipe (ResNet or timm) keeps the kind its row has; another kind is another row."""
Flat = tyro.conf.arg(name="")
STDOUT = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0, 2 for what the user can put right, 141 if nobody reads on."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        return _answer(name, rest)
    except (ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _reader_has_left():
            os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)  # what is still to be flushed goes nowhere
            return 128 + signal.SIGPIPE
        if os.environ.get("CVZOO_DEBUG"):
            raise
        _tell(error)
        return 2


def _tell(error: Exception) -> None:
    """Print an error once: that of one process among several has a note, others are those of every process."""
    notes = getattr(error, "__notes__", [])
    first_here = os.environ.get("LOCAL_RANK", "0") == "0"
    if not isinstance(error, ElsewhereError) and (notes or first_here):
        print(f"cvzoo: error: {error}" + "".join(f" ({note})" for note in notes), file=sys.stderr)


def _answer(name: str, arguments: list[str]) -> int:
    try:
        return _run(name, arguments) or 0
    finally:
        sys.stdout.flush()  # at the interpreter's end it would be too late to keep quiet about a closed pipe


def _reader_has_left() -> bool:
    """Whether our output goes into a pipe that its reader has closed, as `head` does."""
    poll = select.poll()
    poll.register(STDOUT, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _run(name: str, arguments: list[str]) -> int | None:
    if name in ("--help", "-h", "help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"cvzoo {metadata.version('cvzoo')}")
        return 0
    if name in PLAIN_COMMANDS:
        return tyro.cli(PLAIN_COMMANDS[name], args=arguments, prog=f"cvzoo {name}")
    if name in ROW_COMMANDS:
        kind, command = ROW_COMMANDS[name]
        return command(_options(kind, name, arguments))
    names = [*PLAIN_COMMANDS, *ROW_COMMANDS]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean `cvzoo {near[0]}`?" if near else f"the commands are {', '.join(names)}"
    raise ValueError(f"there is no command {name!r}; {hint}")


def _options(kind: Any, command: str, arguments: list[str]) -> Any:
    """The row's recipe, or a command's options around it, with the arguments laid over the row's values."""
    if not arguments or arguments[0].startswith("-"):
        raise ValueError(f"which row? usage: cvzoo {command} ROW ...; `cvzoo list` shows the rows")
    recipe = (cvzoo.trained_recipe if command in ON_WEIGHTS else cvzoo.recipe)(arguments[0])
    resolved = kind[type(recipe.model)]
    default: Any = recipe if kind is Recipe else kind(recipe=recipe)
    expanded = [
        SHORTHANDS.get(name, name) + equals + value
        for name, equals, value in (argument.partition("=") for argument in arguments[1:])
    ]
    prog = f"cvzoo {command} {arguments[0]}"
    options = tyro.cli(resolved, default=default, args=expanded, prog=prog, config=MARKERS)
    row = (options if kind is Recipe else options.recipe).row
    if row != recipe.row:
        raise ValueError(f"--row cannot rename {recipe.row}; choose another run folder with --run.out")
    return _of_as_many_images(options, recipe, arguments) if kind is Recipe else options


def _of_as_many_images(asked: Recipe, own: Recipe, arguments: list[str]) -> Recipe:
    """Another batch alone changes neither how many images are seen nor where the learning rate drops."""
    lengths = ("--schedule.iterations", "--schedule.milestones", "--schedule.epochs")
    if asked.schedule.batch == own.schedule.batch or any(word.startswith(lengths) for word in arguments):
        return asked
    schedule = asked.schedule.stretched(own.schedule.batch / asked.schedule.batch)
    print(
        f"batch {schedule.batch} instead of {own.schedule.batch}: {schedule.iterations} iterations instead of"
        f" {own.schedule.iterations}, for as many epochs; --schedule.iterations sets them",
        file=sys.stderr,
    )
    return replace(asked, schedule=schedule)


def _help() -> str:
    functions = {name: function for name, (_, function) in ROW_COMMANDS.items()} | PLAIN_COMMANDS
    summaries = {name: (function.__doc__ or "").splitlines()[0] for name, function in functions.items()}
    commands = "\n".join(
        f"  {name + (' ROW' if name in ROW_COMMANDS else ''):<12} {s}" for name, s in summaries.items()
    )
    return (
        f"usage: cvzoo COMMAND ...\n\nA model zoo and benchmark for detection and segmentation.\n\n{commands}\n\n"
        "ROW is a name from `cvzoo list`, or the folder of an earlier run. `cvzoo train ROW --help` shows every\n"
        "field of that row; --precision and --device are short for --run.precision and --run.device."
    )


# Commands on one row


@dataclass(frozen=True, kw_only=True)
class Bench(Generic[Config]):
    """Options of `cvzoo bench`."""

    recipe: Annotated[Recipe[Config], Flat]
    """The row."""
    iterations: int | None = None
    """Timed iterations of each measurement; None: 50 on CUDA, 5 on the CPU."""
    batch: int = 2
    """Images per training iteration; 2 per GPU is what the reference tables state."""


@dataclass(frozen=True, kw_only=True)
class Predict(Generic[Config]):
    """Options of `cvzoo predict`."""

    images: tyro.conf.Positional[tuple[Path, ...]] = tyro.MISSING
    """Image files, or folders of them."""
    recipe: Annotated[Recipe[Config], Flat]
    """The row."""
    output: Path = Path("predictions")
    """Folder for the drawn images and predictions.json, or label maps."""
    min_score: float = 0.3
    """Draw detections with at least this score; predictions.json holds them all."""
    show: Literal["answers", "heatmaps", "texture"] = "answers"
    """What is drawn: the answers, or also, in an image of their own, the heat maps of a detector by key points, or
    people painted with a texture by a row of dense pose."""
    texture: Path | None = None
    """The texture: an image of 4 x 6 square tiles, one for each part, down its columns; None is a checkerboard."""


def show(recipe: Recipe) -> None:
    """Show the resolved recipe, its parameters, references, published weights and results."""
    import torch

    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in recipe.model.build().parameters())
    print(json.dumps(to_json(recipe), indent=1))
    print(f"{parameters / 1e6:.2f} M parameters")
    if recipe.row in ROWS:
        _show_published(recipe.row)
    for file in load_rows():
        if file.row == recipe.row and not disagreements(to_json(recipe), file.recipe):
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
    """Evaluate given weights (--weights W), or those of the run folder."""
    from cvzoo.engine.finish import evaluate_row

    _conclude(evaluate_row(recipe))


def measure(options: Bench) -> None:
    """Measure memory, time, throughput and the share of the machine's peak."""
    from cvzoo.engine.bench import bench

    cost, row_file = bench(options.recipe, options.iterations, options.batch)
    for name, value in cost.items():
        print(f"{name:<20} {value:.4g}" if isinstance(value, float) else f"{name:<20} {value}")
    print(row_file)


def predict(options: Predict) -> None:
    """Predict images: draws them and writes COCO JSON or label maps."""
    from cvzoo.predict import predict_files

    o = options
    for path in predict_files(o.recipe, o.images, o.output, o.min_score, o.show, o.texture):
        print(path)


def _conclude(result: Result) -> None:
    """Print the table line of a finished run and write its report, in the main process."""
    if result.row_file is None:
        return
    print(_line(RowFile(**json.loads(result.row_file.read_text()))))
    print(result.row_file)
    print(_report(result))


def _report(result: Result) -> Path:
    from cvzoo.report.run_report import write_report
    from cvzoo.tasks import task_of

    classes = result.datasets["val"].classes
    return write_report(result.folder, task_of(result.recipe), result.shown(), classes)


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


# Commands on everything


# plain strings: for `str | None` tyro imports a type checker, which takes a fifth of the time
def list_rows(task: str = "", sort: str = "") -> None:
    """List the zoo: rows, reference results, measured values.

    Args:
        task: show the rows of this task only; all without.
        sort: order by this column; without, as the table does.
    """
    from cvzoo.report.lines import list_lines

    lines = list_lines(task or None, sort or None)
    if not lines:
        return
    cells = [list(lines[0]), *(list(line.values()) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    for line in cells:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths)).rstrip())


def table(output: Path = Path("docs")) -> None:
    """Write the zoo's table, MODEL_ZOO.md and SMALL_ROWS.md, from the recipes and row files.

    Args:
        output: the folder of the two pages.
    """
    from cvzoo.report.table import write_tables

    print(*write_tables(output), sep="\n")


def report(run: tyro.conf.Positional[Path]) -> None:
    """Write report.html of a run folder anew.

    Args:
        run: the run folder.
    """
    from cvzoo.engine.finish import read_run

    print(_report(read_run(run, cvzoo.recipe(str(run / "recipe.json")))))


def data(
    action: tyro.conf.Positional[Literal["check"]],
    root: tyro.conf.Positional[Path],
    source: Literal["coco", "label_maps"] = "coco",
    train: Split = Data.train,
    val: Split = Data.val,
    masks: bool = False,
    surfaces: bool = False,
    label_maps: LabelMaps = Data.label_maps,
) -> int:
    """Check a data set of COCO's format or of label maps: `cvzoo data check DIR` lists all its problems.

    Args:
        action: what to do.
        root: folder of the data set.
        source: a COCO-format JSON for each split, or label maps.
        train: the training split.
        val: the validation split.
        masks: check the objects' segmentations too.
        surfaces: check the surfaces of people too.
        label_maps: what the numbers of label maps mean.
    """
    from cvzoo.data.check import check

    parts = {"masks": masks, "surfaces": surfaces, "label_maps": label_maps}
    found = check(Data(source=source, root=root, train=train, val=val, **parts))
    print(found)
    return 2 if found.errors else 0


def doctor() -> None:
    """Say what cvzoo finds on this machine: versions, devices, weights."""
    from cvzoo.engine.doctor import findings

    for name, value in findings().items():
        print(f"{name:<20} {value}")


PLAIN_COMMANDS: dict[str, Callable[..., int | None]] = {
    "list": list_rows,
    "table": table,
    "report": report,
    "data": data,
    "doctor": doctor,
}
ROW_COMMANDS: dict[str, tuple[Any, Callable[[Any], int | None]]] = {
    "show": (Recipe, show),
    "train": (Recipe, train_row),
    "eval": (Recipe, evaluate),
    "bench": (Bench, measure),
    "predict": (Predict, predict),
}
