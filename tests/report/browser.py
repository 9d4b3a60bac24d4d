"""Pages in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--dump-dom"),
]
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
PROBE = """<script>
const errors = [];
addEventListener("error", event => errors.push(event.message || event.target.outerHTML.slice(0, 80)), true);
addEventListener("load", () => {
  const seen = {};
  const images = [...document.images].map(image => [image.naturalWidth, image.naturalHeight]);
  const loaded = performance.getEntriesByType("resource").map(entry => entry.name);
  const requests = loaded.filter(name => !name.startsWith("data:"));
  const charts = [...document.querySelectorAll(".chart > svg")].map(svg => svg.getBoundingClientRect().height);
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  ACT
  document.title = JSON.stringify({errors, images, requests, charts, wide, width: innerWidth, ...seen});
});
</script>"""


def probe(page: Path, folder: Path, width: int, act: str = "") -> dict[str, Any]:
    """What a script sees and does in a copy of the page, in a frame of this width: no window is below 500 px."""
    policy = re.findall(r"<meta http-equiv=.*>\n", page.read_text())[0]
    inner = escape(page.read_text().replace(policy, PROBE.replace("ACT", act)))
    probed = folder / "probed.html"
    pass_on = "document.title = this.contentDocument.title"
    frame = f'<iframe style="border: 0" width="{width}" height="900" onload="{pass_on}" srcdoc="{inner}"></iframe>'
    probed.write_text(f"<!doctype html><title></title>{frame}")
    dumped = opened(probed, folder / "probed", 1500).stdout
    return json.loads(unescape(re.findall("<title>(.*?)</title>", dumped)[0]))


def opened(path: Path, profile: Path, width: int) -> subprocess.CompletedProcess[str]:
    """The browser's answer to a page: what it prints, and what it complains of."""
    assert CHROMIUM is not None
    arguments = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", f"--window-size={width},900", path.as_uri()]
    return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60)
