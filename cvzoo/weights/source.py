"""Whose weights a system loads: how a file is known, how its keys become ours, which config it is for."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cvzoo.weights.class_count import with_classes_of
from cvzoo.weights.keys.rename import State
from cvzoo.weights.stated.text import head_of

Config = TypeVar("Config")
OWN = "cvzoo"


@dataclass(frozen=True, kw_only=True)
class Marker:
    """Keys by which a file is known: it has one of every pattern of `has`, and none of any of `lacks`."""

    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()

    def fits(self, keys: Collection[str]) -> bool:
        return all(_found(pattern, keys) for pattern in self.has) and not any(_found(p, keys) for p in self.lacks)


def _found(pattern: str, keys: Collection[str]) -> bool:
    return any(re.search(pattern, key) for key in keys)


def _always(config: Any) -> bool:
    return True


def _unchanged(config: Any, record: str) -> Any:
    return config


@dataclass(frozen=True, kw_only=True)
class Source(Generic[Config]):
    """Another project, or this one, whose weights for a system load and whose outputs we give with them."""

    name: str
    """Of the toolbox: `detectron2`, `mmdetection` ..."""
    what: str
    """What its weights are of, in words: the system, and with which parts (`... on C4`)."""
    marker: Marker
    translate: Callable[[State], State]
    """From the toolbox's keys to ours; keys it does not know stay as they are."""
    config: Callable[[State, Config], Config]
    """The config for a state (our keys) in a row whose own config this is: the toolbox's conventions, the row's sizes,
    the file's classes."""
    fits: Callable[[Config], bool] = _always
    """Whether a row's config is of this variant: with masks or without, with a pyramid or on C4."""
    told: Callable[[Config, str], Config] = _unchanged
    """The config with what no key tells but the file's record: its name and the text of mmdetection's config."""
    types: tuple[str, ...] = ()
    """The classes by which a config's text names this one's head; others may share all keys."""

    def reads(self, state: State, record: str) -> bool:
        """Whether a file with these keys and this record is of this source."""
        head = head_of(record) if self.types else None
        return self.marker.fits(state) and (head is None or head in self.types)


def own(what: str, marker: Marker, fits: Callable[[Any], bool] = _always) -> Source[Any]:
    """Our own files without a recipe: their keys are ours, and all but the classes is the row's."""
    return Source(name=OWN, what=what, marker=marker, translate=dict, config=with_classes_of, fits=fits)
