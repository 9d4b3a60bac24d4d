"""Downloads from a real server on this machine and from folders."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import fsspec
import pytest
from weights.server import CONTENT, CUT, Server, serving

from cvzoo.weights.download import Remote, cache_folder, download, fetch
from cvzoo.weights.errors import WeightsError

SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def remote(url: str, digest: str = SHA256[:8], algorithm: Literal["sha256", "md5"] = "sha256") -> Remote:
    return Remote(url=url, algorithm=algorithm, digest=digest)


def left() -> list[str]:
    """Files in the cache, but for the lock."""
    return [name for name in os.listdir(cache_folder()) if not name.endswith(".lock")]


def test_a_file_is_fetched_once(server: Server) -> None:
    file = remote(f"{server.url}/store/w.pth")
    path = download(file)
    assert path.read_bytes() == CONTENT
    assert download(file) == path
    assert server.asked == ["/store/w.pth"]
    assert left() == ["w.pth"]


def test_a_damaged_file_in_the_cache_is_fetched_again(server: Server) -> None:
    file = remote(f"{server.url}/store/w.pth", hashlib.md5(CONTENT).hexdigest()[:6], "md5")
    path = download(file)
    path.write_bytes(CONTENT[:500])
    assert download(file).read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_whole_file_in_a_folder_that_cannot_be_written_is_used(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = remote(f"{server.url}/store/w.pth")
    path = download(file)
    # root may write everywhere, so the lock is what fails
    monkeypatch.setattr("cvzoo.weights.download.locked", refused)
    assert download(file) == path
    message = r"(?s)cannot be written \(no\); \$CVZOO_CACHE names another.*/store/other\.pth by hand"
    with pytest.raises(WeightsError, match=message):
        download(remote(f"{server.url}/store/other.pth"))


def refused(path: Path) -> Any:
    raise PermissionError("no")


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("gone", "404"),
        ("wrong", r"asked for the bytes from 5 on, it sent bytes 6-255999/256000"),
        ("altered", rf"its sha256 is [0-9a-f]{{64}} where {SHA256[:8]}\.\.\. is published, so it was deleted"),
    ],
)
def test_a_failure_tells_why_and_what_to_do_and_leaves_nothing(server: Server, folder: str, reason: str) -> None:
    url = f"{server.url}/{folder}/w.pth"
    begun = part(CONTENT[:5] if folder == "wrong" else b"")
    by_hand = rf"Download {url} by hand and put it into {cache_folder()}, or pass its path: --some-flag PATH"
    with pytest.raises(WeightsError, match=rf"(?s)cannot download w\.pth:\n  {url}: .*{reason}.*\n{by_hand}"):
        download(remote(url), "--some-flag")
    assert left() == ([".w.pth.part"] if folder == "wrong" else [])
    assert folder != "wrong" or begun.read_bytes() == CONTENT[:5]


def part(content: bytes) -> Path:
    """What an earlier download of w.pth has left; nothing where that is empty."""
    path = cache_folder() / ".w.pth.part"
    path.parent.mkdir(exist_ok=True)
    if content:
        path.write_bytes(content)
    return path


def test_a_broken_connection_is_taken_up_again(server: Server) -> None:
    assert download(remote(f"{server.url}/cut/w.pth")).read_bytes() == CONTENT
    assert server.asked == ["/cut/w.pth", f"/cut/w.pth@{CUT}", f"/cut/w.pth@{2 * CUT}"]
    assert left() == ["w.pth"]


def test_a_server_without_ranges_that_breaks_off_is_not_asked_for_ever(server: Server) -> None:
    with pytest.raises(WeightsError, match=f"the connection broke after {CUT} of 256000 bytes"):
        download(remote(f"{server.url}/short/w.pth"))
    assert server.asked == ["/short/w.pth", f"/short/w.pth@{CUT}"]


def test_what_a_killed_process_has_left_is_gone_on_with(server: Server) -> None:
    part(CONTENT[:5000])
    assert download(remote(f"{server.url}/store/w.pth")).read_bytes() == CONTENT
    assert server.asked == ["/store/w.pth@5000"]
    part(CONTENT)  # whole, but not yet in its place
    (cache_folder() / "w.pth").unlink()
    assert download(remote(f"{server.url}/store/w.pth")).read_bytes() == CONTENT
    assert server.asked == ["/store/w.pth@5000"]


@pytest.mark.parametrize("begun", [b"of another file", CONTENT + b"and more", CONTENT[:-1] + b"x"])
def test_what_was_there_is_of_another_file(server: Server, begun: bytes) -> None:
    part(begun)
    assert download(remote(f"{server.url}/store/w.pth")).read_bytes() == CONTENT
    assert left() == ["w.pth"]


@pytest.mark.parametrize("place", ["http", "file", "folder", "memory"])
def test_every_kind_of_place_goes_on_from_any_byte(server: Server, tmp_path: Path, place: str) -> None:
    (tmp_path / "a b" / "store").mkdir(parents=True)
    (tmp_path / "a b" / "store" / "w.pth").write_bytes(CONTENT)
    fsspec.filesystem("memory").pipe("/bucket/store/w.pth", CONTENT)
    folder = tmp_path / "a b"
    mirrors = {"http": server.url, "file": f"file://{folder}", "folder": str(folder), "memory": "memory://bucket"}
    file, path = remote("http://unknown.invalid/store/w.pth"), tmp_path / "here" / "w.pth"
    for had in (0, 1000, len(CONTENT)):
        path.parent.mkdir(exist_ok=True)
        path.with_name(".w.pth.part").write_bytes(CONTENT[:had])
        assert fetch(file, path, [f"{mirrors[place]}/store/w.pth"]) == []
        assert path.read_bytes() == CONTENT
        path.unlink()


def test_a_file_of_the_same_name_in_another_place_is_no_danger(server: Server) -> None:
    """The second place goes on from what the first one sent, and finds that the whole is none."""
    url = f"{server.url}/store/w.pth"
    cut = cache_folder() / "other" / "w.pth"
    cut.parent.mkdir(parents=True)
    cut.write_bytes(CONTENT[::-1])
    assert fetch(remote(url), cache_folder() / "w.pth", [str(cut), url]) == []
    assert (cache_folder() / "w.pth").read_bytes() == CONTENT


def test_processes_at_once_fetch_a_file_once(server: Server, tmp_path: Path) -> None:
    file, path = remote(f"{server.url}/cut/w.pth"), tmp_path / "w.pth"
    forked = multiprocessing.get_context("fork")  # that need not import torch again
    processes = [forked.Process(target=lambda: sys.exit(len(fetch(file, path, [file.url])))) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert path.read_bytes() == CONTENT
    assert server.asked == ["/cut/w.pth", f"/cut/w.pth@{CUT}", f"/cut/w.pth@{2 * CUT}"]


def test_a_full_disk_is_no_fault_of_the_mirrors(server: Server) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CUT, limits[1]))
    try:
        with pytest.raises(WeightsError, match=r"cannot be written .*too large.*CVZOO_CACHE names another folder"):
            download(remote(f"{server.url}/store/w.pth"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert server.asked == ["/store/w.pth"]
    assert download(remote(f"{server.url}/store/w.pth")).read_bytes() == CONTENT  # once there is room


def test_offline() -> None:
    with serving() as server:
        url = f"{server.url}/store/w.pth"
    with pytest.raises(WeightsError, match=r"(?s)refused.*by hand"):
        download(remote(url))


def test_mirrors_are_asked_in_their_order_before_the_publisher(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "w.pth").write_bytes(CONTENT)
    publisher = "http://unknown.invalid"
    monkeypatch.setenv("CVZOO_MIRROR", f"{tmp_path}/, {server.url}")
    assert download(remote(f"{publisher}/store/w.pth")).read_bytes() == CONTENT
    assert server.asked == []
    assert download(remote(f"{publisher}/store/other.pth")).read_bytes() == CONTENT
    assert server.asked == ["/store/other.pth"]


def test_every_place_is_named_with_its_reason(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirrors = [server.url, str(tmp_path), "memory://empty", "sftp2://host", f"{server.url}/altered"]
    monkeypatch.setenv("CVZOO_MIRROR", ",".join(mirrors))
    url = f"file://{tmp_path}/gone/w.pth"
    with pytest.raises(WeightsError) as raised:
        download(remote(url))
    path = f"{tmp_path}/gone/w.pth"
    _, *reasons, remedy = str(raised.value).splitlines()
    assert reasons[:4] == [
        f"  {server.url}{path}: HTTP Error 404: Not Found",
        f"  {tmp_path}{path}: there is no such file",
        f"  memory://empty{path}: there is no such file",
        f"  sftp2://host{path}: Protocol not known: sftp2",
    ]
    assert reasons[4].startswith(f"  {server.url}/altered{path}: its sha256 is ")
    assert reasons[5:] == [f"  {url}: there is no such file"]
    assert remedy.startswith(f"Download {url} by hand and put it into {cache_folder()}")


def test_a_store_whose_package_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)  # as if it were not, also where it is
    monkeypatch.setenv("CVZOO_MIRROR", "s3://bucket/weights")
    with pytest.raises(WeightsError, match=r"s3://bucket/.*: s3:// needs a package .*s3fs.*; pip install it"):
        download(remote(f"file://{tmp_path}/w.pth"))


@pytest.mark.parametrize("mirror", ["gone", "altered"])
def test_the_publisher_is_asked_when_the_mirror_fails(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    store = tmp_path / "w.pth"
    store.write_bytes(CONTENT)
    # the mirror keeps the path of the address: /altered/<path> is an altered file, /gone/<path> none
    monkeypatch.setenv("CVZOO_MIRROR", f"{server.url}/{mirror}")
    assert download(remote(f"file://{store}")).read_bytes() == CONTENT
    assert server.asked == [f"/{mirror}{store}"]
