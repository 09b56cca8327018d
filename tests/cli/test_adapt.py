"""``edaformer-adapt`` as a user runs it, and as one interrupts it; what it made, all the way."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.families.checkpoint import demo_checkpoint
from edaformer.families.table import load_checkpoint
from tests.cli.test_commands import Run, run
from tests.conftest import ROOT
from tests.once import once

__all__ = ["run"]  # the fixture
ISR = "24,12,6,3-3,6,12"
MAIN = "from edaformer.cli.adapt import main; main()"


def line(out: Path, *more: object) -> list[str]:
    words = ["--isr", ISR, "--frames", "scenes:16", "--size", "96x128", "--steps", 8,
             "--rate", 1e-4, "--device", "cpu", "-o", out, *more]  # fmt: skip
    return [str(word) for word in words]


@pytest.fixture(scope="module")
def adapted(shared: Path) -> Path:
    """The demo's checkpoint, adapted; beside it the one that it was made from."""

    def make() -> Path:
        folder = shared / "adapted"
        folder.mkdir(exist_ok=True)
        shutil.copy(demo_checkpoint(), folder)
        words = line(folder / "adapted.safetensors")
        subprocess.run([sys.executable, "-c", MAIN, *words], check=True, env=_env())
        return folder / "adapted.safetensors"

    return once(shared, "adapted.safetensors", make)


def _env() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_what_it_says_and_writes(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "adapted.safetensors"
    ran = run("adapt", *line(out, "--data", "scenes:2"))
    assert ran.code == 0, ran.err
    assert ran.out.startswith(f"{out}\n  frames    14 to learn from, 2 held out\n")
    assert "mIoU on scenes:2" in ran.out
    assert f"next: edaformer-export {out} --isr {ISR} --size 96x128" in ran.err
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    refused = run("adapt", *line(out))
    assert refused.code == 2
    assert "exists already; replace it with --force" in refused.err


@pytest.mark.slow
def test_killed_at_any_moment_and_resumed_the_weights_are_the_same(
    adapted: Path, tmp_path: Path
) -> None:
    dice, out = random.Random(7), tmp_path / "adapted.safetensors"
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, *line(out, "--resume")], env=_env(),
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        for text in process.stderr:
            if "asking the teacher" in text:
                break
        time.sleep(dice.uniform(0, 3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert {path.name for path in tmp_path.iterdir()} <= {out.name, f"{out.name}.adapting"}
        if out.exists():
            break
    if not out.exists():
        words = line(out, "--resume")
        subprocess.run([sys.executable, "-c", MAIN, *words], check=True, env=_env())
    assert out.read_bytes() == adapted.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.slow
def test_where_it_came_from_goes_with_it_and_its_original_is_the_reference(
    run: Run, adapted: Path, tmp_path: Path
) -> None:
    onnx = tmp_path / "adapted.onnx"
    exported = run("export", adapted, "--isr", ISR, "--size", "96x128", "-o", onnx)
    assert exported.code == 0, exported.err
    assert "warning" not in exported.err
    source = demo_checkpoint()
    told = f"{ISR} (from {source.name}, "
    assert told in exported.out
    for file in (adapted, onnx):
        assert told in run("info", file).out.replace("\n" + " " * 23, " ")
    record = artifact_manifest(onnx).adapted
    assert record is not None
    assert record == load_checkpoint(adapted).adapted
    words = ["--checkpoint", adapted, "--data", "scenes:2", "--json"]
    made = json.loads(run("validate", onnx, *words).out)
    alone = json.loads(run("validate", onnx, *words, "--original", source).out)
    assert made == alone  # it was found beside it
    assert made["original"]["isr"] == made["reference_base"]["isr"]
    assert made["delta_adapted"] == pytest.approx(
        made["reference_base"]["miou"] - made["original"]["miou"]
    )


@pytest.mark.slow
def test_another_isr_is_warned_of_and_a_missing_original_is_said(
    run: Run, adapted: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "adapted.safetensors"
    shutil.copy(adapted, alone)
    onnx = tmp_path / "a.onnx"
    ran = run("export", alone, "--isr", "base", "--size", "96x128", "-o", onnx)
    assert f"warning: the checkpoint was adapted for {ISR}, and this is" in ran.err
    ran = run("validate", onnx, "--checkpoint", alone, "--data", "scenes:1")
    assert "is not beside it, so base is the adapted one's; --original names it" in ran.err
    ran = run("validate", onnx, "--checkpoint", alone, "--data", "scenes:1", "--original", alone)
    assert ran.code == 2
    assert "and adapted.safetensors is another" in ran.err


@pytest.mark.parametrize(("words", "said"), [
    (["--frames", "scenes:9"], "expected --isr, the setting to learn, got none"),
    (["--isr", ISR], "expected --frames, to learn from, got none"),
    (["--isr", ISR, "--frames", "scenes:9", "-o", "a.pth"], "a.safetensors with -o"),
    (["--isr", ISR, "--frames", "nowhere"], "found nothing at 'nowhere'"),
    (["--isr", "7", "--frames", "scenes:9"], "expected an ISR like"),
    (["--isr", ISR, "--frames", "scenes:9", "--steps", "9", "--minutes", "1"],
     "leave it or --steps out"),
    (["--isr", ISR, "--frames", "scenes:9", "--labels", "binary"], "for the label files of --data"),
    (["--isr", ISR, "--frames", "scenes:9", "--steps", "-1"], "expected --steps from 1 to"),
])  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_learnt(
    run: Run, words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("adapt", *words, "--size", "96x128")
    assert ran.code == 2
    assert said in ran.err
    assert not list(tmp_path.iterdir())
