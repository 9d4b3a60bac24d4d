"""The command line. A row is looked up before anything is parsed, so that a command knows exactly that row's fields.

torch is imported by the commands that need it, inside them: help and lists appear at once.
"""

from __future__ import annotations

import difflib
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from importlib import metadata
from typing import Any

import tyro

import cvzoo
from cvzoo.commands import habits
from cvzoo.commands.completion import Shell, fields_of, script
from cvzoo.commands.data import check, convert, view
from cvzoo.commands.export import Export, export_row
from cvzoo.commands.prove import prove
from cvzoo.commands.rows import Bench, Predict, Show, evaluate, measure, predict, show, train_row
from cvzoo.commands.serve import Options as Serving
from cvzoo.commands.serve import serve
from cvzoo.commands.sharing import Share, mirror, share
from cvzoo.commands.training import LrRange, compare, lr_range
from cvzoo.commands.zoo import doctor, list_rows, report, table
from cvzoo.engine.stop import ElsewhereError
from cvzoo.fields import idle_problems
from cvzoo.recipes import Recipe
from cvzoo.recipes.folder import in_the_folder

ON_WEIGHTS = ("eval", "predict", "export", "share")
"""Commands that mean the weights of a run where they are given its folder."""
SHORTHANDS = {"--precision": "--run.precision", "--device": "--run.device", "--freeze": "--optim.freeze"}
BODY = "--model.backbone"
MARKERS = (tyro.conf.AvoidSubcommands,)
"""A union in a recipe (ResNet or timm) keeps the kind its row has; another kind is another row."""
STDOUT = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0, 2 for what the user can put right, 130 after
    Ctrl-C, 141 if nobody reads on."""
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["--help"]
    if os.environ.get("NO_COLOR"):
        tyro._experimental_options["ansi_codes"] = False  # what its PYTHON_TYRO_ANSI_CODES=0 does; rich knows NO_COLOR
    try:
        return _answer(name, rest)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
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
    if name == "data" and arguments:
        name, arguments = f"data {arguments[0]}", arguments[1:]
    if name.removeprefix("data ") in ("--help", "-h", "help"):
        print(_help())
        return 0
    if name == "--version":
        print(f"cvzoo {metadata.version('cvzoo')}")
        return 0
    if name in OWN_COMMANDS:
        return OWN_COMMANDS[name][1](arguments)
    if name in PLAIN_COMMANDS:
        if name.startswith("data "):
            habits.check_data(name, arguments)
        return tyro.cli(PLAIN_COMMANDS[name], args=arguments, prog=f"cvzoo {name}")
    if name in ROW_COMMANDS:
        kind, command = ROW_COMMANDS[name]
        return command(_options(kind, name, arguments))
    names = [*PLAIN_COMMANDS, *ROW_COMMANDS, *OWN_COMMANDS]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean `cvzoo {near[0]}`?" if near else f"the commands are {', '.join(names)}"
    raise ValueError(f"there is no command {name!r}; {hint}")


def _options(kind: Any, command: str, arguments: list[str]) -> Any:
    """The row's recipe, or a command's options around it, with the arguments laid over the row's values."""
    if not arguments or arguments[0].startswith("-"):
        raise ValueError(f"which row? usage: cvzoo {command} ROW ...; `cvzoo list` shows the rows")
    recipe = (cvzoo.trained_recipe if command in ON_WEIGHTS else cvzoo.recipe)(arguments[0])
    recipe, arguments = _on_body(recipe, arguments)
    resolved = kind[type(recipe.model)]
    default: Any = recipe if kind is Recipe else kind(recipe=recipe)
    dotted = [name.removeprefix("--") for name, _ in fields_of(recipe)]
    habits.check(command, arguments[1:], _undotted(default) | _undotted(recipe), dotted)
    expanded = [
        SHORTHANDS.get(name, name) + equals + value
        for name, equals, value in (argument.partition("=") for argument in arguments[1:])
    ]
    prog = f"cvzoo {command} {arguments[0]}"
    options = tyro.cli(resolved, default=default, args=expanded, prog=prog, config=MARKERS)
    asked = options if kind is Recipe else options.recipe
    if asked.row != recipe.row:
        raise ValueError(f"--row cannot rename {recipe.row}; choose another run folder with --run.out")
    asked, said = in_the_folder(asked, recipe, _fields(arguments[1:]))
    if said:
        print(said, file=sys.stderr)
    if idle := idle_problems(asked, recipe):
        raise ValueError("; ".join(idle))
    asked = _of_as_many_images(asked, recipe, arguments)
    return asked if kind is Recipe else replace(options, recipe=asked)


def _on_body(recipe: Recipe, arguments: list[str]) -> tuple[Recipe, list[str]]:
    """`--model.backbone timm:NAME` changes which fields a recipe has, and comes before all others."""
    joined = [f"{BODY}={value}" if word == BODY else word for word, value in zip(arguments, [*arguments[1:], ""])]
    for place, word in enumerate(joined):
        if word.startswith(f"{BODY}="):
            from cvzoo.recipes.body import on_body

            rest = arguments[:place] + arguments[place + 1 + (arguments[place] == BODY) :]
            return on_body(recipe, word.removeprefix(f"{BODY}=")), rest
    return recipe, arguments


def _fields(arguments: Sequence[str]) -> set[str]:
    """The fields that a command line names: "data.root"."""
    names = (word.partition("=")[0] for word in arguments if word.startswith("--"))
    return {name.removeprefix("--").replace("-", "_") for name in names}


def _undotted(options: Any) -> set[str]:
    """Names of options without a dot."""
    own = {field.name for field in fields(options) if not is_dataclass(getattr(options, field.name))}
    return {name.replace("_", "-") for name in own} | {name.removeprefix("--") for name in (*SHORTHANDS, "--help")}


def _of_as_many_images(asked: Recipe, own: Recipe, arguments: list[str]) -> Recipe:
    """Another batch alone changes neither how many images are seen nor where the learning rate drops."""
    lengths = ("--schedule.iterations", "--schedule.milestones", "--schedule.epochs")
    if (
        asked.schedule.batch == own.schedule.batch
        or asked.recipe
        or any(word.startswith(lengths) for word in arguments)
    ):
        return asked
    schedule = asked.schedule.stretched(own.schedule.batch / asked.schedule.batch)
    print(
        f"batch {schedule.batch} instead of {own.schedule.batch}: {schedule.iterations} iterations instead of"
        f" {own.schedule.iterations}, for as many epochs; --schedule.iterations sets them",
        file=sys.stderr,
    )
    return replace(asked, schedule=schedule)


def _help() -> str:
    functions = {name: function for name, (_, function) in (ROW_COMMANDS | OWN_COMMANDS).items()} | PLAIN_COMMANDS
    summaries = {name: (function.__doc__ or "").splitlines()[0] for name, function in functions.items()}
    commands = "\n".join(
        f"  {name + ('' if name in PLAIN_COMMANDS else ' ROW'):<12} {s}" for name, s in summaries.items()
    )
    return (
        f"usage: cvzoo COMMAND ...\n\nA model zoo and benchmark for detection and segmentation.\n\n{commands}\n\n"
        "ROW is a name from `cvzoo list`, or the folder of an earlier run. `cvzoo train ROW --help` shows every\n"
        "field of that row; --precision, --device and --freeze are short for --run.precision, --run.device and\n"
        "--optim.freeze."
    )


def completion(shell: tyro.conf.Positional[Shell]) -> None:
    """Write what lets bash, zsh or fish complete commands, rows and the fields of a row.

    Args:
        shell: the shell.
    """
    print(script(shell, PLAIN_COMMANDS, ROW_COMMANDS, OWN_COMMANDS, SHORTHANDS))


PLAIN_COMMANDS: dict[str, Callable[..., int | None]] = {
    "list": list_rows,
    "table": table,
    "report": report,
    "compare": compare,
    "mirror": mirror,
    "data check": check,
    "data view": view,
    "data convert": convert,
    "prove": prove,
    "doctor": doctor,
    "completion": completion,
}
ROW_COMMANDS: dict[str, tuple[Any, Callable[[Any], int | None]]] = {
    "show": (Show, show),
    "train": (Recipe, train_row),
    "eval": (Recipe, evaluate),
    "bench": (Bench, measure),
    "lr-range": (LrRange, lr_range),
    "predict": (Predict, predict),
    "export": (Export, export_row),
    "share": (Share, share),
}
OWN_COMMANDS: dict[str, tuple[Any, Callable[[list[str]], int | None]]] = {"serve": (Serving, serve)}
"""Commands that take several rows, and read their arguments themselves."""
