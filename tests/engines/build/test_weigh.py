from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.engines.build import build as builder
from edaformer.engines.build.build import BuildResult, build_engine
from edaformer.engines.build.compiler import BuildOptions
from edaformer.engines.build.rebuild import recorded_build
from edaformer.engines.build.weigh import Weighed, _recorded, dequantise_kernels
from edaformer.errors import GateError, InputError
from edaformer.export.exporter import ExportResult
from edaformer.machine.gpu import runs_fp8
from edaformer.manifest import Kernel, Proof

runner = CliRunner()
OPTIONS = BuildOptions(backend="tensorrt-rtx", allow_unfused=True)
MB = 1_000_000


def of(kernels: int | None, traffic: int | None) -> Weighed:
    return Weighed("x", (270, kernels), (22, 22), (0, 0), (MB, MB), (200 * MB, traffic))


@pytest.mark.parametrize(
    ("weighed", "heavier", "says"),
    [
        (of(270, 190 * MB), False, "no heavier than FP16: 270 kernels where FP16 has 270"),
        (of(290, 190 * MB), False, "more kernels than FP16, and no more traffic"),
        (of(260, 210 * MB), False, "more traffic than FP16, and no more kernels"),
        (of(271, 201 * MB), True, "heavier than FP16: 271 kernels where FP16 has 270, 201.0 MB"),
        (of(None, 201 * MB), False, "is not known"),
        (of(271, None), False, "is not known"),
    ],
)  # fmt: skip
def test_heavier_is_heavier_in_both(weighed: Weighed, heavier: bool, says: str) -> None:
    assert weighed.heavier is heavier
    assert says in weighed.sentence


@pytest.mark.parametrize(
    ("capability", "runs"), [("7.5", False), ("8.7", False), ("8.9", True), ("10.0", True)]
)
def test_fp8_needs_a_gpu_that_has_it(capability: str, runs: bool) -> None:
    assert runs_fp8(capability) is runs


def test_kernels_behind_a_layer_in_eight_bits_are_counted(int8_export: ExportResult) -> None:
    own = int8_export.manifest.quantised
    assert own is not None
    layer = own.nodes[0]
    kernels = tuple(
        Kernel(name=name, kind=kind, types=("Half",), nodes=nodes, traffic_bytes=1)
        for name, kind, nodes in (
            ("conv", "convolution", (layer,)),
            ("back", "pointwise", (layer, "x/Add")),
            ("other", "pointwise", ("x/Add",)),
        )
    )
    proof = Proof(
        source="builder log", attention_blocks=(), attention_unfused=(), kernels=kernels,
        scratch_bytes=None, activation_bytes=None, weights_bytes=None,
    )  # fmt: skip
    assert dequantise_kernels(proof, int8_export.manifest) == ["back"]


@pytest.mark.slow
def test_an_engine_that_does_not_pay_is_not_written(
    int8_export: ExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At this size weights are most of what moves, so INT8 pays: the figures are a larger one's."""
    plan = tmp_path / "x.plan"
    monkeypatch.setattr(builder, "weigh", lambda *_: of(369, 356 * MB))
    with pytest.raises(GateError, match=r"is heavier than FP16: 369 kernels where FP16 has 270"):
        build_engine(int8_export.path, plan, OPTIONS)
    assert not list(tmp_path.iterdir())
    kept = build_engine(int8_export.path, plan, replace(OPTIONS, even_if_heavier=True))
    assert "EVEN_IF_HEAVIER" in kept.record.flags
    again = recorded_build(tmp_path / "x.plan.json", int8_export.path)[1]
    assert again.even_if_heavier


@pytest.mark.slow
def test_the_twin_is_built_beside_it(
    int8_export: ExportResult, small_plan: BuildResult, tmp_path: Path
) -> None:
    made = build_engine(int8_export.path, tmp_path / "x.plan", OPTIONS).weighed
    half = small_plan.to_json()
    assert made is not None
    assert made.kernels[0] == half["kernels"]["total"]  # the same graph as without eight bits
    assert made.traffic_bytes[0] == half["memory"]["traffic_bytes"]
    assert made.fused_blocks[0] == half["attention"]["fused"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "x.plan", "x.plan.json", "x.plan.witness",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_twin_can_be_a_plan(
    int8_export: ExportResult, small_plan: BuildResult, tmp_path: Path
) -> None:
    plan = tmp_path / "x.plan"
    line = ["build", str(int8_export.path), "-o", str(plan), "--backend", "tensorrt-rtx",
            "--allow-unfused", "--even-if-heavier", "--against"]  # fmt: skip
    made = runner.invoke(app, [*line, str(small_plan.path), "--json"])
    assert made.exit_code == 0, made.stderr
    printed = json.loads(made.stdout)
    beside, half = printed["beside_fp16"], small_plan.to_json()
    assert beside["twin"] == str(small_plan.path)
    assert beside["kernels"] == {
        "fp16": half["kernels"]["total"], "eight_bits": printed["kernels"]["total"],
    }  # fmt: skip
    assert beside["dequantise_kernels"]["eight_bits"] > 0
    itself = runner.invoke(app, [*line, str(plan)])
    assert itself.exit_code == 2
    assert "is no FP16 twin: it is int8" in itself.stderr


def test_another_networks_plan_is_no_twin(
    fp8_export: ExportResult, small_plan: BuildResult
) -> None:
    with pytest.raises(InputError, match="is no FP16 twin: it differs in checkpoint_sha256"):
        _recorded(small_plan.path, fp8_export.manifest)


def test_fp8_is_not_built_for_what_has_none(fp8_export: ExportResult, tmp_path: Path) -> None:
    options = replace(OPTIONS, compute_capabilities=("8.6", "8.9"))
    with pytest.raises(InputError, match=r"FP8 runs on compute capability 8\.9 and later"):
        build_engine(fp8_export.path, tmp_path / "x.plan", options)
    assert not list(tmp_path.iterdir())


def test_options_of_eight_bits_are_for_them_alone(
    small_export: ExportResult, tmp_path: Path
) -> None:
    for options, name in (
        (replace(OPTIONS, even_if_heavier=True), "--even-if-heavier"),
        (replace(OPTIONS, against=Path("x.plan")), "--against"),
    ):
        with pytest.raises(InputError, match=f"{name} is for a model in int8 or fp8"):
            build_engine(small_export.path, tmp_path / "x.plan", options)
