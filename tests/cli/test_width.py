"""What every command prints fits 80 columns, whatever it is about."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edaformer.cli.main import COMMANDS
from edaformer.engines.build.build import BuildResult
from edaformer.export.exporter import ExportResult
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint, demo_checkpoint
from edaformer.isr import BASE
from tests.cli.test_commands import Run, run
from tests.folder import lay_folder, nearly_right

__all__ = ["run"]  # the fixture
LOOSE = ("--trust-labels", "--min-agreement", 0.5, "--max-miou-drop", 50, "--no-cache")
# What no line may break: a hash, a path (a title, or a value of one word), what is to be typed
_WHOLE = re.compile(r"[0-9a-f]{64}|^\S+$|^ {2,}(\S+( \S+)?)? {2,}\S+$|mend it: |^  edaformer-")


@pytest.fixture(autouse=True)
def columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def too_long(text: str) -> list[str]:
    """Lines of more than 80 columns that could have been broken."""
    assert text
    return [line for line in text.splitlines() if len(line) > 80 and not _WHOLE.search(line)]


@pytest.fixture(scope="module")
def data(small_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pairs = nearly_right(small_checkpoint.model(BASE), natural_noise(4, (60, 90)), 5)
    return lay_folder(tmp_path_factory.mktemp("data"), pairs, small_checkpoint.classes or ())


def test_lines_are_found() -> None:
    assert too_long("a word " * 12) != []
    assert too_long(f"  SHA-256  {'a' * 64}\n/{'b' * 99}\n  sidecar  /{'c' * 99}") == []


def test_the_list_of_commands_has_a_whole_sentence_of_each(run: Run) -> None:
    listed = run("--help").out.partition("Commands:\n")[2].splitlines()
    assert len(listed) == len(COMMANDS)
    assert all(line.endswith(".") and not line.endswith("..") for line in listed)
    assert too_long("\n".join(listed)) == []


@pytest.mark.parametrize("command", [command.__name__ for command in COMMANDS])
def test_help(command: str, run: Run) -> None:
    assert too_long(run(command, "--help").out) == []


def test_info_and_check(run: Run, small_export: ExportResult, small_plan: BuildResult) -> None:
    for line in (("T", "--isr", "paper"), (demo_checkpoint(),), (small_export.path,),
                 (small_plan.path,), (small_export.path, small_plan.path)):  # fmt: skip
        assert too_long(run("info", *line).out) == []
    assert too_long(run("check", small_plan.path).out) == []
    assert too_long(run("check", small_export.path, "--run").out) == []


def test_validate(
    run: Run, small_export: ExportResult, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """With images of another size, the pictures themselves, and a bisection."""
    sizes = ((60, 90), (70, 100))
    pairs = [(natural_noise(1, size)[0], np.full(size, 2, np.uint8)) for size in sizes]
    more = ("--per-class", "--fit", "resize", "--frames", "--bisect", *LOOSE)
    ran = run("validate", small_export.path, "--checkpoint", small_checkpoint.path,
              "--data", f"folder:{lay_folder(tmp_path / 'data', pairs)}", *more)  # fmt: skip
    assert ran.code == 0, ran.err
    for words in ("to the letter  ", "artifact, frames", "bisect on"):
        assert words in ran.out
    assert too_long(ran.out.partition("\n")[2]) == []  # the first line is the folder's path


def test_build_and_run(run: Run, small_export: ExportResult, data: Path) -> None:
    built = run("build", small_export.path, "-o", "x.plan", "--backend", "tensorrt-rtx",
                "--allow-unfused")  # fmt: skip
    assert built.code == 0, built.err
    assert too_long(built.out) == []
    assert too_long(run("run", small_export.path, data / "images").out) == []


@pytest.mark.slow
def test_export_and_inside(run: Run) -> None:
    ran = run("export", "--isr", "16,8,4,1", "--size", "64x96", "-o", "x.onnx")
    assert ran.code == 0, ran.err
    assert too_long(ran.out) == []
    look = ("--attention", "1", "--isr", "16,8,4,1", "--size", "64x96")
    assert too_long(run("run", demo_checkpoint(), "scenes:1", *look).out) == []


@pytest.mark.slow
@pytest.mark.parametrize("device", [(), ("--device", "orin-nano")])
def test_tune(device: tuple[str, ...], run: Run, small_checkpoint: Checkpoint, data: Path) -> None:
    ran = run("tune", small_checkpoint.path, "--data", f"folder:{data}", "--size", "60x90",
              "--trials", 12, "--holdout", 0.5, "--max-miou-drop", 100, *device)  # fmt: skip
    assert ran.code == 0, ran.err
    assert "<- pick" in ran.out
    assert too_long(ran.out) == []


@pytest.mark.slow
def test_bench(
    run: Run, small_export: ExportResult, small_checkpoint: Checkpoint, data: Path
) -> None:
    ran = run("bench", small_export.path, "--against", "torch", "--checkpoint",
              small_checkpoint.path, "--data", f"folder:{data}", "--duration", 0.1, "--rounds", 2,
              "--images", 2, "--rate", 100, "--profile")  # fmt: skip
    assert ran.code == 0, ran.err
    assert too_long(ran.out) == []
    assert "J/image" not in ran.out  # nothing measures it on a CPU
    assert "copy in" not in ran.out
