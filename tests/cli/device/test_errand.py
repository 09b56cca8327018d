"""From the desk to a device and back, through a real sshd."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.engines.build.build import BuildResult
from edaformer.export.exporter import ExportResult, export_model
from edaformer.export.options import ExportOptions
from edaformer.families.checkpoint import demo_checkpoint
from edaformer.families.table import load_checkpoint
from edaformer.isr import ISR
from edaformer.labels.witness import copy_witness
from edaformer.remote import device
from edaformer.version import __version__
from tests.classic import releases
from tests.once import once
from tests.remote.sshd import NAME, Sshd, sshd

EVIL = ["$(touch pwned).onnx", "a b.onnx", "it's; touch pwned.onnx", "-rf.onnx", "new\nline.onnx",
        "`touch pwned`.onnx", '"$HOME".onnx']  # fmt: skip
ISR_SIZE = ("--isr", "16,8,4,1", "--size", "64x96")
QUICK = ("--duration", "0.2", "--rounds", "2")


class Ran(NamedTuple):
    code: int
    out: str
    err: str


def typed(*words: object) -> Ran:
    """``edaformer-device``."""
    made = CliRunner().invoke(app, ["device", *map(str, words)])
    if made.exception is not None and not isinstance(made.exception, SystemExit):
        raise made.exception
    return Ran(made.exit_code, made.stdout, made.stderr)


@pytest.fixture
def model(small_export: ExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the folder where it is typed."""
    monkeypatch.chdir(tmp_path)
    return copied(small_export, tmp_path / "model.onnx")


def copied(export: ExportResult, path: Path) -> Path:
    shutil.copy(export.path, path)
    copy_witness(export.path, path)
    return path


class Deployed(NamedTuple):
    """The demo's model, and PyTorch's answers for it."""

    onnx: Path
    reference: Path


@pytest.fixture(scope="module")
def demo(shared: Path) -> Deployed:
    def make() -> Deployed:
        options = ExportOptions(ISR.parse("16,8,4,1"), (128, 160))
        onnx, saved = shared / "device.onnx", shared / "device.ref"
        export_model(load_checkpoint(demo_checkpoint()), options, onnx)
        words = ["validate", "--save-reference", saved, "--isr", "16,8,4,1", "--size", "128x160",
                 "--data", "scenes:4", "--no-cache"]  # fmt: skip
        assert CliRunner().invoke(app, list(map(str, words))).exit_code == 0
        return Deployed(onnx, saved)

    return once(shared, "device-demo", make)


def commands(out: Path) -> list[str]:
    """The remote commands of a real run."""
    lines = (out / "log.txt").read_text().splitlines()
    return [line[2:] for line in lines if line.startswith("$ ")]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("-x", "ask"), "expected a host as ssh takes it"),
        (("orin", "ask", "model.onnx"), "ask takes no artifact"),
        (("orin", "check"), "name the artifact to check"),
        (("orin", "check", "model.onnx", "model.onnx"), "check takes one artifact, got 2"),
        (("orin", "check", "model.onnx", "--backend", "tensorrt"), "--backend is not for check"),
        (("orin", "bench", "model.onnx", "--input", "0"), "--input is not for bench"),
        (("orin", "run", "model.onnx"), "name what is to be labelled with --input"),
        (("orin", "run", "model.onnx", "--input", "0"), "never ends; say when: --limit"),
        (("orin", "run", "model.onnx", "--input", "gone.png"), "found nothing there"),
        (("orin", "check", "gone.onnx"), "found nothing there"),
        (("orin", "check", "other.txt"), "is not"),
        (("orin", "validate", "model.onnx", "--reference", "gone"), "expected a reference file"),
        (("orin", "check", "model.onnx", "--keep", "0"), "expected --keep of 1 or more"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_typed_there(
    words: tuple[str, ...], sentence: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edaformer.remote.ssh.Ssh.open", lambda _: pytest.fail("it connected"))
    Path("other.txt").write_text("hello")
    ran = typed("--", *words) if words[0].startswith("-") else typed(*words)
    assert ran.code == 2
    assert sentence in ran.err


def test_a_plan_is_not_built(small_plan: BuildResult) -> None:
    assert "is a plan already" in typed(NAME, "build", small_plan.path).err


@pytest.mark.parametrize("host", [NAME, f"far-{NAME}"])
def test_it_says_what_it_has(host: str, orin: Sshd) -> None:
    """far-orin is behind a jump host."""
    ran = typed(host, "ask", "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)["device"]
    assert told["ours"]["version"] == __version__
    assert told["disk_free"] > 0
    assert "edaformer  " in typed(host, "ask").out


@pytest.mark.parametrize("version", [None, "0.0.9"])
def test_another_version_there_is_exit_3(version: str | None, orin: Sshd, model: Path) -> None:
    fake = orin.home / "fake"
    told = json.dumps({"version": version, "python": "3.10.12", "packages": {}})
    fake.write_text(f"#!/bin/sh\necho '{told}'\n" if version else "#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    ran = typed(NAME, "check", model, "--python", "~/fake")
    assert ran.code == 3
    has = f"edaformer-deploy {version} (" if version else "no edaformer-deploy"
    assert f"{NAME} has {has}" in ran.err
    assert f"this is {__version__}" in ran.err
    assert not (orin.cache / "files").exists()


@pytest.mark.parametrize("name", EVIL)
def test_a_shell_in_a_file_name_runs_nothing(
    name: str, orin: Sshd, small_export: ExportResult, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    path = copied(small_export, tmp_path / name)
    dry = typed(NAME, "check", "--dry-run", "--", name)
    assert dry.code == 0, dry.err
    ran = typed(NAME, "check", "--out", "out", "--", name)
    assert ran.code == 0, ran.err
    assert commands(Path("out")) == dry.out.splitlines()
    assert "touch" not in dry.out
    assert "right on 8 witness frames" in ran.out
    assert {one.name for one in tmp_path.iterdir()} == {name, f"{name}.witness", "out"}
    assert [one.name for one in orin.home.iterdir()] == [".cache"]
    assert json.loads(Path("out/check.json").read_text())["path"] in {name, str(path)}


def test_pictures_go_under_names_of_ours_and_come_back_under_their_own(
    orin: Sshd, model: Path
) -> None:
    from PIL import Image

    for name in ("street $(touch pwned).png", "other/street.jpg", "other/broken.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (90, 60)).save(name)
    Path("other/broken.png").write_bytes(b"no picture")
    given = ("--input", "street $(touch pwned).png", "--input", "other", "--save", "ids,overlay")
    ran = typed(NAME, "run", model, *given)
    assert ran.code == 1, ran.err
    assert "pwned" not in "\n".join(commands(Path(f"model.{NAME}")))
    made = {path.name for path in Path(f"model.{NAME}/pictures/ids").rglob("*.png")}
    assert made == {"street $(touch pwned).png", "street.png"}
    told = json.loads(Path(f"model.{NAME}/run.json").read_text())
    assert [one["name"] for one in told["skipped"]] == ["broken.png"]
    out = model.with_name(f"model.{NAME}")
    assert told["pictures"] == [str(out / "pictures" / kind) for kind in ("ids", "overlay")]
    folder = next(path for path in orin.cache.iterdir() if len(path.name) == 16)
    assert not (folder / "pictures").exists()


@pytest.mark.slow
def test_a_second_time_is_put_beside_the_first(
    orin: Sshd, demo: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = shutil.copy(demo.onnx, "model.onnx")
    first = typed(NAME, "bench", model, *QUICK)
    assert first.code == 0, first.err
    kept = Path(f"model.{NAME}/bench.json")
    record = json.loads(kept.read_text())
    assert record["results"][0]["subject"]["name"] == "model.onnx"
    record["state_after"]["power_mode"] = "15W"
    kept.write_text(json.dumps(record))
    second = typed(NAME, "bench", model, *QUICK)
    told = f"NOT COMPARABLE with {record['created']}: power mode: 15W then, unknown now"
    assert told in " ".join(second.out.split())
    assert "copied 0.0 MB there and 0.0 MB back" in second.err


@pytest.mark.slow
def test_several_are_measured_beside_each_other(
    orin: Sshd, demo: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = shutil.copy(demo.onnx, "model.onnx")
    shutil.copy(model, "other.onnx")
    ran = typed(NAME, "bench", model, "other.onnx", *QUICK, "--json")
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert [one["subject"]["name"] for one in told["bench"]["results"]] == [
        "model.onnx", "other.onnx"
    ]  # fmt: skip
    assert told["bench"]["comparisons"][0]["first"] == "model.onnx"


def test_a_command_that_the_kernel_kills_says_what_to_do(orin: Sshd, model: Path) -> None:
    fake = orin.home / "fake"
    told = json.dumps({"version": __version__, "python": "3.10.12", "packages": {}})
    fake.write_text(f"#!/bin/sh\nif [ \"$1\" = -c ]; then echo '{told}'; exit; fi\nkill -9 $$\n")
    fake.chmod(0o755)
    ran = typed(NAME, "build", model, "--python", "~/fake")
    assert ran.code == 3
    (sentence,) = [line for line in ran.err.splitlines() if line.startswith("error: ")]
    assert f"{NAME} killed it for memory" in sentence
    assert "bound the builder with --workspace 0.5" in sentence
    assert "docs/jetson.md, Memory" in sentence
    assert [path.name for path in Path(f"model.{NAME}").iterdir()] == ["log.txt"]


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (b"SPARE = 64 << 20", b"SPARE = 1 << 60", r"orin has \d+ MB free, and model.onnx needs"),
        (b"            file.write(chunk)", b"            raise OSError(28, os.strerror(28))",
         "orin stopped while copying model.onnx: No space left on device: the cache"),
    ],
    ids=["before a byte", "meanwhile"],
)  # fmt: skip
def test_a_full_disk_there_says_what_to_do(
    before: bytes, after: bytes, sentence: str, orin: Sshd, model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    data, name = device._tool()
    assert data.count(before) == 1
    monkeypatch.setattr(device, "_tool", lambda: (data.replace(before, after), f"full-{name}"))
    ran = typed(NAME, "check", model)
    assert ran.code == 3
    assert re.search(sentence, ran.err), ran.err
    assert f"make room there: edaformer-device {NAME} clear" in ran.err


def test_another_desk_there_is_named_or_waited_for(orin: Sshd, model: Path) -> None:
    words = [sys.executable, "-m", "edaformer", "device", NAME, "check", str(model), "--wait"]
    with device.Device(NAME) as other:
        other.hold(wait=False)
        ran = typed(NAME, "check", model)
        with subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as waiting:
            assert waiting.stderr is not None
            first = [waiting.stderr.readline()]
            while first[-1] and not first[-1].endswith("waiting\n"):
                first.append(waiting.stderr.readline())
            other.close()
            rest = waiting.stderr.read()
    assert ran.code == 3
    assert re.search(rf"{NAME} is in use by .*@.*, since .*; try again later, or --wait", ran.err)
    assert f"{NAME} is in use by " in first[-1]
    assert waiting.returncode == 0, rest


def test_its_cache_is_cleared(orin: Sshd, model: Path) -> None:
    assert typed(NAME, "check", model).code == 0
    ran = typed(NAME, "clear")
    assert ran.code == 0, ran.err
    assert "freed" in ran.out
    assert [path for path in orin.cache.iterdir() if path.is_dir()] == []


@pytest.fixture
def emulated(short: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """A device with classic TensorRT's own bindings; TensorRT-RTX builds beneath, a CPU runs."""
    releases.rtx_libraries()
    release = releases.environment(releases.RELEASES[-1], short / "engines")
    own = {name: release[name] for name in release.keys() - os.environ.keys()}
    own |= {"PYTHONPATH": release["PYTHONPATH"], "EDAFORMER_CLASSIC_DRIVER": "emulated"}
    with sshd(short, own) as made:
        monkeypatch.setenv("PATH", made.path)
        yield made


@pytest.mark.slow
def test_the_whole_way_twice(emulated: Sshd, demo: Deployed, tmp_path: Path) -> None:
    """Through a jump host, and then straight."""
    model = tmp_path / "street scenes.onnx"
    shutil.copy(demo.onnx, model)
    copy_witness(demo.onnx, model)
    command = ("deploy", model, "--backend", "tensorrt", "--reference", demo.reference,
               "--input", "scenes:2", *QUICK)  # fmt: skip
    far = f"far-{NAME}"
    dry = typed(far, *command, "--dry-run")
    assert dry.code == 0, dry.err
    assert list(emulated.home.iterdir()) == []
    first = typed(far, *command)
    assert first.code == 0, first.out + first.err
    out = tmp_path / f"street scenes.{far}"
    assert commands(out) == dry.out.splitlines()
    for words in ("attention     22 of 22 blocks fused", "right on 8 witness frames", "passed",
                  "p50 ms", "pipelined", "overlay"):  # fmt: skip
        assert words in first.out
    assert {path.name for path in out.iterdir()} == {
        "model.plan", "model.plan.json", "model.plan.witness", "build.json", "check.json",
        "validate.json", "bench.json", "run.json", "report.html", "junit.xml", "log.txt",
        "pictures",
    }  # fmt: skip
    build = json.loads((out / "build.json").read_text())
    assert build["path"] == str(out / "model.plan")
    assert json.loads((out / "validate.json").read_text())["passed"]
    second = typed(NAME, *command, "--out", out, "--json")
    assert second.code == 0, second.err
    told = json.loads(second.out)
    assert told["copied"]["bytes_there"] == 0
    assert "note: built there before, alike" in second.err
    assert told["build"]["sha256"] == build["sha256"]
    assert emulated.left() == []
