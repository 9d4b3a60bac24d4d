"""Which classes of a data set are learnt, and under which names: `data.classes` and `data.rename`. No torch."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cvzoo.data.problems import DataError, Problem

SHOWN = 20
"""A message names this many classes of the data."""


def choose(
    names_K: Sequence[str], classes: Sequence[str], rename: Sequence[str], file: Path
) -> tuple[list[str], np.ndarray]:
    """The classes that are chosen of K, and their labels.

    Args:
        names_K: the names of the classes; equal ones are one class where anything is chosen or renamed.
        classes: those to keep, by their new names, in the order of their labels; all, in their own order, if empty.
        rename: new names, each `old=new`.
        file: where the classes stand, for errors.

    Returns: the names of the labels, and (K,) int64: the label of each of `names_K`, -1 where it is left out.
    Raises: DataError naming every name that is unknown, with near ones.
    """
    if not (classes or rename):
        return list(names_K), np.arange(len(names_K))
    new_names = dict(entry.split("=", 1) for entry in rename)
    renamed_K = [new_names.get(name, name) for name in names_K]
    problems = [_unknown(name, names_K, "--data.rename", file) for name in new_names if name not in names_K]
    for name in (name for name in classes if name not in renamed_K):
        found = _unknown(name, renamed_K, "--data.classes", file)
        meant = f"it is called {new_names[name]} now" if name in new_names else found.remedy
        problems.append(replace(found, remedy=meant))
    problems += [
        Problem(file, f"the class {name!r} is chosen twice", "name it once in --data.classes")
        for name in dict.fromkeys(classes)
        if classes.count(name) > 1
    ]
    if problems:
        raise DataError(problems)
    kept = list(classes or dict.fromkeys(renamed_K))
    labels = {name: label for label, name in enumerate(kept)}
    return kept, np.array([labels.get(name, -1) for name in renamed_K], np.int64)


def _unknown(name: str, known: Sequence[str], option: str, file: Path) -> Problem:
    near = difflib.get_close_matches(name, known, n=3) or [other for other in known if other.lower() == name.lower()]
    if set(name.split(",")) <= set(known):
        meant = "separate names with spaces, not with commas"
    elif near:
        meant = f"did you mean {' or '.join(near)}?"
    else:
        some = list(dict.fromkeys(known))
        meant = f"there are {', '.join(some[:SHOWN])}" + (" ..." if len(some) > SHOWN else "")
    return Problem(file, f"has no class {name!r}, which {option} names", meant)
