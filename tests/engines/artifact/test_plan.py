from __future__ import annotations

import json
from pathlib import Path

import pytest

from edaformer.engines.artifact.kind import is_plan
from edaformer.engines.artifact.plan import read_plan, sidecar_path, write_plan
from edaformer.engines.build.build import BuildResult
from edaformer.errors import InputError, ManifestError
from edaformer.export.exporter import ExportResult


@pytest.fixture
def plan(small_plan: BuildResult, tmp_path: Path) -> Path:
    """A copy with its sidecar."""
    path = tmp_path / "x.plan"
    path.write_bytes(small_plan.path.read_bytes())
    sidecar_path(path).write_bytes(sidecar_path(small_plan.path).read_bytes())
    return path


def test_reads_without_the_sidecar_and_says_so(plan: Path) -> None:
    whole = read_plan(plan)
    sidecar_path(plan).unlink()
    alone = read_plan(plan)
    assert (whole.has_sidecar, alone.has_sidecar) == (True, False)
    assert whole.manifest is not None
    assert alone.manifest is not None
    assert alone.manifest.isr == whole.manifest.isr
    assert (whole.manifest.verification is None, alone.manifest.verification is None) == (
        False,
        True,
    )


def test_another_plan_s_sidecar_is_an_error(plan: Path) -> None:
    content = json.loads(sidecar_path(plan).read_text())
    content["engine"]["plan_sha256"] = "0" * 64
    sidecar_path(plan).write_text(json.dumps(content))
    with pytest.raises(ManifestError, match="belongs to another plan"):
        read_plan(plan)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("warnings", ["none"], "was changed since it was written: its seal does not fit"),
        ("workspace_bytes", 7, "was changed since it was written"),
        ("version", "1.2.3.4", "does not say what the header of x.plan says"),
        ("plan_bytes", 7, "does not say what the header"),
        ("flavour", "tensorrt", "does not say what the header"),
    ],
)
def test_a_sidecar_is_as_it_was_written(name: str, value: object, told: str, plan: Path) -> None:
    content = json.loads(sidecar_path(plan).read_text())
    content["engine"][name] = value
    sidecar_path(plan).write_text(json.dumps(content))
    with pytest.raises(ManifestError, match=told):
        read_plan(plan)


def test_an_edited_sidecar_is_not_believed_over_the_plan(plan: Path) -> None:
    content = json.loads(sidecar_path(plan).read_text())
    content["isr"] = "8,4,2,1-1,2,4"
    sidecar_path(plan).write_text(json.dumps(content))
    with pytest.raises(ManifestError, match="contradicts the manifest inside"):
        read_plan(plan)


def test_one_changed_byte_is_noticed(plan: Path) -> None:
    data = bytearray(plan.read_bytes())
    data[len(data) // 2] ^= 1
    plan.write_bytes(data)
    with pytest.raises(ManifestError, match="belongs to another plan"):
        read_plan(plan)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"schema_version": 9}'])
def test_a_damaged_sidecar_is_an_error(content: str, plan: Path) -> None:
    sidecar_path(plan).write_text(content)
    with pytest.raises(ManifestError):
        read_plan(plan)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a TensorRT plan"),
        (b"vtrt", "is a plan cut short after 4 bytes"),
        (b"ftrt" + b"\0" * 20, "is a plan cut short after 24 bytes"),
        (b"text, nothing else", "is not a TensorRT plan; build one"),
    ],
)
def test_other_files(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.plan"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_plan(path)


def test_an_onnx_is_told_apart(small_export: ExportResult, plan: Path) -> None:
    assert is_plan(plan)
    assert not is_plan(small_export.path)
    with pytest.raises(InputError, match="looks like an ONNX model: build it first"):
        read_plan(small_export.path)


def test_a_plan_without_a_manifest_reads_as_one(tmp_path: Path) -> None:
    path = tmp_path / "x.plan"
    path.write_bytes(b"ftrt" + bytes(20) + bytes([10, 3, 0, 30]) + bytes(100))
    plan = read_plan(path)
    assert (plan.flavour, plan.version, plan.manifest) == ("tensorrt", "10.3.0.30", None)


def test_no_moment_has_a_plan_beside_another_s_sidecar(
    plan: Path, small_plan: BuildResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing again and dying after the plan leaves a plan alone, which is valid."""

    def dies(path: Path, data: bytes) -> None:
        if path == sidecar_path(plan):
            raise KeyboardInterrupt
        path.write_bytes(data)

    monkeypatch.setattr("edaformer.engines.artifact.plan.write_whole", dies)
    other = small_plan.path.read_bytes()[:-1] + b"?"
    with pytest.raises(KeyboardInterrupt):
        write_plan(plan, other, small_plan.manifest)
    assert not read_plan(plan).has_sidecar
