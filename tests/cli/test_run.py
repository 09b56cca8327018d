"""``edaformer-run`` as typed: what it says, its exit codes, options that do not go together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from edaformer.cli.main import app
from edaformer.families.checkpoint import Checkpoint
from edaformer.media.live import LiveVideo
from tests.field.pictures import damaged_avif, heic_head, of_100_million
from tests.field.video import network_camera
from tests.standins.network import Kind, write_small_onnx


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small ONNX file and a picture."""
    monkeypatch.chdir(tmp_path)
    write_small_onnx(Kind(size=(64, 96)), tmp_path / "m.onnx")
    Image.new("RGB", (90, 60), (200, 20, 60)).save(tmp_path / "a.png")
    return tmp_path


def typed(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["run", *map(str, arguments)])


def test_the_least_that_can_be_typed(folder: Path) -> None:
    ran = typed("m.onnx", "a.png")
    assert ran.exit_code == 0, ran.stderr
    assert "run by    ONNX fp32, ONNX Runtime CPU" in ran.stdout
    assert "edaformer-run/overlay" in ran.stdout
    assert ran.stderr == ""
    with Image.open(folder / "edaformer-run/overlay/a.png") as made:
        assert made.height >= 60
        assert made.width > 90


def test_everything_at_once_as_json(folder: Path) -> None:
    ran = typed("m.onnx", "a.png", "scenes:2", "--save", "overlay,labels,ids,side-by-side", "-o",
                "out", "--video", "v.mp4", "--stats", "s.csv", "--overlay", 0.3, "--fps", 10,
                "--limit", 2, "--json")  # fmt: skip
    made = json.loads(ran.stdout)
    assert (made["frames"], made["skipped"], made["video"], made["stats"]) == (2, [], "v.mp4",
                                                                              "s.csv")  # fmt: skip
    assert sum(one["share"] for one in made["classes"]) == pytest.approx(1)
    for kind in ("overlay", "labels", "ids", "side-by-side"):
        assert sorted(str(path.relative_to(folder / "out" / kind))
                      for path in (folder / "out" / kind).rglob("*.png")) == [
            "a.png", "scenes/000000.png",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--save", "all"), "some of overlay,labels,ids,side-by-side, got 'all'"),
        (("--save", ""), "expected --save as some of"),
        (("--overlay", 1.5), "expected --overlay from 0 to 1"),
        (("--overlay", 0.5, "--save", "ids"), "--overlay has no effect without overlays"),
        (("--fps", 5), "--fps is for --video"),
        (("--fps", 0, "--video", "v.mp4"), "expected --fps from 0.1 to 1000"),
        (("--video", "v.gif"), "expected --video to end in .mp4"),
        (("--video", "/dev/null/v.mp4"), "but it is a file; name another with --video"),
        (("--stats", "s.txt"), "expected --stats to end in .csv or .json"),
        (("--limit", 0), "expected --limit of at least 1"),
        (("-o", "a.png"), "it is a file; name another with -o"),
        (("--reconnect", 0), "expected --reconnect of at least 1"),
        (("--reconnect", 3), "--reconnect is for cameras and streams, and none is there"),
        (("--isr", "paper"), "--isr is for --attention"),
        (("--point", "1,1"), "--point is for --attention"),
        (("--size", "64x64"), "--size is for --attention"),
        (("--attention", "2"), "name it: --isr 16,8,4,2"),
        (("--attention", "2", "--isr", "paper", "--stats", "s.csv"), "--stats has no effect with"),
        (("--attention", "2", "--isr", "paper", "--show"), "--show has no effect with"),
        (("--attention", "2", "--isr", "paper", "--provider", "cpu"), "--provider has no effect"),
        (("--attention", "2", "--isr", "paper", "--point", "1"), "expected --point as X,Y"),
        (("--attention", "2", "--isr", "paper"), "m.onnx is an ONNX model, whose attention is"),
    ],
)  # fmt: skip
def test_bad_options(folder: Path, options: tuple[object, ...], words: str) -> None:
    ran = typed("m.onnx", "a.png", *options)
    assert ran.exit_code == 2, ran.output
    assert words in ran.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "m.onnx"]


@pytest.mark.parametrize(
    ("artifact", "code", "words"),
    [
        ("gone.onnx", 2, "found nothing there"),
        ("a.png", 2, "is not an ONNX model"),
        ("small.safetensors", 2, "is a checkpoint; export it first (edaformer-export "),
    ],
)
def test_bad_artifacts(
    folder: Path, small_checkpoint: Checkpoint, artifact: str, code: int, words: str
) -> None:
    (folder / "small.safetensors").symlink_to(small_checkpoint.path)
    ran = typed(artifact, "a.png")
    assert (ran.exit_code, words in ran.stderr) == (code, True), ran.stderr


def test_a_pipeline_without_gstreamer(folder: Path) -> None:
    cv2: Any = pytest.importorskip("cv2")
    if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        pytest.skip("this OpenCV has GStreamer")
    ran = typed("m.onnx", "videotestsrc ! videoconvert ! appsink")
    assert ran.exit_code == 3
    assert "was built without GStreamer" in ran.stderr


def test_no_opencv(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert typed("m.onnx", "a.png", "--video", "v.mp4").exit_code == 0  # files need none
    ran = typed("m.onnx", "0")
    assert ran.exit_code == 3
    assert "on a Jetson: sudo apt install python3-opencv" in ran.stderr


@pytest.mark.parametrize("found", [None, ModuleType("av")])
def test_no_pyav(folder: Path, monkeypatch: pytest.MonkeyPatch, found: ModuleType | None) -> None:
    """Nor where its folder is all that is left of it."""
    monkeypatch.setitem(sys.modules, "av", found)
    (folder / "v.mp4").write_bytes(b"video")
    assert typed("m.onnx", "a.png").exit_code == 0  # pictures need none
    for arguments in (("a.png", "--video", "w.mp4"), ("v.mp4",)):
        ran = typed("m.onnx", *arguments)
        assert ran.exit_code == 3
        assert "pip install" in ran.stderr


def test_a_camera_that_goes_is_exit_1(folder: Path) -> None:
    with network_camera(30, frames=6) as (url, _):
        ran = typed("m.onnx", url, "--stats", "s.csv", "--json")
    assert ran.exit_code == 1, ran.output
    assert "and then no more" in ran.stderr
    made = json.loads(ran.stdout)
    assert made["frames"] + made["dropped"] <= 6
    assert (folder / "s.csv").stat().st_size > 0  # what was seen is kept


def test_a_folder_names_what_it_leaves_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that nothing here reads are skipped, exit code 1; the rest is none of its."""
    monkeypatch.setattr("edaformer.pictures._known_formats", lambda: ("PNG", "JPEG"))
    shots = folder / "shots"
    shots.mkdir()
    for name in ("a.jfif", "b.JPG"):
        Image.new("RGB", (90, 60), (200, 20, 60)).save(shots / name, "JPEG")
    for name in ("c.heic", "d.CR2"):
        heic_head(shots / name)
    (shots / "e.jxl").write_bytes(b"\xff\x0a" + bytes(99))
    damaged_avif(shots / "f.avif")
    (shots / "notes.txt").write_text("x")
    ran = typed("m.onnx", "shots", "--json")
    assert ran.exit_code == 1, ran.output
    made = json.loads(ran.stdout)
    assert made["frames"] == 2
    assert [Path(one["name"]).name for one in made["skipped"]] == ["c.heic", "d.CR2", "e.jxl",
                                                                  "f.avif"]  # fmt: skip
    assert "shots: left out 1 file that is no picture or video by suffix: notes.txt" in ran.stderr


def test_a_damaged_avif_does_not_end_a_run(folder: Path) -> None:
    damaged_avif(folder / "b.avif")
    Image.new("RGB", (90, 60)).save(folder / "c.png")
    ran = typed("m.onnx", "a.png", "b.avif", "c.png", "--json")
    assert ran.exit_code == 1, ran.output
    assert json.loads(ran.stdout)["frames"] == 2
    assert "skipped b.avif: it cannot be read" in ran.stderr


def test_large_pictures_say_nothing(folder: Path) -> None:
    of_100_million(folder / "large.png")
    command = "from edaformer.cli.main import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", command, "run", "m.onnx", "large.png", "--stats", "s.csv"],
        capture_output=True, text=True, check=False, cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    said = [line for line in ran.stderr.splitlines() if not line.startswith("... ")]
    assert (ran.returncode, said) == (0, [])  # but progress, where the machine is slow
    assert (folder / "s.csv").is_file()


def test_ctrl_c_ends_a_camera_and_keeps_its_video(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edaformer.media.frames import Frame

    before = signal.getsignal(signal.SIGINT)

    def film(self: LiveVideo, stop: Any) -> Any:
        for index in range(100):
            if index == 4:
                signal.raise_signal(signal.SIGINT)
            yield Frame(f"camera 0, frame {index}", f"{self.key}/{index}",
                        np.zeros((60, 90, 3), np.uint8), 30.0)  # fmt: skip

    monkeypatch.setattr(LiveVideo, "frames", film)
    ran = typed("m.onnx", "0", "--video", "v.mp4", "--json")
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.stdout)["frames"] == 4
    assert (folder / "v.mp4").stat().st_size > 0
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_interrupts_what_ends_by_itself(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edaformer.engines.run.sinks.PictureSink.take", interrupted)
    assert typed("m.onnx", "a.png").exit_code == 130
    assert not (folder / "edaformer-run").exists()
