"""What a golden case states, and whether a test has read it: an option that nobody reads is not tested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Options(Mapping[str, Any]):
    """A mapping, with all mappings in it wrapped likewise, that knows which of its values were read.

    A value is read when it is taken out: by `options[key]`, `get`, `items`, `values` or a comparison, but not by
    `key in options` or by iterating over the keys. Of a nested mapping each value has to be read, a list without
    mappings is read as a whole.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {key: _wrapped(value) for key, value in values.items()}
        self._read: set[str] = set()
        self._without_effect: dict[str, str] = {}

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        self._read.add(key)
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)

    def without_effect(self, reasons: Mapping[str, str]) -> None:
        """Count as read what stands under these dotted names: no result of the case depends on it, for this reason."""
        self._without_effect |= reasons

    def unread(self) -> list[str]:
        """The dotted names of all values that were not read, such as `head.anchors.0.sizes`."""
        names = [name for key, value in self._values.items() for name in _unread(key, value, key in self._read)]
        known = tuple(f"{name}." for name in self._without_effect)
        return [name for name in names if not f"{name}.".startswith(known)]


def must_be(options: Mapping[str, Any], **supported: Any) -> None:
    """Each of these options, where it is stated, has the one value that our models have."""
    for name, value in supported.items():
        if name in options:
            found = options[name]
            assert found == value, f"{name} {found!r} is not supported, only {value!r}"


def _wrapped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Options(value)
    return [_wrapped(part) for part in value] if isinstance(value, list) else value


def _unread(name: str, value: Any, read: bool) -> list[str]:
    if isinstance(value, Options) and len(value):
        return [f"{name}.{inner}" for inner in value.unread()]
    if isinstance(value, list) and _holds_options(value):
        return [inner for i, part in enumerate(value) for inner in _unread(f"{name}.{i}", part, read)]
    return [] if read else [name]


def _holds_options(value: Any) -> bool:
    return isinstance(value, Options) or (isinstance(value, list) and any(map(_holds_options, value)))
