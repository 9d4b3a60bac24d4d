"""A part of a toolbox's config, of which everything is asked for or refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cvzoo.weights.errors import WeightsError


class Section:
    """The entries of one part; those that nobody has asked for when it is closed are problems."""

    def __init__(self, entries: Mapping[str, Any], name: str, problems: list[str] | None = None) -> None:
        self.entries = entries
        self.name = name
        self.problems: list[str] = [] if problems is None else problems
        """Of all parts of the config: `backbone.style='tensorflow'`, ..."""
        self.asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return self.entries.get(key) is not None

    def take(self, key: str, default: Any = None) -> Any:
        """The value, a list as a tuple; the default where it is absent."""
        self.asked.add(key)
        return _hashable(self.entries.get(key, default))

    def part(self, key: str) -> Section:
        """The part of that name; an empty one where it is absent, None or no part."""
        self.asked.add(key)
        inner = self.entries.get(key)
        name = f"{self.name}.{key}".lstrip(".")
        if inner is not None and not isinstance(inner, dict):
            self.refuse(key)
        return Section(inner if isinstance(inner, dict) else {}, name, self.problems)

    def parts(self, key: str) -> list[Section]:
        """The parts in the list of that name."""
        self.asked.add(key)
        inner, name = self.entries.get(key) or (), f"{self.name}.{key}"
        return [Section(x if isinstance(x, dict) else {}, f"{name}[{i}]", self.problems) for i, x in enumerate(inner)]

    def only(self, key: str, *allowed: Any) -> Any:
        """The value, which must be one of these; the first is what the toolbox takes where it is absent."""
        value = self.take(key, allowed[0])
        if value not in allowed:
            self.refuse(key)
        return value

    def choose(self, key: str, choices: Mapping[Any, Any], default: Any = None) -> Any:
        """What we call the value; the default where it is absent."""
        value = self.take(key)
        if value is None:
            return default
        if value not in choices:
            self.refuse(key)
        return choices.get(value)

    def skip(self, *keys: str) -> None:
        """These do not bear on an answer, or the shapes of the weights tell them."""
        self.asked.update(keys)

    def refuse(self, key: str) -> None:
        self.asked.add(key)
        value = self.entries.get(key)
        shown = f"type={value['type']!r}" if isinstance(value, dict) and "type" in value else None
        self.problems.append(f"{self.name}.{key}".lstrip(".") + (f" with {shown}" if shown else f"={value!r}"))

    def close(self) -> None:
        """Refuse what nobody has asked for, unless it is None or False."""
        for key in [key for key, value in self.entries.items() if key not in self.asked and value not in (None, False)]:
            self.refuse(key)

    def check(self, source: str) -> None:
        """WeightsError names all problems; `source` is what states them."""
        if self.problems:
            raise WeightsError(
                f"{source} states what cvzoo does not compute: {'; '.join(self.problems)}. Where that does not bear on"
                " its answers, save its state dict alone to a file in a folder of its own; else run it with its own"
                " toolbox"
            )


def with_fields(part: Any, **values: Any) -> Any:
    """A dataclass with those of the values for which it has a field, and which are not None."""
    known = getattr(part, "__dataclass_fields__", ())  # none has the part that a system lacks
    kept = {name: value for name, value in values.items() if name in known and value is not None}
    return replace(part, **kept) if kept else part


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value
