"""An engine is asked what it should know: once for a plan on a machine, or as often as wished.

TensorRT's stand-in runs the exported graph itself, whole or with attention that is wrong.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.engines.runtime import Engine, witness
from edaformer.errors import DataError, GateError, InputError
from edaformer.export.exporter import export_model
from edaformer.export.options import ExportOptions
from edaformer.export.runtime import OnnxSession
from edaformer.families.checkpoint import Checkpoint
from edaformer.labels.geometry import Geometry, labels_from_logits
from edaformer.labels.witness import (
    Known,
    coarse,
    copy_witness,
    try_frames,
    witness_bytes,
    witness_path,
)
from edaformer.machine import gpu
from edaformer.preprocess import network_input
from tests import classic
from tests.engines.runtime.test_engine import machine, trt
from tests.once import once
from tests.standins.network import Kind, build, make_manifest, make_model
from tests.wrong_attention import BREAKS, softmaxes

__all__ = ["machine", "trt"]  # fixtures
pytestmark = pytest.mark.skipif(classic.running() is None, reason=classic.INSIDE)

OPTIONS = ExportOptions(size=(128, 160), outputs=("logits",), precision="fp32")


@pytest.fixture(scope="module")
def export(tiny_checkpoint: Checkpoint, shared: Path) -> Path:
    path = shared / "asked.onnx"
    return once(shared, path.name, lambda: export_model(tiny_checkpoint, OPTIONS, path)).path


@pytest.fixture
def plan(machine: Any, export: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model.plan"
    build(export.read_bytes(), read_onnx_manifest(export), path, [])
    copy_witness(export, path)
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames were asked, each time."""
    times: list[int] = []

    def counting(known: Any, segment: Callable[[Any], Any]) -> Any:
        times.append(len(known))
        return try_frames(known, segment)

    monkeypatch.setattr(witness, "try_frames", counting)
    return times


def verdicts(plan: Path) -> list[Path]:
    return list(plan.parent.glob("*.verdict"))


@pytest.mark.parametrize("colour", ["rgb", "bgr"])
def test_once_for_a_plan_on_a_machine(colour: Any, plan: Path, asked: list[int]) -> None:
    with Engine.load(plan, colour=colour) as engine:
        assert engine.description.endswith(", witness right")
    assert asked == [8]
    (kept,) = verdicts(plan)
    content = json.loads(kept.read_bytes())
    assert content["verdict"] == "right"
    assert "driver" in content["machine"]
    with Engine.load(plan, colour=colour) as engine:
        assert engine.description.endswith(", witness right before")
    assert asked == [8]


def test_always_and_never(plan: Path, asked: list[int]) -> None:
    for _ in range(2):
        with Engine.load(plan, witness="always") as engine:
            assert engine.description.endswith(", witness right")
    assert asked == [8, 8]
    with Engine.load(plan, witness="never") as engine:
        assert engine.description.endswith(", witness not asked")
    assert asked == [8, 8]
    with pytest.raises(InputError, match="expected witness as 'once', 'always' or 'never'"):
        Engine.load(plan, witness="sometimes")  # type: ignore[arg-type]


def test_another_driver_is_asked_anew(
    plan: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    Engine.load(plan).close()
    monkeypatch.setattr(gpu, "driver_version", lambda: "999.1")
    with Engine.load(plan) as engine:
        assert engine.description.endswith(", witness right")
    assert asked == [8, 8]


def test_another_plan_of_the_same_name_is_asked_anew(plan: Path, asked: list[int]) -> None:
    Engine.load(plan).close()
    (kept,) = verdicts(plan)
    kept.write_bytes(kept.read_bytes().replace(b'"plan": "', b'"plan": "0'))
    Engine.load(plan).close()
    assert asked == [8, 8]


def test_a_plan_without_witness_says_so_and_loads(plan: Path, asked: list[int]) -> None:
    witness_path(plan).unlink()
    with Engine.load(plan, witness="always") as engine:
        assert engine.description.endswith(", no witness")
        assert engine(np.zeros((128, 160, 3), np.uint8)).shape == (128, 160)
    assert asked == []
    assert verdicts(plan) == []


def test_a_damaged_witness_is_refused(machine: Any, plan: Path) -> None:
    path = witness_path(plan)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="is cut short"):
        Engine.load(plan)
    assert machine.contexts == 0
    Engine.load(plan, witness="never").close()


def test_a_verdict_that_cannot_be_kept_is_a_warning(
    plan: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise InputError(f"cannot write {path}: No space left")

    monkeypatch.setattr(witness, "write_whole", full)
    with caplog.at_level(logging.WARNING):
        Engine.load(plan).close()
    assert "the witness is asked again at the next load: cannot write" in caplog.text
    assert verdicts(plan) == []


@pytest.mark.parametrize("name", BREAKS)
def test_wrong_attention_does_not_load(
    name: str, machine: Any, export: Path, tmp_path: Path
) -> None:
    model = ir.load(export)
    BREAKS[name](model, softmaxes(model)[1])
    path = tmp_path / "broken.plan"
    build(ir.to_proto(model).SerializeToString(), read_onnx_manifest(export), path, [])
    copy_witness(export, path)
    for _ in range(2):  # a wrong verdict is never kept
        with pytest.raises(GateError, match=r"does not compute its network on this machine: on"):
            Engine.load(path)
        assert machine.contexts == 0
    assert verdicts(path) == []
    with Engine.load(path, witness="never") as engine:
        assert engine.description.endswith(", witness not asked")


def test_bounds_that_exclude_the_frames(machine: Any, tmp_path: Path) -> None:
    kind = Kind(dynamic=True, align=None)
    model, plain = make_model(kind).SerializeToString(), make_manifest(kind)
    frame = np.random.default_rng(0).integers(0, 256, (*kind.size, 3), dtype=np.uint8)
    feed = network_input(frame[None], "image", kind.colours, (64, 96))
    logits = OnnxSession(model).run({"image": feed})["logits"][0]
    labels, margin = labels_from_logits(logits, Geometry(kind.size, kind.size, (64, 96)))
    known = Known("noise", frame, labels, coarse(margin, 1e-4), 1e-4)
    data = witness_bytes((known,), checkpoint_sha256="0" * 64, isr=plain.isr)
    manifest = plain.model_copy(update={"witness_sha256": hashlib.sha256(data).hexdigest()})
    for largest, said in ((64, "witness not asked: its frames are outside"), (96, "witness right")):
        path = tmp_path / f"{largest}.plan"
        build(model, manifest, path, [(1, side, side, 3) for side in (32, 64, largest)])
        witness_path(path).write_bytes(data)
        with Engine.load(path) as engine:
            assert said in engine.description
