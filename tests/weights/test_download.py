"""Downloads from a real server on this machine and from folders."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest

from cvzoo.weights.download import Remote, cache_folder, download
from cvzoo.weights.errors import WeightsError

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[Any]:
    """A server with /store/w.pth; the list it yields holds the paths asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            folder = self.path.split("/")[1]
            if folder not in ("store", "short", "altered"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            body = CONTENT[::-1] if folder == "altered" else CONTENT
            self.wfile.write(body[:1000] if folder == "short" else body)

        def log_message(self, format: str, *args: Any) -> None:
            """Be quiet."""

    running: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    running.asked = asked
    running.url = f"http://127.0.0.1:{running.server_port}"
    yield running
    running.shutdown()
    running.server_close()


def remote(url: str, digest: str = SHA256[:8], algorithm: Literal["sha256", "md5"] = "sha256") -> Remote:
    return Remote(url=url, algorithm=algorithm, digest=digest)


def left() -> list[str]:
    """Files in the cache, but for the lock."""
    return [name for name in os.listdir(cache_folder()) if not name.endswith(".lock")]


def test_a_file_is_fetched_once(server: Any) -> None:
    file = remote(f"{server.url}/store/w.pth")
    path = download(file)
    assert path.read_bytes() == CONTENT
    assert download(file) == path
    assert server.asked == ["/store/w.pth"]
    assert left() == ["w.pth"]


def test_a_damaged_file_in_the_cache_is_fetched_again(server: Any) -> None:
    file = remote(f"{server.url}/store/w.pth", hashlib.md5(CONTENT).hexdigest()[:6], "md5")
    path = download(file)
    path.write_bytes(CONTENT[:500])
    assert download(file).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_whole_file_in_a_folder_that_cannot_be_written_is_used(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = remote(f"{server.url}/store/w.pth")
    path = download(file)
    # root may write everywhere, so the lock is what fails
    monkeypatch.setattr("cvzoo.weights.download.locked", refused)
    assert download(file) == path
    message = r"cannot be written \(no\); \$CVZOO_CACHE names another.*/store/other\.pth by hand"
    with pytest.raises(WeightsError, match=message):
        download(remote(f"{server.url}/store/other.pth"))


def refused(path: Path) -> Any:
    raise PermissionError("no")


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("gone", "404"),
        ("short", "the connection broke after 1000 of 256000 bytes"),
        ("altered", rf"its sha256 is [0-9a-f]{{64}} where {SHA256[:8]}\.\.\. is published, so it was deleted"),
    ],
)
def test_a_failure_tells_why_and_what_to_do_and_leaves_nothing(server: Any, folder: str, reason: str) -> None:
    url = f"{server.url}/{folder}/w.pth"
    with pytest.raises(WeightsError, match=rf"{reason}.*Download {url} by hand and pass its path: --some-flag PATH"):
        download(remote(url), "--some-flag")
    assert left() == []


def test_a_good_file_survives_a_failed_refresh(server: Any) -> None:
    path = download(remote(f"{server.url}/store/w.pth"))
    with pytest.raises(WeightsError):
        download(remote(f"{server.url}/gone/w.pth", digest="0" * 8))
    assert path.read_bytes() == CONTENT


def test_offline(server: Any) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsError, match=r"refused.*by hand"):
        download(remote(f"{server.url}/store/w.pth"))


def test_the_mirror_is_asked_first(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = tmp_path / "mirror"
    (mirror / "store").mkdir(parents=True)
    (mirror / "store" / "w.pth").write_bytes(CONTENT)
    monkeypatch.setenv("CVZOO_MIRROR", f"file://{mirror}/")
    assert download(remote("http://unknown.invalid/store/w.pth")).read_bytes() == CONTENT
    monkeypatch.setenv("CVZOO_MIRROR", server.url)
    assert download(remote("http://unknown.invalid/store/other.pth")).read_bytes() == CONTENT
    assert server.asked == ["/store/other.pth"]


@pytest.mark.parametrize("mirror", ["gone", "altered"])
def test_the_publisher_is_asked_when_the_mirror_fails(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    store = tmp_path / "w.pth"
    store.write_bytes(CONTENT)
    # the mirror keeps the path of the address: /altered/<path> is an altered file, /gone/<path> none
    monkeypatch.setenv("CVZOO_MIRROR", f"{server.url}/{mirror}")
    assert download(remote(f"file://{store}")).read_bytes() == CONTENT
    assert server.asked == [f"/{mirror}{store}"]


def test_a_mirror_that_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVZOO_MIRROR", "somewhere")
    with pytest.raises(WeightsError, match="unknown url type"):
        download(remote(f"file://{tmp_path}/w.pth"))
