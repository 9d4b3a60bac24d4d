"""A mirror is filled from a real server, goes on where it stopped, and serves a machine without a network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from weights.server import CONTENT, CUT, Server, serving

from cvzoo.cli import main
from cvzoo.recipes import Recipe
from cvzoo.share.mirror import files_of, fill
from cvzoo.weights.download import cache_folder, download
from cvzoo.weights.errors import WeightsError
from cvzoo.weights.remote import Remote
from cvzoo.zoo import ROWS
from cvzoo.zoo.system import Row

DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def without_backbone() -> Recipe:
    return replace(ROWS["retinanet_r50_fpn_1x"].recipe(), backbone_weights=None)


def publishing(*urls: str) -> Row:
    """A row that has published these files."""
    entry = ROWS["retinanet_r50_fpn_1x"].published[0]
    files = [Remote(url=url, algorithm="sha256", digest=DIGEST) for url in urls]
    published = tuple(replace(entry, file=file) for file in files)
    return Row(recipe=without_backbone, backbone="R-50", schedule="1x", published=published)


def test_a_mirror_serves_a_machine_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = tmp_path / "mirror"
    with serving() as server:
        row = publishing(f"{server.url}/store/a.pth", f"{server.url}/cut/b.pth")
        first = list(fill(mirror, [row]))
        assert [line.split(maxsplit=3)[::3] for line in first[:2]] == [
            ["1/2", str(mirror / "store/a.pth")],
            ["2/2", str(mirror / "cut/b.pth")],
        ]
        assert "0.3 MB" in first[0]
        assert first[2].startswith("2 files, 0.00 GB")
        asked = list(server.asked)
        again = list(fill(mirror, [row]))
        assert [line.endswith("(was there)") for line in again] == [True, True, False]
        assert server.asked == asked
    monkeypatch.setenv("CVZOO_MIRROR", str(mirror))
    for entry in row.published:
        assert download(entry.file).read_bytes() == CONTENT
        assert download(entry.file).parent == cache_folder()


def test_it_goes_on_where_it_was_cut_off(server: Server, tmp_path: Path) -> None:
    row = publishing(f"{server.url}/store/a.pth")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".a.pth.part").write_bytes(CONTENT[:CUT])
    list(fill(tmp_path, [row]))
    assert server.asked == [f"/store/a.pth@{CUT}"]
    assert (tmp_path / "store/a.pth").read_bytes() == CONTENT


def test_what_lies_in_the_cache_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    row = publishing(f"{server.url}/store/a.pth")
    download(row.published[0].file)
    list(fill(tmp_path, [row]))
    assert (tmp_path / "store/a.pth").read_bytes() == CONTENT
    assert server.asked == ["/store/a.pth"]


def test_the_rest_is_fetched_when_one_file_is_not_to_be_had(server: Server, tmp_path: Path) -> None:
    filling = fill(tmp_path, [publishing(*(f"{server.url}/{name}" for name in ("gone/a", "store/b", "altered/c")))])
    lines: list[str] = []
    with pytest.raises(WeightsError) as raised:
        lines.extend(filling)
    message = str(raised.value)
    assert f"a ({server.url}/gone/a)\n  {server.url}/gone/a: HTTP Error 404" in message
    assert f"c ({server.url}/altered/c)\n  {server.url}/altered/c: its sha256 is" in message
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
