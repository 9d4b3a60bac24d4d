"""What the zoo says of a system and its rows. Imports no torch, so `cvzoo list` starts at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from cvzoo.recipes import Recipe
from cvzoo.weights.remote import Remote

if TYPE_CHECKING:
    from cvzoo.weights.source import Source

Task = Literal["detection", "instance", "segmentation", "pose"]
"""The section of the table; `cvzoo/tasks/sections.py` says what its rows are judged by."""
SMALL = ("shapes", "COCO mini", "CamVid", "BCCD")
"""Data sets of rows that a CPU trains; they have a page of their own."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Figures somebody else published for the same system. They never mix with ours."""

    name: str
    """Who: `authors`, `cvpods` ..."""
    results: dict[str, float]
    """Metric name (`box_AP` ...) to value in 0..1."""
    page: str | None = None
    """Address of the page that states them; None where it has none."""
    note: str = ""
    """How it was trained or measured, where that is not as the row says."""
    mem_gb: float | None = None
    train_s_per_iter: float | None = None
    inf_s_per_im: float | None = None


@dataclass(frozen=True, kw_only=True)
class Published:
    """One file of published weights, and what its authors measured with it."""

    name: str
    """What `--weights` calls it."""
    file: Remote
    results: dict[str, float]
    """Metric name to value in 0..1 on the validation set of the row's data."""
    page: str
    """Address of the page that states them."""
    note: str = ""
    """How it was trained, where that is not the row's recipe."""
    licence: str = ""
    """Of the weights, by the name that the Hugging Face hub has for it, where the page states one."""
    config: str = ""
    """What its toolbox's own config says that no key tells, as text of such a config."""
    other_measure: bool = False
    """Its figures are not by the measure that they are named after, as the note says: no difference means a thing."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the zoo table; the recipe's function name is the row's name."""

    recipe: Callable[[], Recipe[Any]]
    task: Task = "detection"
    backbone: str
    data: str = "COCO"
    schedule: str
    """As the field names it: 1x is 90 000 iterations of 16 images."""
    published: tuple[Published, ...] = ()
    references: tuple[Reference, ...] = ()

    @property
    def name(self) -> str:
        return self.recipe.__name__

    @property
    def is_small(self) -> bool:
        return self.data in SMALL


@dataclass(frozen=True, kw_only=True)
class System:
    """A published method: its folder, its rows, and whose weights it loads."""

    name: str
    """As its paper calls it."""
    papers: dict[str, str]
    """Their titles by arXiv number, the first one first."""
    rows: tuple[Row, ...]
    module: str
    """That of its rows, `__name__`; beside it `weights.py` says whose weights it loads."""

    @property
    def package(self) -> str:
        """The module path of its folder."""
        return self.module.removesuffix(".rows")

    @property
    def key(self) -> str:
        """The name of its folder."""
        return self.package.rpartition(".")[2]

    def sources(self) -> tuple[Source[Any], ...]:
        """Whose weights it loads; imports torch."""
        return self._weights().SOURCES

    def adopt(self, config: Any, row: Any) -> Any | None:
        """For weights of our own file that another system saved with `config`: the config that loads them for a row.

        None unless `ADOPT` of its weights says that systems share them.
        """
        adopt = getattr(self._weights(), "ADOPT", None)
        return adopt(config, row) if adopt else None

    def _weights(self) -> Any:
        return import_module(f"{self.package}.weights")
