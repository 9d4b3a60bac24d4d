"""`cvzoo serve` as it is typed, and docs/serving.md as it stands there."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from guides import BLOCK, ROOT, execute
from serve.serving import PATIENCE, Client, a_run, command, encoded, pixels

from cvzoo.cli import main
from cvzoo.commands.serve import Named, _split
from cvzoo.serve.models import Chosen, _names

TEXT = (ROOT / "docs/serving.md").read_text()


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_guide_and_a_stop(tmp_path: Path, inside: Path) -> None:
    a_run(tmp_path)
    (tmp_path / "street.jpg").write_bytes(encoded(pixels(0), "JPEG"))
    blocks = [(kind, language, text) for kind, language, text in BLOCK.findall(TEXT) if kind != "server"]
    (started,) = (text for kind, _, text in BLOCK.findall(TEXT) if kind == "server")
    with command(started.removesuffix("--port 8000\n").split()[2:], tmp_path) as (process, client):
        asks = [(language, text.replace(":8000/", f":{client.port}/")) for _, language, text in blocks]
        answers = [execute(language, text, tmp_path) for language, text in asks]
        assert '"detections":[' in answers[0]
        assert re.search("rectangle|ellipse|triangle", answers[1])
        assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")
        with ThreadPoolExecutor(12) as clients:
            file = encoded(pixels(0, 600, 800))
            asked = [clients.submit(client.predict, file, format="png") for _ in range(12)]
            end = time.monotonic() + PATIENCE
            while taken(client) < 12 + 4:  # and those of the guide
                assert time.monotonic() < end
            process.send_signal(signal.SIGTERM)
            assert [future.result().status for future in asked] == [200] * 12
        assert process.wait(PATIENCE) == 0


def taken(client: Client) -> float:
    """Images that have been looked at, are, or wait."""
    text = client.get("/metrics").content.decode()
    values = re.findall(r"^(?:cvzoo_queue_length|cvzoo_images_total\S*) (\S+)$", text, re.MULTILINE)
    return sum(map(float, values))


def test_weights_belong_to_the_row_before_them() -> None:
    words = ["a", "--weights", "x", "--weights=y=z", "runs/b", "c", "--weights", "x", "--port", "1"]
    named, rest = _split(words)
    assert named == [Named("a", ["x", "y=z"]), Named("runs/b", []), Named("c", ["x"])]
    assert rest == ["--port", "1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "1"], "which row?"),
        (["--weights", "x"], "stands behind a row"),
        (["retinanet_r50_fpn_1x", "--weights"], "before a name or file"),
        (["retinanet_r50", "--port", "0"], "did you mean retinanet_r50_fpn_1x"),
        (["retinanet_r50_fpn_1x", "--port", "0"], "has no weights"),
    ],
)
def test_what_cannot_be_served(words: list[str], said: str, capsys: pytest.CaptureFixture[str], inside: Path) -> None:
    assert main(["serve", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert main(["serve", "retinanet_r50_fpn_1x", "--port", str(other.getsockname()[1])]) == 2
    assert "choose another --port" in capsys.readouterr().err


def test_names_of_models() -> None:
    row = "retinanet_r50_fpn_1x"
    assert _names([Chosen(row, "torchvision"), Chosen("runs/mine")]) == [row, "mine"]
    several = [Chosen(row, "torchvision"), Chosen(row, "files/best.safetensors")]
    assert _names(several) == [f"{row}@torchvision", f"{row}@best"]
    with pytest.raises(ValueError, match="two models would be called mine"):
        _names([Chosen("a/mine"), Chosen("b/mine")])
