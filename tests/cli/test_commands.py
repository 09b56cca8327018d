"""Every command through the command line: results, exit codes, one-sentence errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.engines.build.build import BuildResult
from edaformer.export.exporter import ExportResult
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.edaformer.loader import save_checkpoint
from edaformer.machine import backend
from edaformer.version import __version__
from tests.folder import lay_folder


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()

    def invoke(*arguments: object) -> Ran:
        result = runner.invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture
def checkpoint(small_checkpoint: Checkpoint) -> Path:
    return small_checkpoint.path


def test_version(run: Run) -> None:
    assert run("--version").out.strip() == __version__


@pytest.mark.slow
def test_what_a_checkpoint_does_not_say(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("Straße\nb\nc\nd\ne\n", encoding="utf-8")
    given = ("--mean", "3,2,1", "--std", "6,5,4", "--bgr", "--names", tmp_path / "names.txt")
    ran = run(
        "export", checkpoint, "--size", "64x64", "--precision", "fp32", "-o", "x.onnx", *given
    )
    assert ran.code == 0
    words = "mean 1, 2, 3; std 4, 5, 6, of 0..255 RGB; trained on BGR, turned round inside (given)"
    told = " ".join(ran.out.split())  # wrapped at 80 columns
    assert words in told
    assert f"Straße, b, c, d, e (given: {tmp_path / 'names.txt'})" in told
    refused = run("validate", "x.onnx", "--checkpoint", checkpoint, "--mean", "1,2,3")
    assert "--mean: the artifact says it; leave it out" in refused.err
    (tmp_path / "names.txt").write_bytes("Straße\n".encode("cp1252"))
    assert "looks like Windows-1252" in run("export", checkpoint, *given).err


def test_info_says_where_it_came_from(run: Run, checkpoint: Path) -> None:
    ran = run("info", checkpoint)
    assert "mean 123.675, 116.28, 103.53; std 58.395, 57.12, 57.375" in ran.out
    assert "(assumed, the release's: the file says none)" in ran.out
    assert "road, sky, tree, car, sign (meta)" in ran.out


@pytest.mark.slow
def test_export_build_info(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    ran = run("export", checkpoint, "--isr", "16,8,2,1", "--size", "64x64")
    assert ran.code == 0
    assert "ISR           16,8,2,1-1,2,4" in ran.out
    name = "small_16-8-2-1_64x64_fp16.onnx"
    assert f"no -o given: writing {name}" in ran.err
    assert f"next: edaformer-build {name}" in ran.err
    assert run("export", checkpoint, "--isr", "16,8,2,1", "--size", "64x64").code == 2
    ran = run("build", name, "--json", "--backend", "tensorrt-rtx", "--allow-unfused")
    made = json.loads(ran.out)
    assert {"path", "sha256", "seconds", "manifest"} <= set(made)
    plan = name.replace(".onnx", ".plan")
    assert made["path"] == plan
    beside = [f"{name}.witness", plan, f"{plan}.json", f"{plan}.witness"]
    assert names(tmp_path) == [name, *beside]
    assert "exists already; replace it with --force" in run("build", name).err
    assert "sidecar             matches the plan" in run("info", plan).out
    (tmp_path / f"{plan}.json").unlink()
    assert "missing: no" in run("info", plan).out


def test_export_json(run: Run, checkpoint: Path) -> None:
    ran = run(
        "export", checkpoint, "--size", "64x64", "--precision", "fp32", "--json", "-o", "x.onnx",
        "--resize", "pillow-bilinear",
    )  # fmt: skip
    made = json.loads(ran.out)
    assert made["manifest"]["precision"] == "fp32"
    assert made["manifest"]["input"]["resize"] == "pillow-bilinear"
    assert "frames resized by   pillow-bilinear" in run("info", "x.onnx").out
    assert {"path", "sha256", "seconds"} <= set(made)


def test_info_of_a_variant(run: Run) -> None:  # type: ignore[no-untyped-def]
    ran = run("info", "T", "--classes", 150, "--isr", "paper", "--size", "512x512", "--json")
    made = json.loads(ran.out)
    assert made["params"] == 4929914
    assert made["gmacs"] == pytest.approx(4.66, abs=0.01)
    assert made["gmacs_base"] == pytest.approx(5.59, abs=0.01)
    assert made["saving"] == pytest.approx(1 - made["gmacs"] / made["gmacs_base"])
    headline = run("info", "T", "--classes", 19, "--isr", "16,8,4,2-2,4,8", "--size", "1024x2048")
    assert "61.2% of the multiply-adds at base ISR saved" in headline.out


def test_info_of_files(
    run: Run, checkpoint: Path, small_export: ExportResult, small_plan: BuildResult
) -> None:
    files = {"checkpoint": checkpoint, "onnx": small_export.path, "plan": small_plan.path}
    for kind, path in files.items():
        made = json.loads(run("info", path, "--json").out)
        assert made["kind"] == kind
        assert {"params", "gmacs", "gmacs_base", "saving"} <= set(made)
        assert "EDAFormer-T, 5 classes" in run("info", path).out
    assert made["manifest"]["isr"] == "16,8,2,1-2,2,4"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    code = "from edaformer.cli.info import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "T", "--classes", "19", "--size", "512x512"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as ran:  # fmt: skip
        assert ran.stdout is not None
        assert ran.stderr is not None
        ran.stdout.close()
        assert ran.stderr.read() == ""
    assert ran.returncode == 141


@pytest.fixture
def data(tmp_path: Path) -> Path:
    pair = natural_noise(1, (60, 90))[0], np.zeros((60, 90), np.uint8)
    return lay_folder(tmp_path / "data", [pair], names=["a"])


def test_validate(run: Run, small_export: ExportResult, checkpoint: Path, data: Path) -> None:
    command = (
        "validate",
        small_export.path,
        "--checkpoint",
        checkpoint,
        "--data",
        f"folder:{data}",
    )
    loose = ("--trust-labels", "--min-agreement", 0.9, "--max-miou-drop", 10, "--provider", "cpu")
    ran = run(*command, *loose, "--per-class")
    assert ran.code == 0
    assert "passed" in ran.out
    assert "float16 rounding emulated" in ran.out
    assert "sign" in ran.out
    made = json.loads(run(*command, *loose, "--json").out)
    assert made["candidate"]["description"].startswith("ONNX fp16")
    failed = run(*command, "--trust-labels", "--min-agreement", 1, "--max-miou-drop", 10)
    assert failed.code == 1
    assert "gate failed: labels agree on" in failed.err
    assert "FAILED" in failed.out


def bad(name: str, folder: Path, checkpoint: Path) -> Path:
    """Files that are not the checkpoint they should be."""
    path = folder / name
    data = checkpoint.read_bytes()
    if name == "truncated.safetensors":
        path.write_bytes(data[: len(data) // 2])
    elif name == "photo.jpg":
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    elif name == "text.pth":
        path.write_text("not a checkpoint")
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.pth", "found nothing there"),
        ("photo.jpg", "is a JPEG image"),
        ("text.pth", "is neither"),
        ("truncated.safetensors", "damaged or cut short"),
    ],
)
def test_bad_checkpoints(run: Run, name: str, words: str, checkpoint: Path, tmp_path: Path) -> None:
    path = bad(name, tmp_path, checkpoint)
    before = names(tmp_path)
    ran = run("export", path)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert len(ran.err.splitlines()) == 1
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--isr", "a,b,c,d"), "expected an ISR like 16,8,4,1"),
        (("--isr", "16,8,4"), "is not 4 numbers"),
        (("--isr", "4,4,2,1"), "is not a multiple of its trained ratio 8; use one of 8, 16, 32"),
        (("--isr", "20,4,2,1"), "is not a multiple"),
        (("--isr", "256,4,2,1"), "is larger than its 128x128 map"),
        (("--size", "0x0"), "expected sides of 1 to 8192"),
        (("--size", "-1"), "expected a size as HEIGHTxWIDTH"),
        (("--size", "28x28", "--align", "none"), "use an input of at least 29x29"),
        (("--size", "31x31", "--align", "none", "--isr", "16,4,2,1"), "its 8x8 map"),
        (("--size", "100000x100000"), "expected sides of 1 to 8192"),
        (("--tolerance", "inf"), "expected --tolerance above 0 and finite"),
        (("--limit", "2"), "--limit is for the images of --data"),
        (("--input", "tensor", "--align", "16"), "--align has no effect on tensor input"),
        (("--outputs", "masks"), "expected --outputs out of labels"),
        (("--batch", "many"), "expected --batch as a number or 'dynamic'"),
        (("--align", "some"), "expected --align as 'none' or 1 to"),
        (("--opset", "11"), "expected an opset out of 18, 19, 20"),
        (("-o", "/dev/null/x.onnx"), "but it is a file; name another with -o"),
        (("-o", "x.plan"), ".plan is not what is written here; name the file x.onnx"),
        (("-o", "."), "is a folder; name a file in it"),
        (("--data", "voc:/nowhere"), "expected --data as one of scenes, scenes:N"),
        (("--data", "camvid:/nowhere"), "found nothing there"),
    ],
)
def test_bad_options(
    run: Run, options: tuple[str, ...], words: str, checkpoint: Path, tmp_path: Path
) -> None:
    ran = run("export", checkpoint, *options)
    assert ran.code == 2, ran
    assert words in ran.err
    assert len(ran.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (("build", "{plan}"), 2, "is not an ONNX model"),
        (("build", "{checkpoint}"), 2, "is a checkpoint, no artifact; export it: edaformer-export"),
        (("build", "{onnx}", "-o", "x.onnx"), 2, ".onnx is not what is written here"),
        (("build", "{onnx}", "-o", "{checkpoint}"), 2, "is a checkpoint and would be replaced"),
        (("build", "{onnx}", "-o", "{onnx}"), 2, ".onnx is not what is written here"),
        (("info", "/proc/self/mem"), 2, "check the path and its permissions"),
        (("build", "absent.onnx"), 2, "found nothing there"),
        (("build", "{onnx}", "--timing-cache", "x", "-o", "x.plan", "--backend", "tensorrt-rtx"), 2,
         "--timing-cache has no effect on tensorrt-rtx"),
        (("build", "{onnx}", "--compute-capability", "8.7", "-o", "x.plan", "--backend",
          "tensorrt-rtx"), 2, "build on the device with --backend tensorrt"),
        (("build", "{onnx}", "-o", "x.plan", "--backend", "tensorrt"), 3, "is not installed here"),
        (("build", "{onnx}", "-o", "x.plan", "--min-batch", "1"), 2, "--max-batch together"),
        (("validate", "{plan}", "--checkpoint", "{checkpoint}", "--data", "folder:{data}"), 3,
         "needs an NVIDIA GPU"),
        (("validate", "{checkpoint}", "--checkpoint", "{checkpoint}", "--data", "folder:{data}"), 2,
         "is a checkpoint, no artifact; export it: edaformer-export"),
        (("validate", "{onnx}", "--checkpoint", "{checkpoint}", "--data", "folder:{data}",
          "--limit", "0"), 2, "at least 1"),
        (("validate", "{onnx}", "--checkpoint", "{onnx}", "--data", "folder:{data}"), 2,
         "expected a PyTorch (.pth) or safetensors checkpoint"),
        (("info", "X"), 2, "expected a file or a variant (T, B, feedformer-b0"),
        (("info", "{onnx}", "--isr", "paper"), 2, "--isr is baked into"),
        (("info", "{plan}", "--size", "64x64"), 2, "--size is baked into"),
        (("info", "{checkpoint}", "--classes", "3"), 2, "--classes is for a bare variant"),
        (("info", "T", "--classes", "0"), 2, "expected --classes of 1 to 65536"),
        (("info", "{data}/classes.txt"), 2, "is no checkpoint, ONNX model or TensorRT plan"),
    ],
)  # fmt: skip
def test_bad_commands(
    run: Run, command: tuple[str, ...], code: int, words: str, checkpoint: Path, data: Path,
    small_export: ExportResult, small_plan: BuildResult, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(backend, "gpu_visible", lambda: False)
    paths = {
        "plan": small_plan.path,
        "onnx": small_export.path,
        "checkpoint": checkpoint,
        "data": data,
    }
    before = names(tmp_path)
    ran = run(*(part.format(**paths) for part in command))
    assert ran.code == code, ran
    assert words in ran.err
    assert ran.err.startswith("error: ")
    assert "Traceback" not in ran.err
    assert names(tmp_path) == before


def test_nan_weights_are_refused(run: Run, small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = small_checkpoint.model()
    model.decoder.classify.bias[0] = float("nan")
    save_checkpoint(tmp_path / "nan.safetensors", model)
    ran = run("export", "nan.safetensors")
    assert (ran.code, "1 not finite (decoder.classify.bias)" in ran.err) == (2, True)


def test_debug_adds_the_traceback_and_keeps_the_exit_code(run: Run) -> None:
    ran = run("export", "absent.pth", "--debug")
    assert ran.code == 2
    assert "Traceback" in ran.err
    assert ran.err.splitlines()[-1].startswith("error: expected a checkpoint file")


def test_ctrl_c_is_130_and_leaves_nothing(
    run: Run, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edaformer.export.exporter.verify", interrupted)
    ran = run("export", checkpoint, "--size", "64x64", "-o", "x.onnx")
    assert ran.code == 130
    assert ran.err.endswith("interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder(
    run: Run, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ReadOnly:
        """os, as it would answer a user without the right to write; the tests may run as root."""

        def __getattr__(self, name: str) -> object:
            return (lambda *_: False) if name == "access" else getattr(os, name)

    monkeypatch.setattr("edaformer.files.os", ReadOnly())
    ran = run("export", checkpoint, "-o", "x.onnx")
    assert ran.code == 2
    assert "is not writable; name another with -o" in ran.err


def test_a_full_disk(
    run: Run, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edaformer.files.os.fsync", full)
    ran = run("export", checkpoint, "--size", "64x64", "--precision", "fp32", "-o", "x.onnx")
    assert (ran.code, "No space left on device; free some space" in ran.err) == (2, True)
    assert list(tmp_path.iterdir()) == []
