"""Pages from the templates beside this file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def template(name: str, **filters: Callable[..., Any]) -> Template:
    """A template that escapes what it is given, and fails where something is missing."""
    templates = Environment(
        loader=PackageLoader("cvzoo", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    templates.filters |= filters
    return templates.get_template(name)
