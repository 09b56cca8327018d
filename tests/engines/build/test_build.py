"""Real engines: NVIDIA's TensorRT-RTX builder and parser, which need no GPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch

from edaformer.engines.artifact.plan import read_plan
from edaformer.engines.artifact.proof import bytes_say
from edaformer.engines.build.beside import beside_fused
from edaformer.engines.build.build import BuildResult, build_engine, parse_compute_capabilities
from edaformer.engines.build.compiler import BuildOptions
from edaformer.errors import BuildError, EdaformerError, GateError, InputError
from edaformer.export.exporter import ExportResult, export_model
from edaformer.export.options import ExportOptions
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.edaformer.loader import save_checkpoint
from edaformer.families.edaformer.network import EDAFormer
from edaformer.families.table import load_checkpoint
from edaformer.files import sha256
from edaformer.isr import ISR
from edaformer.manifest import Bounds, find_in_plan
from tests.recipe import recipe_checkpoint

RTX = BuildOptions(backend="tensorrt-rtx")
TOY = BuildOptions(backend="tensorrt-rtx", allow_unfused=True)  # a map of one key is not fused


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


def test_unfused_attention_is_no_engine(small_export: ExportResult, tmp_path: Path) -> None:
    with pytest.raises(
        GateError, match=r"not fused in .*decoder\.c4\.blocks\.0\.attention.*--allow"
    ):
        build_engine(small_export.path, tmp_path / "x.plan", RTX)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_unfused_attention_on_request_stays_apart(
    small_unfused: ExportResult, tmp_path: Path
) -> None:
    result = build_engine(small_unfused.path, tmp_path / "x.plan", RTX)
    assert len(result.to_json()["attention"]["unfused"]) == 22
    embedded = find_in_plan(result.path.read_bytes(), "x")
    assert embedded is not None
    assert embedded.attention == "unfused"


def test_fused_attention_is_no_unfused_engine(small_export: ExportResult, tmp_path: Path) -> None:
    """The fused form under a manifest that asks for the other."""
    model = onnx.load(small_export.path)
    (entry,) = model.metadata_props
    entry.value = entry.value.replace('"precision"', '"attention":"unfused","precision"', 1)
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(GateError, match=r"fused, or not seen apart, in encoder\.stage1.*another"):
        build_engine(tmp_path / "x.onnx", tmp_path / "x.plan", RTX)
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [(512, 512), (360, 480)])
def test_the_default_engine_is_fused_and_unpadded(size: tuple[int, int], tmp_path: Path) -> None:
    """Fails when a change brings an unfused attention or a padding kernel back."""
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "t.safetensors", EDAFormer.from_variant("T", 150))
    checkpoint = load_checkpoint(tmp_path / "t.safetensors")
    options = ExportOptions(isr=ISR.parse("16,8,4,1"), size=size)
    plain = export_model(checkpoint, replace(options, rewrites=()), tmp_path / "plain.onnx")
    ours = export_model(checkpoint, options, tmp_path / "ours.onnx")
    before = build_engine(plain.path, tmp_path / "plain.plan", TOY).to_json()
    after = build_engine(ours.path, tmp_path / "ours.plan", RTX).to_json()
    assert before["attention"]["unfused"] == [
        "encoder.stage1.blocks.0.attention", "encoder.stage1.blocks.1.attention",
    ]  # fmt: skip
    assert after["attention"] == {"total": 22, "fused": 22, "unfused": []}
    assert before["kernels"]["padding"] > 0
    assert after["kernels"]["padding"] == 0
    assert after["kernels"]["alignment"] <= (2 if size == (360, 480) else 0)
    assert after["kernels"]["total"] < before["kernels"]["total"]
    assert after["memory"]["scratch_bytes"] < before["memory"]["scratch_bytes"]
    assert after["memory"]["traffic_bytes"] < 0.8 * before["memory"]["traffic_bytes"]
    assert bytes_say((tmp_path / "ours.plan").read_bytes())["standalone_softmax_kernels"] == 0
    assert bytes_say((tmp_path / "plain.plan").read_bytes())["standalone_softmax_kernels"] > 0


@pytest.mark.slow
def test_a_dynamic_size_takes_bounds_and_is_fused(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    onnx_path = tmp_path / "d.onnx"
    options = ExportOptions(isr=ISR.parse("paper"), size=(128, 160), dynamic_size=True)
    manifest = export_model(small_checkpoint, options, onnx_path).manifest
    assert manifest.input.dynamic_size
    bounds: tuple[tuple[int, int], ...] = ((256, 256), (256, 320), (512, 512))
    for sizes, words in (
        (None, "add for example: --min-size 128x160 --opt-size 128x160 --max-size 1024x2048"),
        (((100, 256), *bounds[1:]), "multiples of 32 up to 8192, got 100x256"),
        ((bounds[2], bounds[1], bounds[0]), "expected min <= opt <= max size"),
        (((32, 32), *bounds[1:]), "does not fit|too small|at least|pooling"),
    ):
        with pytest.raises(EdaformerError, match=words):
            build_engine(onnx_path, tmp_path / "x.plan", replace(RTX, sizes=sizes))  # type: ignore[arg-type]
    result = build_engine(onnx_path, tmp_path / "x.plan", replace(RTX, sizes=bounds))  # type: ignore[arg-type]
    assert result.record.bounds == Bounds(
        least=(1, 256, 256), best=(1, 256, 320), most=(1, 512, 512)
    )
    figures = result.to_json()
    assert figures["attention"]["unfused"] == []
    assert figures["memory"]["traffic_bytes"] is None


def test_progress_is_reported(small_export: ExportResult, tmp_path: Path) -> None:
    events: list[tuple[str, int, int]] = []
    build_engine(
        small_export.path, tmp_path / "x.plan", TOY,
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
        allow_unfused=True,
    )
    record = build_engine(onnx_path, tmp_path / "x.plan", options).manifest.engine
    assert record is not None
    assert record.compute_capabilities == ("8.6", "12.0")
    assert record.workspace_bytes == 2**29
    assert record.bounds == Bounds(least=(1, 64, 64), best=(2, 64, 64), most=(4, 64, 64))


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
        ({"sizes": ((64, 64),) * 3}, "fixed size of 60x90; leave out"),
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
    process.wait(60)
    process.stderr.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_edaformer_b_builds(reference: Path, tmp_path: Path) -> None:
    """At 512x512; benchmarks/export_and_build.py --large exports and builds 1024x2048."""
    checkpoint = load_checkpoint(recipe_checkpoint(reference, "B", 19, tmp_path / "b.pth"))
    export_model(checkpoint, ExportOptions(size=(512, 512)), tmp_path / "b.onnx")
    result = build_engine(tmp_path / "b.onnx", tmp_path / "b.plan", RTX)
    figures = result.to_json()
    assert figures["attention"] == {"total": 37, "fused": 37, "unfused": []}
    assert figures["kernels"]["padding"] == figures["kernels"]["alignment"] == 0
    options = ExportOptions(size=(512, 512), attention="unfused")
    export_model(checkpoint, options, tmp_path / "u.onnx")
    build_engine(tmp_path / "u.onnx", tmp_path / "u.plan", RTX)
    beside = beside_fused(tmp_path / "u.plan")
    assert beside is not None
    assert beside.fused_blocks == (37, 0)
    assert beside.kernels[0] == figures["kernels"]["total"]
