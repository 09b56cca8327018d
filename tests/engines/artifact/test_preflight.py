from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edaformer.engines.artifact import preflight
from edaformer.engines.artifact.plan import sidecar_path
from edaformer.engines.artifact.preflight import Installed
from edaformer.engines.artifact.preflight import preflight as check
from edaformer.engines.build.build import BuildResult
from edaformer.errors import InputError, MissingError
from edaformer.export.exporter import ExportResult
from edaformer.machine import backend
from edaformer.machine.gpu import Gpu
from edaformer.machine.jetson import Jetson
from edaformer.manifest import MARKER, parse_manifest
from edaformer.packages import install_line
from tests.standins.cuda import Machine, install

GPU = Gpu("NVIDIA L4", "8.9", False, 24 << 30, (13, 0))
RTX = Installed("tensorrt-rtx-cu13", "1.7.1.116")
ORIN = Gpu("Orin", "8.7", True, 16 << 30, (12, 6))
Damage = Callable[[Path, Path], None]


@pytest.fixture
def plan(small_plan: BuildResult, tmp_path: Path) -> Path:
    """A copy with its sidecar."""
    path = tmp_path / "x.plan"
    path.write_bytes(small_plan.path.read_bytes())
    sidecar_path(path).write_bytes(sidecar_path(small_plan.path).read_bytes())
    return path


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend to be on a machine."""

    def become(
        gpu: Gpu | None = GPU,
        jetson: Jetson | None = None,
        installed: Installed | None = RTX,
    ) -> None:
        monkeypatch.setattr(preflight, "query_gpu", lambda: gpu)
        monkeypatch.setattr(preflight, "read_jetson", lambda: jetson)
        monkeypatch.setattr(preflight, "installed_version", lambda _: installed)
        for name, module in install(Machine()).items():
            monkeypatch.setitem(sys.modules, name, module)

    become()
    return become


def cut(to: float, *, alone: bool = False) -> Damage:
    """Keep the first bytes: a fraction of them, or so many."""

    def damage(path: Path, _: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: int(to * len(data)) if to < 1 else int(to)])
        if alone:
            sidecar_path(path).unlink()

    return damage


def flip(at: float | bytes, *, alone: bool = False) -> Damage:
    """Flip a bit: at a fraction of the file, or behind a marker."""

    def damage(path: Path, _: Path) -> None:
        data = bytearray(path.read_bytes())
        where = data.index(at) + len(at) if isinstance(at, bytes) else int(at * len(data))
        data[where] ^= 1
        path.write_bytes(data)
        if alone:
            sidecar_path(path).unlink()

    return damage


def content(data: bytes) -> Damage:
    return lambda path, _: void(path.write_bytes(data))


def sidecar(text: str) -> Damage:
    return lambda path, _: void(sidecar_path(path).write_text(text))


def edited(field: str, value: object) -> Damage:
    def damage(path: Path, _: Path) -> None:
        known = json.loads(sidecar_path(path).read_text())
        owner = known["engine"] if field in known["engine"] else known
        owner[field] = value
        sidecar_path(path).write_text(json.dumps(known))

    return damage


def void(_: object) -> None:
    """Lambdas return nothing."""


def two_markers(path: Path, _: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-100 : -100 + len(MARKER)] = MARKER.encode()
    path.write_bytes(data)
    sidecar_path(path).unlink()


def no_marker(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes().replace(MARKER.encode(), b"?" * len(MARKER)))
    sidecar_path(path).unlink()


def longer(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def onnx_renamed(path: Path, onnx: Path) -> None:
    path.write_bytes(onnx.read_bytes())


def onnx_cut(path: Path, onnx: Path) -> None:
    path.write_bytes(onnx.read_bytes()[:-1000])


def folder(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()


def nothing(path: Path, _: Path) -> None:
    path.unlink()


DAMAGED: dict[str, tuple[Damage, str]] = {
    "no bytes": (content(b""), "it is empty"),
    "the tag alone": (cut(4), "cut short after 4 bytes"),
    "half a header": (cut(20), "cut short after 20 bytes"),
    "the header alone": (cut(32), "is cut short: its header says"),
    "a tenth": (cut(0.1), "is cut short: its header says"),
    "half, no sidecar": (cut(0.5, alone=True), "is cut short: its header says"),
    "all but a little": (cut(0.9999), "is cut short: its header says"),
    "longer": (longer, "has been changed: its header says"),
    "a bit in the tag": (flip(0.0), "neither a TensorRT plan nor an ONNX model"),
    "a bit in the length": (flip(b"vtrt\0\0\0\0\2\0\0\0\0\0\0\0"), "its header says"),
    "a bit in the weights": (flip(0.9), "the plan was changed, or the sidecar belongs to another"),
    "a bit in the code": (flip(0.3), "the plan was changed, or the sidecar belongs to another"),
    "a bit in the manifest": (flip(MARKER.encode(), alone=True), "manifest"),
    "a bit in its JSON": (flip(b'"schema_version"', alone=True), "is not JSON"),
    "another schema": (flip(b'"schema_version":', alone=True), "has manifest schema 0"),
    "two manifests": (two_markers, "holds two manifests"),
    "no manifest": (no_marker, "holds no edaformer-deploy manifest"),
    "another plan's sidecar": (edited("plan_sha256", "0" * 64), "names SHA-256 000000000000"),
    "a longer plan's sidecar": (
        lambda path, onnx: (edited("plan_sha256", "0" * 64)(path, onnx),
                            edited("plan_bytes", 5)(path, onnx))[0],
        "it names 5 bytes",
    ),
    "an edited sidecar": (edited("isr", "8,4,2,1-1,2,4"), "contradicts the manifest inside"),
    "a sidecar of no plan": (edited("engine", None), "is no plan's sidecar"),
    "an empty sidecar": (sidecar(""), "is not JSON"),
    "half a sidecar": (sidecar('{"schema_version": 1, '), "is not JSON"),
    "a list as sidecar": (sidecar("[1]"), "is no JSON object"),
    "a sidecar of tomorrow": (sidecar('{"schema_version": 9}'), "has manifest schema 9"),
    "a sidecar without fields": (sidecar('{"schema_version": 1}'), "is damaged: tool_version"),
    "an ONNX renamed": (onnx_renamed, "an ONNX model under the name of a plan"),
    "an ONNX renamed and cut": (onnx_cut, "is not an ONNX model"),
    "a web page": (content(b"\n<!DOCTYPE html><html></html>"), "it is a web page"),
    "a Git LFS pointer": (content(b"version https://git-lfs.github.com/spec/v1\n"), "LFS pointer"),
    "a checkpoint": (content(b"PK\x03\x04" + bytes(99)), "a checkpoint or an archive"),
    "text": (content(b"nothing of the kind"), "neither a TensorRT plan nor an ONNX model"),
    "a folder": (folder, "is a folder"),
    "nothing": (nothing, "is not there"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(
    name: str, plan: Path, small_export: ExportResult, machine: Callable[..., None]
) -> None:
    damage, words = DAMAGED[name]
    damage(plan, small_export.path)
    verdict = check(plan)
    told = " ".join(problem.text for problem in verdict.problems)
    assert words in told
    assert (verdict.ok, verdict.exit_code) == (False, 2)
    assert all(problem.fix for problem in verdict.problems)
    json.dumps(verdict.to_json())
    with pytest.raises(InputError, match="is not a sound artifact"):
        verdict.require()


def test_a_sound_plan_on_its_machine(plan: Path, machine: Callable[..., None]) -> None:
    verdict = check(plan)
    assert (verdict.ok, verdict.exit_code, verdict.sentence) == (True, 0, "will run here")
    verdict.require()
    assert verdict.manifest is not None
    assert any("does not name its targets" in note for note in verdict.notes)


def test_without_the_sidecar_says_what_is_unknown(plan: Path, machine: Callable[..., None]) -> None:
    sidecar_path(plan).unlink()
    verdict = check(plan)
    assert verdict.ok
    assert "without x.plan.json" in verdict.notes[0]


FOREIGN: dict[str, tuple[dict[str, object], int, str, str]] = {
    "older library": (
        {"installed": Installed("tensorrt-rtx-cu13", "1.6.0.10")},
        1, "built by tensorrt-rtx 1.7.1.116 and 1.6.0.10 is installed", "edaformer-build",
    ),
    "newer library": (
        {"installed": Installed("tensorrt-rtx-cu13", "1.8.0.1")}, 1, "1.8.0.1 is installed",
        "--backend tensorrt-rtx",
    ),
    "library absent": ({"installed": None}, 3, "tensorrt-rtx is not installed", "pip install"),
    "no GPU": ({"gpu": None}, 3, "no NVIDIA GPU is visible", "nvidia-smi must list one"),
    "old driver": (
        {"gpu": Gpu("L4", "8.9", False, 1, (12, 6))}, 3, "needs a driver for CUDA 13",
        "pip install tensorrt-rtx-cu12==1.7.1.116",
    ),
    "Jetson": (
        {"gpu": ORIN, "jetson": Jetson("R36.4", "6.2", "10.3.0.30")}, 1, "no target for a Jetson",
        "--backend tensorrt",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_sound_and_not_for_this_machine(
    name: str, plan: Path, machine: Callable[..., None]
) -> None:
    changes, code, words, fix = FOREIGN[name]
    machine(**changes)
    verdict = check(plan)
    problem = next(problem for problem in verdict.problems if words in problem.text)
    assert fix in problem.fix
    assert verdict.exit_code == code
    with pytest.raises(MissingError if code == 3 else InputError, match="will not run here"):
        verdict.require()


@pytest.mark.parametrize("gpu", [GPU, None])
@pytest.mark.parametrize("package", ["pycuda", "cuda.bindings", "filelock"])
def test_all_that_the_runtime_imports_is_asked_for(
    package: str, gpu: Gpu | None, plan: Path, machine: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    machine(gpu=gpu)
    for name in (package, f"{package}.driver"):
        monkeypatch.setitem(sys.modules, name, None)
    verdict = check(plan)
    problem = next(problem for problem in verdict.problems if "GPU" not in problem.text)
    assert f"'{package.partition('.')[0]}'" in problem.text
    assert (problem.kind, verdict.exit_code) == ("missing", 3)
    assert "[cuda]" in problem.fix


def test_without_a_gpu_the_command_that_was_typed_is_named(
    plan: Path, small_export: ExportResult, machine: Callable[..., None]
) -> None:
    machine(gpu=None)
    (problem,) = check(plan, asked_by="edaformer-bench").problems
    assert problem.fix.endswith("without a GPU give edaformer-bench MODEL.onnx")
    plan.with_suffix(".onnx").write_bytes(small_export.path.read_bytes())
    (problem,) = check(plan).problems
    assert problem.fix.endswith(f"without a GPU give edaformer-run {plan.with_suffix('.onnx')}")


def test_version_without_metadata_is_noted(plan: Path, machine: Callable[..., None]) -> None:
    machine(installed=Installed(None, None))
    verdict = check(plan)
    assert verdict.ok
    assert any("version is unchecked" in note for note in verdict.notes)


@pytest.mark.parametrize(
    ("distributions", "version"),
    [
        (("tensorrt", "tensorrt_cu13", "tensorrt_cu13_libs"), "11.4.0.106"),  # pip install tensorrt
        (("tensorrt_cu13_bindings",), "11.4.0.106"),  # a container that unpacks wheels
        (("tensorrt_cu13_libs",), "11.4.0.106"),
    ],
)
def test_the_driver_is_held_against_tensorrt_s_cuda(
    plan: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    distributions: tuple[str, ...],
    version: str,
) -> None:
    site = tmp_path / "site"
    for name in distributions:
        folder = site / f"{name}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
    (site / "tensorrt.py").touch()
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.setattr(preflight, "query_gpu", lambda: replace(GPU, cuda_version=(12, 4)))
    plan.write_bytes(
        b"ftrt" + plan.read_bytes()[4:24] + bytes((11, 4, 0, 106)) + plan.read_bytes()[28:]
    )
    sidecar_path(plan).unlink()
    verdict = check(plan)
    assert ("tensorrt", version) in verdict.facts
    problem = next(problem for problem in verdict.problems if "driver" in problem.text)
    assert "tensorrt-cu13" in problem.text
    assert "needs a driver for CUDA 13, and this one serves 12.4" in problem.text
    assert problem.fix == f"update the driver, or: pip install tensorrt-cu12=={version}"


def test_the_plan_s_own_onnx_is_named_in_the_fix(
    plan: Path, small_export: ExportResult, machine: Callable[..., None]
) -> None:
    plan.with_suffix(".onnx").write_bytes(small_export.path.read_bytes())
    machine(installed=Installed("tensorrt-rtx-cu13", "1.6.0.10"))
    (problem,) = check(plan).problems
    assert problem.fix.startswith(f"edaformer-build {plan.with_suffix('.onnx')} -o {plan}")


def test_targets(plan: Path, machine: Callable[..., None]) -> None:
    def built_for(*capabilities: str) -> None:
        edited("compute_capabilities", list(capabilities))(plan, plan)
        written = parse_manifest(sidecar_path(plan).read_text(), "")
        sidecar_path(plan).write_text(written.sealed().to_json())

    built_for("8.6", "12.0")
    (problem,) = check(plan).problems
    assert problem.kind == "foreign"
    assert "built for compute capability 8.6, 12.0 and this GPU has 8.9" in problem.text
    assert problem.fix.endswith("--compute-capability 8.9")
    built_for("8.6", "8.9")
    assert check(plan).ok


@pytest.mark.parametrize(
    ("installed", "built", "same"),
    [
        ("10.3.0", "10.3.0.30", True),  # JetPack's bindings leave the build number out
        ("10.3.0.30", "10.3.0.30", True),
        ("10.3.0.26", "10.3.0.30", False),
        ("10.13.3", "10.3.0.30", False),
        ("11.1.0.106", "10.3.0.30", False),
        ("10.3.0.post1", "10.3.0.30", True),
    ],
)
def test_versions(installed: str, built: str, same: bool) -> None:
    assert preflight._same_version(installed, built) is same


def test_an_onnx_runs_where_onnx_runtime_is(small_export: ExportResult) -> None:
    verdict = check(small_export.path)
    assert (verdict.artifact, verdict.ok) == ("onnx", True)


def test_an_onnx_without_onnx_runtime(
    small_export: ExportResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    verdict = check(small_export.path)
    assert verdict.exit_code == 3
    assert verdict.problems[0].fix == install_line("export")


def test_what_is_installed_is_found_without_importing_it() -> None:
    made = preflight.installed_version("tensorrt-rtx")
    assert made is not None
    assert made.cuda_major == 13
    assert made.version is not None
    assert not backend.is_installed("tensorrt")
    assert preflight.installed_version("tensorrt") is None


@pytest.mark.parametrize(
    ("capability", "says"), [("8.6", "computes in FP8, which runs on compute capability 8.9"),
                             ("8.9", None)],
)  # fmt: skip
def test_fp8_is_not_for_every_gpu(
    plan: Path, machine: Callable[..., None], capability: str, says: str | None
) -> None:
    known = parse_manifest(sidecar_path(plan).read_text(), "x")
    found = preflight.Findings(plan, "edaformer-run")
    here = preflight.Here(replace(GPU, compute_capability=capability), None)
    preflight._check_target(
        found, here, "tensorrt-rtx", known.model_copy(update={"precision": "fp8"})
    )
    told = [problem.text for problem in found.problems if problem.kind == "foreign"]
    assert bool(told) is (says is not None)
    assert says is None or says in told[0]
