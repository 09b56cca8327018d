"""Real engines: NVIDIA's TensorRT-RTX builder and parser, which need no GPU."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from edaformer.checkpoint import Checkpoint, load_checkpoint
from edaformer.engines.build import (
    BuildOptions,
    BuildResult,
    build_engine,
    parse_compute_capabilities,
)
from edaformer.engines.plan import read_plan
from edaformer.errors import BuildError, InputError
from edaformer.export.exporter import ExportOptions, ExportResult, export_model
from edaformer.files import sha256
from edaformer.manifest import find_in_plan
from tests.recipe import recipe_checkpoint

RTX = BuildOptions(backend="tensorrt-rtx")


def test_the_plan_says_what_it_is(small_plan: BuildResult, small_export: ExportResult) -> None:
    plan = read_plan(small_plan.path)
    assert plan.flavour == "tensorrt-rtx"
    record = small_plan.manifest.engine
    assert record is not None
    assert plan.version == record.version
    assert plan.has_sidecar
    assert plan.manifest == small_plan.manifest
    assert plan.manifest.onnx_sha256 == sha256(small_export.path)
    assert plan.sha256 == small_plan.sha256 == record.plan_sha256


def test_the_manifest_is_inside_the_plan(small_plan: BuildResult) -> None:
    embedded = find_in_plan(small_plan.path.read_bytes(), "plan")
    assert embedded is not None
    assert embedded.isr == small_plan.manifest.isr
    assert embedded.input == small_plan.manifest.input
    assert embedded.classes == small_plan.manifest.classes
    assert embedded.engine is None


def test_it_is_a_half_precision_engine_with_fused_attention(small_plan: BuildResult) -> None:
    plan = small_plan.path.read_bytes()
    assert set(re.findall(rb"_gemm_mha_v2_0x[0-9a-f]+", plan))


def test_progress_is_reported(small_export: ExportResult, tmp_path: Path) -> None:
    events: list[tuple[str, int, int]] = []
    build_engine(
        small_export.path, tmp_path / "x.plan", RTX,
        on_progress=lambda phase, done, total: events.append((phase, done, total)),
    )  # fmt: skip
    assert {phase for phase, _, _ in events} >= {"Building engine"}
    assert all(0 <= done <= max(total, done) for _, done, total in events)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.plan", "x.plan.json"]


@pytest.mark.slow
def test_targets_workspace_and_dynamic_batch(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    onnx_path = tmp_path / "dynamic.onnx"
    export_model(small_checkpoint, ExportOptions(size=(64, 64), batch=None), onnx_path)
    with pytest.raises(InputError, match="add for example: --min-batch 1"):
        build_engine(onnx_path, tmp_path / "x.plan", RTX)
    options = BuildOptions(
        backend="tensorrt-rtx",
        compute_capabilities=("8.6", "12.0"),
        workspace=0.5,
        batches=(1, 2, 4),
    )
    record = build_engine(onnx_path, tmp_path / "x.plan", options).manifest.engine
    assert record is not None
    assert record.compute_capabilities == ("8.6", "12.0")
    assert record.workspace_bytes == 2**29
    assert "BATCH_1_2_4" in record.flags


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timing_cache": Path("x")}, r"--timing-cache has no effect on tensorrt-rtx.*tensorrt$"),
        (
            {"compute_capabilities": ("8.7",)},
            r"cannot target compute capability 8.7.*on the device",
        ),
        ({"compute_capabilities": ("11.0",)}, "build on the device with --backend tensorrt"),
        ({"compute_capabilities": ("9.0",)}, "build on the device with --backend tensorrt"),
        ({"workspace": 0.0}, "expected --workspace in GiB"),
        ({"workspace": float("nan")}, "expected --workspace in GiB"),
        ({"batches": (1, 2, 4)}, "fixed batch of 1; leave out"),
        ({"backend": "cudnn"}, "expected a backend out of auto, tensorrt, tensorrt-rtx"),
    ],
)
def test_no_option_is_ignored(
    options: dict[str, object], words: str, small_export: ExportResult, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words):
        build_engine(
            small_export.path, tmp_path / "x.plan",
            BuildOptions(**{"backend": "tensorrt-rtx", **options}),  # type: ignore[arg-type]
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "8", "8.x", "a.b", "8.6,,8.9"])
def test_compute_capabilities_are_read_strictly(text: str) -> None:
    with pytest.raises(InputError, match="expected compute capabilities like"):
        parse_compute_capabilities(text)
    assert parse_compute_capabilities("8.6, 12.0") == ("8.6", "12.0")


def test_a_parser_error_names_the_node(small_export: ExportResult, tmp_path: Path) -> None:
    model = onnx.load(small_export.path)
    node = next(n for n in model.graph.node if n.op_type == "Erf")
    node.op_type, node.domain = "Unheard", "nowhere"
    model.opset_import.append(onnx.helper.make_opsetid("nowhere", 1))
    onnx.save(model, tmp_path / "bad.onnx")
    with pytest.raises(BuildError, match=r"cannot parse .*encoder.stage1.blocks.0.mlp/Erf"):
        build_engine(tmp_path / "bad.onnx", tmp_path / "x.plan", RTX)
    assert not (tmp_path / "x.plan").exists()


def test_ctrl_c_in_the_middle_leaves_nothing(small_export: ExportResult, tmp_path: Path) -> None:
    def interrupt(phase: str, done: int, total: int) -> None:
        if done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        build_engine(small_export.path, tmp_path / "x.plan", RTX, on_progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_an_exception_of_the_caller_s_ends_the_build(
    small_export: ExportResult, tmp_path: Path
) -> None:
    def fails(phase: str, done: int, total: int) -> None:
        raise ZeroDivisionError(phase)

    with pytest.raises(ZeroDivisionError):
        build_engine(small_export.path, tmp_path / "x.plan", RTX, on_progress=fails)
    assert list(tmp_path.iterdir()) == []


def test_kill_9_in_the_middle_leaves_nothing(small_export: ExportResult, tmp_path: Path) -> None:
    code = "from edaformer.cli.build import main; main()"
    arguments = [str(small_export.path), "-o", str(tmp_path / "x.plan")]
    command = [sys.executable, "-c", code, *arguments, "--backend", "tensorrt-rtx"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stderr is not None
    assert b"building with" in process.stderr.readline()
    process.kill()
    process.wait(10)
    process.stderr.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_edaformer_b_builds(reference: Path, tmp_path: Path) -> None:
    """At 512x512; benchmarks/export_and_build.py --large exports and builds 1024x2048."""
    checkpoint = load_checkpoint(recipe_checkpoint(reference, "B", 19, tmp_path / "b.pth"))
    export_model(checkpoint, ExportOptions(size=(512, 512)), tmp_path / "b.onnx")
    result = build_engine(tmp_path / "b.onnx", tmp_path / "b.plan", RTX)
    assert result.manifest.variant == "B"
