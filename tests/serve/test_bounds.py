"""Whatever clients do, a server refuses what is too much, and goes on."""

from __future__ import annotations

import base64
import json
import logging
import struct
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
from serve.serving import Client, Hold, Reply, a_run, encoded, form, pixels, running, served

from cvzoo.serve.models import Served
from cvzoo.serve.settings import Settings

FILE = encoded(pixels(0))
ONE_BY_ONE = Settings(workers=1, max_batch=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return served(a_run(folder), "m")


@pytest.fixture(scope="module")
def client(model: Served) -> Iterator[Client]:
    with running([model], Settings(max_bytes=50_000, max_pixels=20_000)) as client:
        yield client


@pytest.fixture
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header promises so many pixels, and that has none."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (head, b"IDAT" + zlib.compress(b"\0" * 100), b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def refused(reply: Reply, status: int, *said: str) -> None:
    assert reply.status == status, reply
    for words in said:
        assert words in reply.json["detail"]


@pytest.mark.parametrize(
    ("file", "status", "said"),
    [
        (b"rubbish", 422, "not an image"),
        (b"", 422, "not an image"),
        (FILE[:-3000], 422, "cannot be decoded"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 422, "not an image"),
        (png_of(201, 100), 413, "20,100 pixels, more than 20,000"),
        (png_of(60_000, 60_000), 413, "more pixels than can be decoded safely"),
        (FILE * 8, 413, "more than 50,000 bytes"),
    ],
)
def test_files_that_are_none(client: Client, file: bytes, status: int, said: str) -> None:
    refused(client.predict(file), status, said)
    assert client.predict(FILE).status == 200
    client.until("cvzoo_upload_bytes", 0)


def test_fields_that_are_wrong(client: Client) -> None:
    refused(client.predict(None), 422, "`image`")
    refused(client.predict(FILE, min_score="nan", max_detections=0, size=3), 422, "min_score", "max_detections", "size")
    refused(client.predict(FILE, model="n"), 404, "did you mean m")
    refused(client.ask("POST", "/predict", b"--x", {"Content-Type": "multipart/form-data"}), 422, "boundary")
    refused(client.ask("POST", "/predict", b"--x", {"Content-Type": "multipart/form-data; boundary=y"}), 422, "form")
    refused(client.ask("POST", "/predict", FILE, {"Content-Type": "image/png"}), 415, "JSON")
    as_json = {"Content-Type": "application/json"}
    refused(client.ask("POST", "/predict", b"{", as_json), 422, "JSON")
    refused(client.ask("POST", "/predict", b'{"image": "abc", "min_score": 2}', as_json), 422, "image", "min_score")
    long = json.dumps({"image": base64.b64encode(b"x" * 50_001).decode()}).encode()
    refused(client.ask("POST", "/predict", long, as_json), 413, "50,000 bytes")
    assert client.ask("GET", "/predict", b"", {}).status == 405
    assert client.get("/../etc/passwd").status == 404


def test_too_much_is_refused_before_it_is_read(client: Client) -> None:
    kind = form(FILE)[1]
    with client.opened(b"", kind | {"Content-Length": str(10**9)}) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    with client.opened(chunk * 4, kind | {"Transfer-Encoding": "chunked"}) as connection:  # and no end of it
        assert connection.recv(100).startswith(b"HTTP/1.1 4")


def test_nothing_is_written_to_a_disk(model: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(file: object) -> None:
        raise AssertionError("an upload went to a disk")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", never)
    with running([model]) as client:
        assert client.predict(encoded(pixels(0, 900, 900)), max_detections=1).status == 200


def test_overload_is_refused_at_once(model: Served, clients: ThreadPoolExecutor) -> None:
    with Hold(model) as hold, running([model], replace(ONE_BY_ONE, max_queue=2)) as client:
        taken = started(client, clients, 3, waiting=2)
        late = client.predict(FILE)  # answered while nobody else is
        refused(late, 503, "2 images are waiting")
        assert int(late.headers["retry-after"]) >= 1
        body, kind = form(FILE)
        with client.opened(b"", kind | {"Content-Length": str(len(body))}) as connection:  # nor is an image awaited
            assert connection.recv(100).startswith(b"HTTP/1.1 503")
        assert client.get("/healthz").status == client.get("/readyz").status == 200
        assert not any(future.done() for future in taken)
        hold.go.set()
        assert [future.result().status for future in taken] == [200, 200, 200]


def started(client: Client, clients: ThreadPoolExecutor, count: int, waiting: int) -> list[Future[Reply]]:
    """Requests of which so many wait in the queue, and the others are being looked at."""
    futures = [clients.submit(client.predict, FILE) for _ in range(count - waiting)]
    client.until("cvzoo_batch_images_sum", count - waiting)
    futures += [clients.submit(client.predict, FILE) for _ in range(waiting)]
    client.until("cvzoo_queue_length", waiting)
    return futures


def test_nobody_waits_for_too_long(model: Served, clients: ThreadPoolExecutor) -> None:
    with Hold(model) as hold, running([model], replace(ONE_BY_ONE, queue_seconds=0.1)) as client:
        (first,) = started(client, clients, 1, waiting=0)
        refused(client.predict(FILE), 503, "try again")
        hold.go.set()
        assert first.result().status == 200  # whoever is being looked at is not sent away


def test_a_client_that_leaves_takes_its_image_along(model: Served, clients: ThreadPoolExecutor) -> None:
    with Hold(model) as hold, running([model], ONE_BY_ONE) as client:
        body, kind = form(FILE)
        head = kind | {"Content-Length": str(len(body))}
        looked_at = client.opened(body, head)
        client.until("cvzoo_batch_images_sum", 1)
        waiting = client.opened(body, head)
        client.until("cvzoo_queue_length", 1)
        waiting.close()
        client.until("cvzoo_queue_length", 0)
        looked_at.close()
        client.until("cvzoo_upload_bytes", 0)
        hold.go.set()
        assert client.predict(FILE).status == 200
        assert hold.looks == 2
        assert client.metric("cvzoo_requests_total", path="/predict", status="499") == 2


def test_a_slow_upload(model: Served) -> None:
    with running([model], Settings(upload_seconds=0.3)) as client:
        body, kind = form(FILE)
        with client.opened(body[:100], kind | {"Content-Length": str(len(body))}) as connection:
            assert client.predict(FILE).status == 200  # others are answered meanwhile
            answer = b"".join(iter(lambda: connection.recv(4096), b""))  # to the end: it is hung up on
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"0.3 seconds" in answer
        client.until("cvzoo_upload_bytes", 0)


def test_a_client_that_does_not_read_its_answer(model: Served) -> None:
    with running([model], Settings(upload_seconds=0.3)) as client:
        body, kind = form(encoded(pixels(0, 1600, 1600), "BMP"), format="png", max_detections=1)
        with client.opened(body, kind | {"Content-Length": str(len(body))}):
            client.until('cvzoo_requests_total{path="/predict",status="499"}', 1)
        assert client.predict(FILE).status == 200


def test_a_token(model: Served) -> None:
    with running([model], token="secret") as client:
        for given in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
            for path in ("/models", "/metrics"):
                refused(client.ask("GET", path, b"", given), 401, "Bearer TOKEN")
            refused(client.ask("POST", "/predict", *form(FILE)[:1], form(FILE)[1] | given), 401)
        assert client.get("/healthz").status == client.get("/readyz").status == client.get("/docs").status == 200
        known = Client(client.port, Authorization="Bearer secret")
        assert known.get("/models").status == known.predict(FILE).status == 200


def test_requests_have_numbers(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "cvzoo.serve"):
        assert client.get("/healthz", **{"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
        forged = client.get("/healthz", **{"X-Request-ID": "a b" * 100}).headers["x-request-id"]
        before = client.metric("cvzoo_requests_total", path="/predict", status="422")
        refused(bad := client.predict(b""), 422)
        client.until('cvzoo_requests_total{path="/predict",status="422"}', before + 1)
    lines = [record.getMessage() for record in caplog.records if "/metrics" not in record.getMessage()]
    assert [line.split()[0] for line in lines] == ["mine-1", forged, bad.headers["x-request-id"]]
    assert len(forged) == 32
    assert lines[-1].endswith("422")


def test_clients_share_a_batch_and_keep_their_answers(
    model: Served, clients: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [(60, 80), (80, 60), (60, 80), (64, 64)]
    asked = [(encoded(pixels(n, *size)), 0.001 * (n + 5), n + 3) for n, size in enumerate(sizes)]
    with Hold(model) as hold, running([model], Settings(workers=1)) as client:
        started(client, clients, 1, waiting=0)
        futures = [clients.submit(client.predict, file, min_score=s, max_detections=n) for file, s, n in asked]
        broken = clients.submit(client.predict, FILE[:-3000])
        client.until("cvzoo_queue_length", 5)
        hold.go.set()
        refused(broken.result(), 422, "cannot be decoded")
        together = [future.result().json["detections"] for future in futures]
        assert client.metric("cvzoo_batch_images_count") == 2
        assert client.metric("cvzoo_batch_images_sum") == 6
        for found, (file, score, most) in zip(together, asked):
            alone = client.predict(file, min_score=score, max_detections=most).json["detections"]
            assert [one["label"] for one in found] == [one["label"] for one in alone]
            for one, other in zip(found, alone):
                assert one["box"] == pytest.approx(other["box"], abs=0.02)


def test_an_image_that_breaks_the_model_breaks_no_other(model: Served, clients: ThreadPoolExecutor) -> None:
    good = type(model.predictor).answers

    def answers(frames: list, wanted: list) -> list:
        if any(frame.pixels.shape[-1] == 33 for frame in frames):
            raise RuntimeError("33 is too much")
        return good(model.predictor, frames, wanted)

    with Hold(model) as hold, running([model], Settings(workers=1)) as client:
        started(client, clients, 1, waiting=0)
        futures = [clients.submit(client.predict, encoded(pixels(0, 40, width))) for width in (32, 33, 34)]
        client.until("cvzoo_queue_length", 3)
        model.predictor.answers = answers  # type: ignore[method-assign]
        hold.go.set()
        assert [future.result().status for future in futures] == [200, 500, 200]
        assert client.predict(FILE).status == 200


def accepts(client: Client) -> bool:
    try:
        return client.get("/healthz").status == 200
    except ConnectionError:
        return False


def test_a_stop_answers_all_that_was_taken(model: Served, clients: ThreadPoolExecutor) -> None:
    with Hold(model) as hold, running([model], ONE_BY_ONE) as client:
        taken = started(client, clients, 4, waiting=3)
        client.stop()
        while accepts(client):
            pass
        hold.go.set()
        assert [future.result().status for future in taken] == [200] * 4
