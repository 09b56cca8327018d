"""Runs over pictures and video: memory, order, duration, areas, files whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import resource
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from edaformer.engines.run import run as running
from edaformer.engines.run.run import RunOptions, run
from edaformer.engines.run.watch import Watch
from edaformer.errors import InputError, MissingError
from edaformer.files import open_whole
from edaformer.media import opencv as media_opencv
from edaformer.media import window
from edaformer.media.video import VideoFile
from edaformer.media.writer import VideoWriter
from tests.field.video import UNEVEN
from tests.field.video import film as uneven
from tests.standins.network import Kind, write_small_onnx

FRAMES, RATE = 300, 29.97
BITS = 9  # of a frame's number, as a three by three board of black and white


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    write_small_onnx(Kind(outputs=("labels",)), path)
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 frames; each shows its number."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with path.open("w+b") as file:
        writer = VideoWriter(file, (120, 180), RATE)
        for index in range(FRAMES):
            board = np.array([index >> bit & 1 for bit in range(BITS)], np.uint8).reshape(3, 3)
            shown = np.kron(255 * board, np.ones((40, 60), np.uint8))[:, :, None].repeat(3, 2)
            writer.write(shown, index / RATE)
        writer.close()
    return path


def number(labels: np.ndarray, white: int) -> int:
    """What a frame's labels show."""
    board = labels[20::40, 30::60].ravel() == white
    return sum(int(on) << bit for bit, on in enumerate(board))


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.slow
def test_three_hundred_frames(model: Path, film: Path, tmp_path: Path) -> None:
    """All of them, in order, of the right duration, and the last ones cost no more memory."""
    options = RunOptions(
        save=("ids",), folder=tmp_path / "out", video=tmp_path / "seen.mp4",
        stats=tmp_path / "areas.csv",
    )  # fmt: skip
    memory: dict[int, tuple[int, int]] = {}

    def on_frame(done: int, total: int | None) -> None:
        assert total == FRAMES
        memory[done] = (tracemalloc.get_traced_memory()[0], resident())

    tracemalloc.start()
    result = run(model, [str(film)], options, Watch(on_frame=on_frame))
    tracemalloc.stop()
    assert (result.frames, result.skipped) == (FRAMES, ())
    assert memory[FRAMES][0] - memory[50][0] < 2e6  # 250 frames would be 16 MB
    assert memory[FRAMES][1] - memory[50][1] < 16e6

    made = sorted((tmp_path / "out/ids/film").iterdir())
    assert [path.name for path in made] == [f"{index:06d}.png" for index in range(FRAMES)]
    maps = [np.asarray(Image.open(path)) for path in made]
    white = int(maps[1][20, 30])  # frame 1 has its lowest bit at the top left
    assert [number(labels, white) for labels in maps] == list(range(FRAMES))

    seen = cv2.VideoCapture(str(tmp_path / "seen.mp4"))
    assert seen.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    assert seen.get(cv2.CAP_PROP_FPS) == pytest.approx(RATE, abs=0.01)
    frames = 0
    while seen.read()[0]:
        frames += 1
    assert frames == FRAMES
    rows = list(csv.DictReader((tmp_path / "areas.csv").read_text().splitlines()))
    order = list(dict.fromkeys(row["frame"] for row in rows))
    assert order == [f"{film}, frame {index}" for index in range(FRAMES)]


def picture(path: Path, size: tuple[int, int] = (60, 90), value: int = 200) -> str:
    Image.new("RGB", size[::-1], (value, 20, 60)).save(path)
    return str(path)


def test_areas_add_up(model: Path, tmp_path: Path) -> None:
    inputs = [picture(tmp_path / "a.png"), picture(tmp_path / "b.png", (10, 20), 0)]
    result = run(model, inputs, RunOptions(stats=tmp_path / "areas.json"))
    listed = json.loads((tmp_path / "areas.json").read_text())
    assert [entry["frame"] for entry in listed] == inputs
    assert [(entry["height"], entry["width"]) for entry in listed] == [(60, 90), (10, 20)]
    for entry in listed:
        assert sum(one["pixels"] for one in entry["classes"]) == entry["height"] * entry["width"]
        assert sum(one["share"] for one in entry["classes"]) == pytest.approx(1)
    assert sum(one.pixels for one in result.classes) == 60 * 90 + 10 * 20
    assert sum(one.share for one in result.classes) == pytest.approx(1)
    assert result.pictures == ()  # nothing but the table was asked for


def test_frames_of_other_sizes_fit_the_first_one_s_video(model: Path, tmp_path: Path) -> None:
    inputs = [picture(tmp_path / "a.png", (61, 91)), picture(tmp_path / "b.png", (200, 20))]
    run(model, inputs, RunOptions(video=tmp_path / "v.mp4", fps=5))
    video = cv2.VideoCapture(str(tmp_path / "v.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 2
    assert video.get(cv2.CAP_PROP_FPS) == 5
    first, second = video.read()[1], video.read()[1]
    assert first.shape == second.shape
    assert second[:, -20:].max() < 30  # what the second does not fill is black


def test_nothing_is_left_where_nothing_could_be_read(model: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    options = RunOptions(video=tmp_path / "v.mp4", stats=tmp_path / "s.csv", save=("overlay",),
                         folder=tmp_path / "out")  # fmt: skip
    with pytest.raises(InputError, match=r"no frame could be read \(.*broken.png: it is no pict"):
        run(model, [str(tmp_path / "broken.png")], options)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.png"]


def test_an_interrupted_run_leaves_no_video(model: Path, tmp_path: Path) -> None:
    inputs = [picture(tmp_path / f"{index}.png") for index in range(3)]

    def interrupt(done: int, _: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(model, inputs, RunOptions(video=tmp_path / "v.mp4"), Watch(on_frame=interrupt))
    assert not list(tmp_path.glob("*.mp4"))
    assert not list(tmp_path.glob(".*"))


def test_stopping_keeps_what_is_done(model: Path, tmp_path: Path) -> None:
    inputs = [picture(tmp_path / f"{index}.png") for index in range(5)]
    done: list[int] = []
    watch = Watch(on_frame=lambda count, _: done.append(count), stop=lambda: len(done) >= 2)
    result = run(model, inputs, RunOptions(video=tmp_path / "v.mp4"), watch)
    assert result.frames == 2
    assert cv2.VideoCapture(str(tmp_path / "v.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 2


def test_a_video_that_lost_frames_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lost them."""
    inputs = [picture(tmp_path / f"{index}.png") for index in range(3)]
    write = VideoWriter.write
    lost: list[int] = []

    def forgetful(self: VideoWriter, made: np.ndarray, time: float) -> None:
        lost.append(1)
        if len(lost) != 2:
            write(self, made, time)

    monkeypatch.setattr(VideoWriter, "write", forgetful)
    with pytest.raises(InputError, match="FFmpeg wrote 2 of 3 frames"):
        run(model, inputs, RunOptions(video=tmp_path / "v.mp4"))
    assert not (tmp_path / "v.mp4").exists()


def test_inputs_are_never_replaced(model: Path, tmp_path: Path) -> None:
    (tmp_path / "overlay").mkdir()
    given = picture(tmp_path / "overlay/a.png")
    before = Path(given).read_bytes()
    with pytest.raises(InputError, match="is also an input and would be replaced"):
        run(model, [given], RunOptions(folder=tmp_path))
    assert Path(given).read_bytes() == before


def test_outputs_of_an_earlier_run_are_no_inputs(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")
    assert run(model, ["."]).frames == 1
    before = (tmp_path / "edaformer-run/overlay/a.png").read_bytes()
    assert run(model, ["."]).frames == 1
    assert (tmp_path / "edaformer-run/overlay/a.png").read_bytes() == before


class FakeWindows:
    """An OpenCV with windows, and a person at the keyboard."""

    WINDOW_NORMAL = WINDOW_KEEPRATIO = WINDOW_GUI_NORMAL = 0
    WND_PROP_VISIBLE, COLOR_RGB2BGR = 4, cv2.COLOR_RGB2BGR
    __version__ = "fake"

    def __init__(self, keys: list[int], visible: int = 99) -> None:
        self.keys, self.shown, self.visible = keys, [], visible

    def __getattr__(self, name: str) -> object:
        assert name in {"namedWindow", "resizeWindow", "destroyAllWindows"}
        return lambda *_: None

    def cvtColor(self, made: np.ndarray, code: int) -> np.ndarray:  # noqa: N802  # OpenCV's
        return cv2.cvtColor(made, code)

    def getBuildInformation(self) -> str:  # noqa: N802
        return "  GUI:                           GTK3"

    def imshow(self, _: str, made: np.ndarray) -> None:
        self.shown.append(made)

    def waitKey(self, _: int) -> int:  # noqa: N802
        return self.keys.pop(0)

    def getWindowProperty(self, *_: object) -> int:  # noqa: N802
        self.visible -= 1
        return int(self.visible > 0)


@pytest.mark.parametrize(
    ("keys", "visible", "frames"),
    [
        ([-1, -1, 32, 32, 32], 99, 3),  # pictures wait for a key
        ([32, ord("q")], 99, 2),
        ([27], 99, 1),
        ([-1, -1, -1], 3, 1),  # closed by the mouse
    ],
)
def test_a_window(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: list[int], visible: int,
    frames: int,
) -> None:  # fmt: skip
    fake = FakeWindows(keys, visible)
    for module in (media_opencv, window, running):
        monkeypatch.setattr(module, "opencv", lambda: fake)
    monkeypatch.setenv("DISPLAY", ":0")
    inputs = [picture(tmp_path / f"{index}.png") for index in range(3)]
    assert run(model, inputs, RunOptions(show=True)).frames == frames
    assert len(fake.shown) == frames
    assert tuple(fake.shown[0][30, 130])[::-1] == (255, 255, 255)  # the legend's paper


def test_no_windows_here(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(MissingError, match=r"without windows|there is no display"):
        run(model, [picture(tmp_path / "a.png")], RunOptions(show=True))
    fake = FakeWindows([])
    monkeypatch.setattr(media_opencv, "opencv", lambda: fake)
    with pytest.raises(MissingError, match="there is no display for --show"):
        run(model, [picture(tmp_path / "a.png")], RunOptions(show=True))


def test_a_variable_rate_stays_in_step(model: Path, tmp_path: Path) -> None:
    """In the table and in the overlay video."""
    uneven(tmp_path / "v.mp4", UNEVEN)
    options = RunOptions(video=tmp_path / "seen.mp4", stats=tmp_path / "s.csv")
    assert run(model, [str(tmp_path / "v.mp4")], options).frames == len(UNEVEN)
    rows = csv.DictReader((tmp_path / "s.csv").read_text().splitlines())
    times = {row["frame"]: float(row["time"]) for row in rows}
    assert list(times.values()) == pytest.approx(UNEVEN)
    seen = VideoFile(tmp_path / "seen.mp4", "v").frames()
    assert [frame.time for frame in seen] == pytest.approx(UNEVEN, abs=1e-5)


def test_moving_pictures_keep_their_times(model: Path, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (90, 60), (value, 20, 60)) for value in (0, 100, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:],
                   duration=[40, 500, 100])  # fmt: skip
    run(model, [str(tmp_path / "a.gif")], RunOptions(stats=tmp_path / "s.json"))
    listed = json.loads((tmp_path / "s.json").read_text())
    assert [one["time"] for one in listed] == pytest.approx([0, 0.04, 0.54])


def test_kill_9_leaves_nothing(model: Path, film: Path, tmp_path: Path) -> None:
    """Where the file system has files without a name."""
    code = (
        "import sys; from pathlib import Path\n"
        "from edaformer.engines.run.run import RunOptions, run\n"
        "from edaformer.engines.run.watch import Watch\n"
        "options = RunOptions(video=Path('v.mp4'), stats=Path('s.csv'))\n"
        "watch = Watch(on_frame=lambda *_: print(flush=True))\n"
        "run(Path(sys.argv[1]), sys.argv[2:], options, watch)"
    )
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(model), str(film)], cwd=tmp_path,
        stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    with process:
        assert process.stdout is not None
        for _ in range(20):
            assert process.stdout.readline()
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(
    model: Path, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words of the file system, and nothing left."""

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            if self.tell() > 2000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    @contextmanager
    def on_a_full_disk(path: Path) -> Iterator[Full]:
        with open_whole(path), Full(tmp_path / "full", "w+") as file:
            yield file

    monkeypatch.setattr("edaformer.engines.run.sinks.open_whole", on_a_full_disk)
    with pytest.raises(InputError, match="No space left on device; free some space"):
        run(model, [str(film)], RunOptions(video=tmp_path / "v.mp4"))
    assert not (tmp_path / "v.mp4").exists()
