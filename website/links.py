"""Looks for links in a built site that lead nowhere, and lists those that lead to other sites."""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
"""What a page loads by itself."""
NOT_LOADED = ("canonical", "prev", "next", "alternate", "edit")


class Page(HTMLParser):
    """The anchors and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {found[name] or "" for name in ("id", "name") if name in found}
        address = found.get(LOADED.get(tag, "")) or ""
        if address and not (tag == "link" and (found.get("rel") or "") in NOT_LOADED):
            self.loaded.add(address)
        if tag == "a" and found.get("href"):
            self.links.add(found["href"] or "")


def problems_and_addresses(site: Path) -> tuple[list[str], list[str]]:
    """A line for each link that leads nowhere or loads from elsewhere, and the addresses on other sites, in order."""
    problems: list[str] = []
    addresses: set[str] = set()
    read = cache(lambda path: Page(path.read_text()))
    for path in sorted(set(site.rglob("*.html")) - {site / "404.html"}):  # which a server shows at any address
        page, name = read(path), path.relative_to(site)
        problems += [f"{name} loads {address} from elsewhere" for address in page.loaded if urlsplit(address).netloc]
        for link in sorted(page.links | page.loaded):
            address = urlsplit(link)
            if address.scheme or address.netloc:
                addresses |= {link} & page.links
                continue
            target = (path.parent / unquote(address.path)) if address.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(address.fragment)
            known = target.is_file() and (target.suffix != ".html" or anchor in {"", *read(target).anchors})
            if not known:
                problems.append(f"{name} links to {link}, which is not there")
    return problems, sorted(addresses)
