"""``edaformer-validate`` through the command line: what it writes, its cache, a kill, bad usage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.engines.build.build import BuildResult
from edaformer.export.exporter import ExportResult
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from tests.conftest import ROOT
from tests.folder import lay_folder

LOOSE = ("--trust-labels", "--min-agreement", "0.5", "--max-miou-drop", "50")


class Ran(NamedTuple):
    code: int
    out: str
    err: str


def run(*arguments: object) -> Ran:
    result = CliRunner().invoke(app, ["validate", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    truth = np.random.default_rng(0).integers(0, 5, (8, 60, 90)).astype(np.uint8)
    pairs = zip(natural_noise(8, (60, 90)), truth, strict=True)
    return lay_folder(tmp_path_factory.mktemp("data"), pairs)


@pytest.fixture
def command(
    small_export: ExportResult, small_checkpoint: Checkpoint, data: Path
) -> tuple[object, ...]:
    checkpoint = ("--checkpoint", small_checkpoint.path)
    return (small_export.path, *checkpoint, "--data", f"folder:{data}", *LOOSE)


def test_report_junit_and_bisect(command: tuple[object, ...], tmp_path: Path) -> None:
    page, xml = tmp_path / "out.html", tmp_path / "out.xml"
    ran = run(*command, "--limit", 2, "--report", page, "--junit", xml, "--bisect", "--flip")
    assert f"wrote {page}\nwrote {xml}\n" in ran.err
    assert ran.code == 0, ran.err
    assert "protocol native, flipped too" in ran.out
    assert "none leaves float32" in ran.out
    assert "points, 95 % interval " in ran.out
    assert "<h1>Passed</h1>" in page.read_text()
    assert b'tests="3" failures="0"' in xml.read_bytes()


def test_a_failed_gate_still_writes_the_report(command: tuple[object, ...], tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    ran = run(*command, "--limit", 1, "--min-agreement", 1, "--report", page)
    assert ran.code == 1
    assert "<h1>FAILED</h1>" in page.read_text()


def test_the_cache_changes_nothing(command: tuple[object, ...], tmp_path: Path) -> None:
    cached = (*command, "--limit", 3, "--json", "--cache", tmp_path / "cache")
    without = run(*command, "--limit", 3, "--json", "--no-cache")
    first, second = run(*cached), run(*cached, "--workers", 0)
    assert without.out == first.out == second.out
    entries = list((tmp_path / "cache").rglob("*.reference"))
    assert len(entries) == 2 * 3  # base ISR and this one
    entries[0].write_bytes(b"")
    third = run(*cached)
    assert third.out == first.out
    assert "is damaged" in third.err


@pytest.mark.slow
def test_killed_in_the_middle_and_taken_up_again(
    command: tuple[object, ...], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    whole = run(*command, "--json", "--no-cache")
    code = "from edaformer.cli.validate import main; main()"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, command), "--cache", str(cache)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list(cache.rglob("*.reference"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = {entry: entry.stat().st_mtime_ns for entry in cache.rglob("*.reference")}
    assert 5 <= len(before) < 16
    resumed = run(*command, "--json", "--cache", cache)
    assert resumed.out == whole.out
    assert all(entry.stat().st_mtime_ns == at for entry, at in before.items())
    assert len(list(cache.rglob("*.reference"))) == 16


def test_notes_are_said_and_kept(
    small_export: ExportResult, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Half an ADE20K, and an artifact of other classes: refused before an image is read."""
    for folder, suffix in (("images", "jpg"), ("annotations", "png")):
        (tmp_path / folder / "validation").mkdir(parents=True)
        (tmp_path / folder / f"validation/a.{suffix}").write_bytes(b"never read")
    ran = run(small_export.path, "--checkpoint", small_checkpoint.path,
              "--data", f"ade20k:{tmp_path}")  # fmt: skip
    assert ran.code == 2
    assert "note: 1 of the 2000 validation images of ADE20K" in ran.err
    assert "has 150 classes and" in ran.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--scales", "x"), "expected --scales such as 0.75,1,1.25, got 'x'"),
        (("--scales", "1,1"), "different ratios"),
        (("--workers", "-1"), "expected --workers of 0 or more"),
        (("--cache", "c", "--no-cache"), "exclude each other"),
        (("--report", "/dev/null/place.html"), "but it is a file; name another with --report"),
        (("--fit", "resize", "--scales", "1,2"), "--scales has no meaning"),
    ],
)
def test_bad_usage(
    options: tuple[str, ...], words: str, command: tuple[object, ...]
) -> None:  # fmt: skip
    ran = run(*command, *options)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


def test_outputs_do_not_replace_inputs_or_each_other(
    command: tuple[object, ...], tmp_path: Path
) -> None:
    same = tmp_path / "same"
    for options in (("--report", command[0]), ("--report", same, "--junit", same)):
        ran = run(*command, *options)
        assert ran.code == 2
        assert "would be replaced" in ran.err


def test_bisecting_a_plan_needs_a_gpu(
    small_plan: BuildResult, small_checkpoint: Checkpoint, data: Path
) -> None:
    ran = run(small_plan.path, "--checkpoint", small_checkpoint.path,
              "--data", f"folder:{data}", "--bisect")  # fmt: skip
    assert ran.code == 3
    assert "bisecting" in ran.err
    assert "GPU" in ran.err


def test_the_desk_saves_and_the_device_validates(
    command: tuple[object, ...], tmp_path: Path
) -> None:
    """With an artifact at the desk, and without one: the same file, the same answer."""
    there, alone = tmp_path / "there.ref", tmp_path / "alone.ref"
    live = run(*command, "--json", "--save-reference", there)
    assert live.code == 0, live.err
    assert f"--reference {there.name}" in live.err
    artifact, *others = command
    described = ("--isr", "16,8,2,1-2,2,4", "--size", "60x90", "--fit", "slide")
    desk = run(*others[:4], *described, "--save-reference", alone)
    assert (desk.code, desk.out) == (0, ""), desk.err
    assert alone.read_bytes() == there.read_bytes()
    device = run(artifact, *LOOSE, "--json", "--reference", there)
    assert (device.code, device.out) == (0, live.out), device.err


def test_a_damaged_reference_is_one_sentence(command: tuple[object, ...], tmp_path: Path) -> None:
    path = tmp_path / "street.ref"
    run(*command, "--limit", 1, "--save-reference", path)
    path.write_bytes(path.read_bytes()[:-1])
    ran = run(command[0], "--reference", path)
    assert ran == (2, "", f"error: {path} is no reference file of this tool, or is cut short: it "
                   "does not end with its hash; copy it again, or make it again\n")  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--reference", "x", "--checkpoint", "y"), "--checkpoint: the reference says it"),
        (("--reference", "x", "--flip"), "--flip: the reference says it"),
        (("--reference", "x", "--no-cache"), "--no-cache: the reference says it"),
        (("--reference", "x", "--save-reference", "y"), "--save-reference: the reference says"),
        (("--reference", "nowhere.ref"), "nowhere.ref cannot be read (No such file"),
        (("--isr", "base"), "--isr: the artifact says it"),
        (("--without-images",), "--without-images is for --save-reference"),
    ],
)
def test_what_a_reference_or_an_artifact_says_is_not_asked(
    options: tuple[str, ...], words: str, small_export: ExportResult
) -> None:
    ran = run(small_export.path, *options)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "name an artifact to validate, or --save-reference FILE"),
        (("--json", "--save-reference", "x"), "--json: nothing is judged without an artifact"),
        (("--reference", "x"), "name the artifact that is compared with x"),
        (("--save-reference", "x", "--align", "0"), "expected --align as 'none' or 1 to"),
        (("--save-reference", "x", "--size", "dynamic", "--align", "8"), "leave --align out"),
        (("--save-reference", "x", "--size", "dynamic", "--frames"), "--frames has no meaning"),
        (("--save-reference", "x", "--size", "64x64", "--isr", "99,1,1,1"), "ISR"),
    ],
)
def test_what_needs_an_artifact(
    options: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*options)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert list(tmp_path.iterdir()) == []


def test_without_a_home_nothing_is_kept(
    command: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container's user without a name: Path.home() raises."""

    def nameless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nameless)
    ran = run(*command, "--limit", 1)
    assert ran.code == 0, ran.err
    assert "note: this user has no home" in ran.err
