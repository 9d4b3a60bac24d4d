"""Many images, one after the other."""

import threading
import time
from contextlib import closing
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from data.cameras import Camera, attach
from PIL import Image

from cvzoo.data.inputs import Frame
from cvzoo.data.sources import ahead, frames_of, newest
from cvzoo.data.videos import VideoFile, frame_count


def image(value: int) -> np.ndarray:
    return np.full((8, 10, 3), value, np.uint8)


def seen(source) -> list[int | str]:
    """The brightness of each image, or why it cannot be read."""
    return [int(one.pixels[0, 0, 0]) if isinstance(one, Frame) else str(one) for one in frames_of(source)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("b.png", "sub/c.png", "a.bmp")):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image(number + 1)).save(path)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


def test_folders_patterns_and_lists(folder):
    assert seen(folder) == [3, 1, 2]
    assert seen(str(folder / "*.png")) == [1]
    assert seen(str(folder / "**" / "*.png")) == [1, 2]
    assert seen([folder / "a.bmp", image(7), [str(folder)]]) == [3, 7, 3, 1, 2]
    assert seen(image(number) for number in range(3)) == [0, 1, 2]
    assert seen(Image.fromarray(image(9))) == [9]


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    Image.fromarray(image(5)).save(tmp_path / "a[1].png")
    assert seen(tmp_path / "a[1].png") == [5]


def test_what_cannot_be_read_does_not_stop_the_rest(folder):
    (folder / "a.bmp").write_bytes(b"")
    first, *rest = seen(folder)
    assert "a.bmp: the file is empty" in str(first)
    assert rest == [1, 2]


def test_what_is_no_source(tmp_path):
    for source, reason in ((tmp_path, "no images"), (tmp_path / "*.png", "no images"), (3, "not int"), (b"", "bytes")):
        with pytest.raises(ValueError, match=reason):
            list(frames_of(source))


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Camera:
    return attach(monkeypatch)


def write_video(path: Path, times: list[float], size: tuple[int, int] = (64, 48)) -> None:
    """Frames that get brighter."""
    pytest.importorskip("av")
    with closing(VideoFile(path)) as video:
        for number, seconds in enumerate(times):
            video.add(Image.new("RGB", size, (40 * number,) * 3), seconds)


def test_frames_of_a_video(tmp_path):
    times = [0.0, 0.1, 0.2, 0.7, 0.8]
    write_video(tmp_path / "clip.mp4", times)
    frames = list(frames_of(tmp_path))
    assert all(isinstance(frame, Frame) for frame in frames)
    assert [(frame.number, frame.path, tuple(frame.pixels.shape)) for frame in frames] == [
        (number, tmp_path / "clip.mp4", (3, 48, 64)) for number in range(5)
    ]
    assert [float(frame.pixels.float().mean()) for frame in frames] == pytest.approx([0, 40, 80, 120, 160], abs=5)
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-3)
    assert not frames[0].is_file
    assert frame_count(tmp_path / "clip.mp4") == 5


def test_a_video_of_odd_sides_and_one_without_frames(tmp_path):
    write_video(tmp_path / "odd.mp4", [0.0, 0.0], (33, 21))
    frames = [frame for frame in frames_of(tmp_path / "odd.mp4") if isinstance(frame, Frame)]
    assert [tuple(frame.pixels.shape) for frame in frames] == [(3, 20, 32)] * 2
    write_video(tmp_path / "none.mp4", [])
    assert not (tmp_path / "none.mp4").exists()


def test_a_camera_that_is_not_there_is_named():
    pytest.importorskip("av")
    for name, reason in (("camera:front", "a camera is camera: and its number"), ("camera:77", "no /dev/video77")):
        with pytest.raises(ValueError, match=f"{name}: .*{reason}"):
            list(frames_of(name))


def test_of_what_is_live_the_newest_is_taken():
    late, seen = Event(), Event()

    def live():
        yield from (0, 1, 2, 3)
        late.set()
        seen.wait(9)
        raise ValueError("unplugged")

    fetched = newest(live())
    first = next(fetched)
    assert late.wait(9)
    assert first == 3 or next(fetched) == 3
    seen.set()
    with pytest.raises(ValueError, match="unplugged"):
        next(fetched)


@pytest.mark.parametrize("broken", [False, True])
def test_what_is_live_and_stops_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, broken: bool):
    """A device without a signal answers nothing: it is told, and leaving it, as Ctrl-C does, takes no longer."""
    monkeypatch.setattr("cvzoo.data.sources.PATIENCE", 0.2)
    monkeypatch.setattr("cvzoo.data.sources.GRACE", 0.1)
    answer, closed = Event(), Event()

    def live():
        try:
            yield 0
            answer.wait(9)
            yield 1
        finally:
            closed.set()

    start = time.perf_counter()
    with closing(newest(live())) as fetched:
        assert next(fetched) == 0
        if broken:
            with pytest.raises(ValueError, match=r"the camera has given no frame for 0.2 s"):
                next(fetched)
    assert time.perf_counter() - start < 5
    answer.set()
    assert closed.wait(9)


def test_answers_to_a_camera_do_not_fall_behind(camera: Camera):
    with closing(newest(frames_of("camera:0"))) as frames:
        first = next(frames)
        start = time.perf_counter()
        for _ in range(4):
            time.sleep(0.2)  # four frames are passed over
            frame = next(frames)
            assert isinstance(frame, Frame)
            assert frame.pixels.shape == (3, 48, 64)
        assert isinstance(first, Frame)
        assert (first.number, first.time) == (0, 0.0)
        assert frame.time == pytest.approx(time.perf_counter() - start, abs=0.4)  # the fourth one's is 0.2
        assert (frame.number or 0) > 4
        assert not camera.closed.is_set()
    assert camera.closed.wait(9)


def test_a_camera_that_vanishes_is_told(camera: Camera):
    camera.lasts = 3
    with pytest.raises(ValueError, match=r"camera:0: /dev/video0 has stopped after 3 frames .*No such device"):
        list(frames_of("camera:0"))
    assert camera.closed.is_set()


def test_a_broken_video_is_named(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "clip.mp4").write_bytes(b"not a video" * 100)
    (reason,) = seen(tmp_path)
    assert "clip.mp4: is no video that can be decoded" in str(reason)


def test_items_are_fetched_ahead_by_another_thread_and_no_further():
    asked, threads = [], set()

    def items():
        for number in range(10):
            asked.append(number)
            threads.add(threading.current_thread())
            yield number

    fetched = ahead(items(), 3)
    for expected in range(4):
        assert next(fetched) == expected
    assert len(asked) <= 4 + 3
    assert threading.current_thread() not in threads
    assert list(fetched) == [4, 5, 6, 7, 8, 9]


def test_an_error_comes_through_in_its_place():
    def items():
        yield 1
        raise ValueError("broken")

    fetched = ahead(items(), 4)
    assert next(fetched) == 1
    with pytest.raises(ValueError, match="broken"):
        next(fetched)


def test_leaving_early_ends_the_thread():
    before = threading.active_count()
    fetched = ahead(iter(range(1000)), 4)
    next(fetched)
    fetched.close()
    assert threading.active_count() == before


def test_a_source_that_has_gone_quiet_can_be_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cvzoo.data.sources.GRACE", 0.1)
    asked, last = Event(), Event()

    def items():
        yield 1
        asked.set()
        last.wait(20)

    fetched, start = ahead(items(), 2), time.perf_counter()
    assert next(fetched) == 1
    assert asked.wait(10)
    fetched.close()
    assert time.perf_counter() - start < 10
    last.set()
