from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from edaformer.engines.artifact.plan import read_plan
from edaformer.engines.build.build import build_engine
from edaformer.engines.build.compiler import BuildOptions
from edaformer.engines.validate.bisect import bisect
from edaformer.errors import InputError, MissingError
from edaformer.evaluation.protocol import PROTOCOLS
from edaformer.export.bisect import Departure, Difference, run_in_onnxruntime, tensors_leaving
from edaformer.export.exporter import ExportResult
from edaformer.export.graph import scope
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint

IMAGE = natural_noise(1, (60, 90))[0]


def run(path: Path, checkpoint: Checkpoint) -> Departure:
    return bisect(path, checkpoint, IMAGE, name="noise", protocol=PROTOCOLS["native"], fit=None)


def break_block(source: Path, target: Path, module: str) -> None:
    """Halve the first weight that the module's own nodes read."""
    model = ir.load(source)
    for node in model.graph:
        if scope(node).startswith(f"{module}."):
            for value in node.inputs:
                if value is not None and value.const_value is not None and value.shape.rank() > 1:  # type: ignore[union-attr]
                    value.const_value = ir.tensor(value.const_value.numpy() / 2, name=value.name)
                    ir.save(model, target)
                    return
    raise AssertionError(module)


def test_a_sound_export_stays_with_float32(
    small_export: ExportResult, small_checkpoint: Checkpoint
) -> None:
    made = run(small_export.path, small_checkpoint)
    assert made.first is None
    assert 0 < made.largest.share < 1
    assert made.skipped == ()
    # 4 embeddings, 4 norms, 16 + 6 blocks with their attention and MLP, fuse, classify
    assert len(made.differences) == 4 + 4 + 3 * (16 + 6) + 2
    names = [one.module for one in made.differences]
    assert names[:3] == [
        "encoder.stage1.embed", "encoder.stage1.blocks.0.attention", "encoder.stage1.blocks.0.mlp"
    ]  # fmt: skip
    assert names[-1] == "decoder.classify"
    assert made.to_json()["first"] is None


@pytest.mark.parametrize(
    "module", ["encoder.stage3.blocks.4.mlp", "encoder.stage1.blocks.1.attention",
               "decoder.c3.blocks.0.attention"],
)  # fmt: skip
def test_a_broken_block_is_named(
    module: str, small_export: ExportResult, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    break_block(small_export.path, tmp_path / "broken.onnx", module)
    made = run(tmp_path / "broken.onnx", small_checkpoint)
    assert made.first is not None
    assert made.first.module == module
    assert made.to_json()["first"] == module


def test_what_is_no_number_is_beyond() -> None:
    sound, broken = Difference("a", 1.0, 2.0), Difference("b", float("nan"), 2.0)
    made = Departure("x", "rule", (sound, broken), ())
    assert made.first is broken
    assert made.largest is broken
    assert Departure("x", "rule", (sound,), ()).largest.share == 0.5


def test_the_last_tensor_of_a_scope_leaves_it() -> None:
    x = ir.Value(name="x")
    first = ir.node("Relu", [x], name="a.b/Relu")
    second = ir.node("Relu", [first.outputs[0]], name="a/Relu")
    third = ir.node("Relu", [second.outputs[0]], name="c/Relu")
    for node, name in ((first, "1"), (second, "2"), (third, "3")):
        node.outputs[0].name = name
    graph = ir.Graph([x], [third.outputs[0]], nodes=[first, second, third])
    made = tensors_leaving(ir.Model(graph, ir_version=10), ["c", "a", "a.b", "d"])
    assert list(made.items()) == [("a.b", "1"), ("a", "2"), ("c", "3")]


@dataclass
class OnCpu:
    """Stands where a GPU would run the probing plan: runs the whole graph in ONNX Runtime."""

    plan: Path
    whole: Path

    def infer(self, feed: NDArray[Any]) -> dict[str, NDArray[Any]]:
        assert read_plan(self.plan).known_manifest().engine is not None
        probing = ir.load(self.plan.with_suffix(".onnx"))
        names = [str(value.name) for value in probing.graph.outputs]
        return run_in_onnxruntime(ir.load(self.whole), names, feed)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("module", [None, "encoder.stage2.blocks.0.mlp"])
def test_a_plan_is_built_again_to_be_looked_into(
    module: str | None,
    small_export: ExportResult,
    small_checkpoint: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    onnx, plan = tmp_path / "own.onnx", tmp_path / "own.plan"
    if module is None:
        onnx.write_bytes(small_export.path.read_bytes())
    else:
        break_block(small_export.path, onnx, module)
    build_engine(onnx, plan, BuildOptions(allow_unfused=True))
    with pytest.raises(MissingError, match=r"bisecting own.plan .* GPU"):
        run(plan, small_checkpoint)
    monkeypatch.setattr("edaformer.machine.backend.require_gpu", lambda _: None)
    monkeypatch.setattr("edaformer.engines.validate.bisect.PlanSegmenter", lambda p: OnCpu(p, onnx))
    first = run(plan, small_checkpoint).first
    assert (None if first is None else first.module) == module
    onnx.unlink()
    with pytest.raises(InputError, match=r"no .onnx beside .* has the recorded SHA-256"):
        run(plan, small_checkpoint)


def test_names_of_another_graph(
    small_export: ExportResult, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    model = ir.load(small_export.path)
    for node in model.graph:
        node.name = "somewhere/else"
    ir.save(model, tmp_path / "x.onnx")
    with pytest.raises(InputError, match="none of the model's names"):
        run(tmp_path / "x.onnx", small_checkpoint)
