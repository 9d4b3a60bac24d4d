"""One image, however a user has it."""

import http.server
import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from cvzoo.data.images import read_image
from cvzoo.data.inputs import read_frame

PIXELS = np.random.default_rng(0).integers(0, 255, (12, 17, 3), dtype=np.uint8)
RGB = torch.from_numpy(PIXELS).permute(2, 0, 1)


@pytest.mark.parametrize("image", [PIXELS, RGB, Image.fromarray(PIXELS), RGB.to(memory_format=torch.contiguous_format)])
def test_kinds(image):
    assert torch.equal(read_frame(image).pixels, RGB)


def test_bgr_is_of_arrays_and_tensors():
    assert torch.equal(read_frame(PIXELS[:, :, ::-1], bgr=True).pixels, RGB)
    assert torch.equal(read_frame(RGB.flip(0), bgr=True).pixels, RGB)
    assert torch.equal(read_frame(Image.fromarray(PIXELS), bgr=True).pixels, RGB)


@pytest.mark.parametrize(
    "array",
    [
        PIXELS[:, :, 0],
        np.dstack([PIXELS, PIXELS[:, :, :1]]),
        PIXELS[:, :, 0].astype(np.uint16) * 257 + 100,
    ],
    ids=["grey", "alpha", "16 bits"],
)
def test_arrays_are_taken_as_files_of_their_kind_are(array, tmp_path):
    Image.fromarray(array).save(tmp_path / "a.png")
    expected = read_image(tmp_path / "a.png")
    assert torch.equal(read_frame(array).pixels, expected)
    tensor = torch.from_numpy(array)
    assert torch.equal(read_frame(tensor.permute(2, 0, 1) if tensor.ndim == 3 else tensor[None]).pixels, expected)


def test_a_frame_does_not_change_with_the_array_it_came_from():
    array = PIXELS.copy()
    frame = read_frame(array)
    array[:] = 0
    assert torch.equal(frame.pixels, RGB)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (PIXELS.astype(np.float32), r"an array must be \(H, W, 3\) uint8 RGB, not \(12, 17, 3\) float32"),
        (PIXELS.transpose(2, 0, 1), r"not \(3, 12, 17\) uint8"),
        (PIXELS[:0], r"not \(0, 17, 3\) uint8"),
        (RGB.float(), r"a tensor must be \(3, H, W\) uint8 RGB, not \(3, 12, 17\) torch.float32"),
        (RGB[None], r"not \(1, 3, 12, 17\) uint8"),
        (Image.fromarray(PIXELS[:, :, 0].astype(np.float32)), "floating-point pixels have no known range"),
        ("nothing/there.png", r"there.png: cannot be read \(No such file"),
        ("clip.mp4", r"clip.mp4: holds several images; .*stream\('clip.mp4'\)"),
        ("images/*.png", r"holds several images"),
        (None, "not NoneType"),
    ],
)
def test_what_is_wrong_is_said(image, reason):
    with pytest.raises(ValueError, match=reason):
        read_frame(image)


def test_a_folder_holds_several_images(tmp_path):
    with pytest.raises(ValueError, match="holds several images"):
        read_frame(tmp_path)


@pytest.fixture
def site(monkeypatch):
    """The address of a server that has image.png."""
    data = io.BytesIO()
    Image.fromarray(PIXELS).save(data, "PNG")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = {"/image.png": data.getvalue(), "/page": b"<html>"}.get(self.path)
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *arguments):
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_addresses(site, monkeypatch):
    frame = read_frame(f"{site}/image.png")
    assert torch.equal(frame.pixels, RGB)
    assert frame.path == f"{site}/image.png"
    assert not frame.is_file
    with pytest.raises(ValueError, match=r"/absent\.png cannot be fetched \(HTTP Error 404.*check the address"):
        read_frame(f"{site}/absent.png")
    with pytest.raises(ValueError, match=r"/page: is not an image in a known format"):
        read_frame(f"{site}/page")
    monkeypatch.setattr("cvzoo.data.inputs.LARGEST", 10)
    with pytest.raises(ValueError, match="is larger than"):
        read_frame(f"{site}/image.png")
    with pytest.raises(ValueError, match="cannot be fetched"):
        read_frame("http://127.0.0.1:1/image.png")
