"""A mirror is filled from a real server, goes on where it stopped, and serves a machine without a network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from weights.server import CONTENT, CUT, Server, serving

from cvzoo.cli import main
from cvzoo.recipes import Recipe
from cvzoo.share.mirror import files_of, fill
from cvzoo.weights.download import cache_folder, download
from cvzoo.weights.remote import Remote
from cvzoo.zoo import ROWS

DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def retinanet_r50_fpn_1x() -> Recipe:
    """Without weights of a backbone."""
    return replace(ROWS["retinanet_r18_fpn_shapes"].recipe(), row="retinanet_r50_fpn_1x")


def at(*urls: str) -> list[Remote]:
    return [Remote(url=url, algorithm="sha256", digest=DIGEST) for url in urls]


def test_a_mirror_serves_a_machine_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = tmp_path / "mirror"
    with serving() as server:
        files = at(f"{server.url}/store/a.pth", f"{server.url}/cut/b.pth")
        first = list(fill(mirror, files))
        assert [copy.path for copy in first] == [mirror / "store/a.pth", mirror / "cut/b.pth"]
        assert [(copy.bytes, copy.was_there, copy.failures) for copy in first] == [(len(CONTENT), False, [])] * 2
        asked = list(server.asked)
        assert list(fill(mirror, files)) == [replace(copy, was_there=True) for copy in first]
        assert server.asked == asked
    monkeypatch.setenv("CVZOO_MIRROR", str(mirror))
    for file in files:
        assert download(file).read_bytes() == CONTENT
        assert download(file).parent == cache_folder()


def test_it_goes_on_where_it_was_cut_off(server: Server, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".a.pth.part").write_bytes(CONTENT[:CUT])
    list(fill(tmp_path, at(f"{server.url}/store/a.pth")))
    assert server.asked == [f"/store/a.pth@{CUT}"]
    assert (tmp_path / "store/a.pth").read_bytes() == CONTENT


def test_what_lies_in_the_cache_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    (file,) = at(f"{server.url}/store/a.pth")
    download(file)
    list(fill(tmp_path, [file]))
    assert (tmp_path / "store/a.pth").read_bytes() == CONTENT
    assert server.asked == ["/store/a.pth"]


def test_the_rest_is_fetched_when_one_file_is_not_to_be_had(server: Server, tmp_path: Path) -> None:
    gone, _, altered = fill(tmp_path, at(*(f"{server.url}/{name}" for name in ("gone/a", "store/b", "altered/c"))))
    assert f"{server.url}/gone/a: HTTP Error 404" in gone.failures[0]
    assert f"{server.url}/altered/c: its sha256 is" in altered.failures[0]
    assert gone.bytes == 0
    assert (tmp_path / "store/b").read_bytes() == CONTENT
    assert not (tmp_path / "altered/c").exists()


def test_the_whole_zoo_is_asked_for_once_and_what_is_no_file_is_said() -> None:
    files, notes = files_of(ROWS.values())
    urls = [file.url for file in files]
    assert len(set(urls)) == len(urls)
    published = {entry.file.url for row in ROWS.values() for entry in row.published}
    assert published < set(urls)
    assert sum("/resnet50-" in url for url in urls) == 1
    assert any("retinanet_lite0_fpn_320_mini" in note and "cvzoo[lite]" in note for note in notes)


def test_the_command(inside: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["mirror", "m", "retinanet_r18_fpn_shapes"]) == 0  # which starts from random weights
    assert capsys.readouterr().out.startswith("0 files")
    assert main(["mirror", "m", "retinanet_r18_fpn_shape"]) == 2
    assert "did you mean retinanet_r18_fpn_shapes" in capsys.readouterr().err


def test_the_command_lists_files_as_json(
    inside: Path, server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = ROWS["retinanet_r50_fpn_1x"]
    published = tuple(
        replace(row.published[0], file=file) for file in at(f"{server.url}/store/a", f"{server.url}/gone/b")
    )
    monkeypatch.setitem(ROWS, row.name, replace(row, recipe=retinanet_r50_fpn_1x, published=published))
    assert main(["mirror", "m", row.name, "--json"]) == 2
    out, err = capsys.readouterr()
    here, gone = json.loads(out)
    assert (here["path"], here["bytes"], here["failures"]) == ("m/store/a", len(CONTENT), [])
    assert "HTTP Error 404" in gone["failures"][0]
    assert "1/2       0.3 MB  m/store/a" in err
    assert "no place has 1 of them; the same command tries again" in err
