"""Debian's own OpenCV, which has GStreamer and windows, under edaformer-run itself.

    apt-get install python3-opencv gstreamer1.0-tools gstreamer1.0-plugins-good xvfb xdotool

As on a Jetson, the system's interpreter runs the package with the system's NumPy and OpenCV. The
rest is this environment's, of the same minor version of Python.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edaformer.engines.run.labeller import open_labeller
from edaformer.engines.run.run import RunOptions, run
from edaformer.export.exporter import ExportResult
from tests.conftest import ROOT

PYTHON = Path("/usr/bin/python3")
PATIENCE = 180.0  # seconds
FACTS = """
import sys, cv2
print(*sys.version_info[:2])
said = cv2.getBuildInformation()
print("GStreamer:                   YES" in said, "GUI:                           NONE" not in said)
"""
PIPELINE = "videotestsrc num-buffers=9 pattern=ball ! video/x-raw,format=BGR,width=90,height=60"


def why_not(*programs: str) -> str | None:
    """Why the system cannot do it."""
    missing = [one for one in programs if shutil.which(one) is None]
    if missing:
        return f"needs {', '.join(missing)}"
    if sys.platform != "linux" or not PYTHON.is_file():
        return "needs Debian's Python"
    told = subprocess.run([PYTHON, "-c", FACTS], capture_output=True, text=True, check=False,
                          env={"PATH": "/usr/bin:/bin"})  # fmt: skip
    if told.stdout.split() != [str(sys.version_info[0]), str(sys.version_info[1]), "True", "True"]:
        return "needs python3-opencv of Debian, for this environment's minor version of Python"
    return None


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This environment's packages, but NumPy and OpenCV."""
    folder = tmp_path_factory.mktemp("packages")
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.startswith(("numpy", "cv2", "opencv", "_")) and path.suffix != ".pth":
            (folder / path.name).symlink_to(path)
    return folder


def begin(packages: Path, home: Path, *words: object, **more: str) -> subprocess.Popen[str]:
    """edaformer-run under the system's interpreter."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "XDG_RUNTIME_DIR": str(home),
                   "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{packages}", **more}  # fmt: skip
    line = [str(PYTHON), "-m", "edaformer", "run", *map(str, words)]
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)  # fmt: skip


def test_a_pipeline_of_gstreamer(
    packages: Path, small_export: ExportResult, tmp_path: Path
) -> None:
    if reason := why_not("gst-launch-1.0"):
        pytest.skip(reason)
    raw, out = tmp_path / "raw", tmp_path / "out"
    subprocess.run(["gst-launch-1.0", "-q", *f"{PIPELINE} ! filesink location={raw}".split()],
                   check=True, timeout=PATIENCE)  # fmt: skip
    lines = np.fromfile(raw, np.uint8).reshape(9, 60, 272)  # a line is padded to four bytes
    frames = lines[:, :, :270].reshape(9, 60, 90, 3)[..., ::-1]
    with begin(packages, tmp_path, small_export.path, f"{PIPELINE} ! appsink", "--save", "ids",
               "-o", out) as ran:  # fmt: skip
        said, _ = ran.communicate(timeout=PATIENCE)
    assert "and then no more" in said  # a live source that ends is told, exit code 1
    assert ran.returncode == 1
    labeller = open_labeller(small_export.path)
    made = sorted(out.rglob("*.png"))
    assert made
    for path in made:
        frame = np.ascontiguousarray(frames[int(path.stem)])
        np.testing.assert_array_equal(np.asarray(Image.open(path)), labeller(frame))


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A display of 640x480, and the file that is its memory."""
    if reason := why_not("Xvfb", "xdotool"):
        pytest.skip(reason)
    words = ["Xvfb", "-displayfd", "1", "-screen", "0", "640x480x24", "-fbdir", str(tmp_path),
             "-nolisten", "tcp"]  # fmt: skip
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            assert server.stdout is not None
            yield f":{int(server.stdout.readline())}", tmp_path / "Xvfb_screen0"
        finally:
            server.terminate()


def seen(file: Path) -> NDArray[np.uint8]:
    """RGB (480, 640, 3), out of X's own format (XWDFile.h): a header, colours, BGR and a byte."""
    data = file.read_bytes()
    header = struct.unpack(">25I", data[:100])
    start = header[0] + 12 * header[19]
    pixels = np.frombuffer(data, np.uint8, 480 * header[12], start).reshape(480, -1, 4)
    return pixels[:, :640, 2::-1]


def test_a_window_shows_the_overlay_until_q(
    screen: tuple[str, Path], packages: Path, small_export: ExportResult, tmp_path: Path
) -> None:
    display, memory = screen
    picture = tmp_path / "a.png"
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(picture)
    run(small_export.path, [str(picture)], RunOptions(folder=tmp_path / "out"))
    overlay = np.asarray(Image.open(tmp_path / "out/overlay/a.png").convert("RGB"))
    with begin(packages, tmp_path, small_export.path, picture, "--show", DISPLAY=display) as ran:
        try:
            end = time.monotonic() + PATIENCE
            while not holds(seen(memory), overlay):
                assert ran.poll() is None, ran.communicate()[0]
                assert time.monotonic() < end, "no window shows it"
                time.sleep(0.2)
            while ran.poll() is None and time.monotonic() < end:
                # over the window, since without a window manager nobody gives it the keyboard
                press = ["xdotool", "mousemove", "20", "20", "key", "q"]
                shown = {**os.environ, "DISPLAY": display}
                subprocess.run(press, check=True, timeout=PATIENCE, env=shown)
                time.sleep(0.5)
            said, _ = ran.communicate(timeout=PATIENCE)
        finally:
            ran.kill()
    assert ran.returncode == 0, said


def holds(screen: NDArray[np.uint8], picture: NDArray[np.uint8]) -> bool:
    """Whether the picture is on the screen, pixel for pixel; found by the rarest of its colours."""
    height, width = picture.shape[:2]
    codes = picture.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    _, places, counts = np.unique(codes, return_index=True, return_counts=True)
    rarest = np.argmin(counts)
    row, column = divmod(int(places[rarest]), width)
    found = np.argwhere((screen == picture[row, column]).all(axis=2)) - (row, column)
    return any(
        np.array_equal(screen[y : y + height, x : x + width], picture)
        for y, x in found if y >= 0 and x >= 0
    )  # fmt: skip
