"""Whether eight bits pay: a plan's figures beside those of its FP16 twin.

The twin is the same graph without its Q/DQ pairs (export/quantise/strip.py), built in the same way;
or a plan of the same network that ``--against`` names, such as one with other rewrites.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edaformer.engines.artifact.plan import read_plan
from edaformer.engines.artifact.proof import COMPUTE, summarise
from edaformer.engines.build.compiler import BuildOptions, Compiled, compile_network
from edaformer.errors import InputError
from edaformer.export.quantise.strip import half_twin
from edaformer.machine.backend import Backend
from edaformer.manifest import Manifest, Proof

TWIN = "FP16, the same graph without its Q/DQ, built in the same way"
Pair = tuple[int | None, int | None]  # of the FP16 twin, of the plan in eight bits
# What both have in common
_SAME = {"variant", "sizes", "isr", "checkpoint_sha256", "input", "outputs", "num_classes"}


@dataclass(frozen=True)
class Weighed:
    """Figures of both; None is what TensorRT does not show or a dynamic size leaves open."""

    twin: str  # what it is, in words
    kernels: Pair
    fused_blocks: Pair
    dequantise_kernels: Pair
    scratch_bytes: Pair
    traffic_bytes: Pair

    @property
    def heavier(self) -> bool:
        """Whether eight bits take more kernels and move more bytes, too."""
        return all(_more(pair) for pair in (self.kernels, self.traffic_bytes))

    @property
    def sentence(self) -> str:
        """The verdict, with its figures."""
        if None in self.kernels + self.traffic_bytes:
            return "whether it pays is not known: TensorRT does not show all of the figures"
        verdict = "no heavier than FP16"
        if self.heavier:
            verdict = "heavier than FP16"
        elif _more(self.kernels):
            verdict = "more kernels than FP16, and no more traffic"
        elif _more(self.traffic_bytes):
            verdict = "more traffic than FP16, and no more kernels"
        return (
            f"{verdict}: {self.kernels[1]} kernels where FP16 has {self.kernels[0]}, "
            f"{_mb(self.traffic_bytes[1])} moved where it moves {_mb(self.traffic_bytes[0])}"
        )

    def to_json(self) -> dict[str, Any]:
        """Each figure as fp16 and eight_bits."""
        names = ("kernels", "fused_blocks", "dequantise_kernels", "scratch_bytes", "traffic_bytes")
        pairs = {name: getattr(self, name) for name in names}
        return {
            "twin": self.twin,
            "heavier": self.heavier,
            **{name: {"fp16": a, "eight_bits": b} for name, (a, b) in pairs.items()},
        }


def weigh(
    onnx: Path, proof: Proof | None, manifest: Manifest, chosen: Backend, options: BuildOptions
) -> Weighed:
    """The plan with this ``proof`` beside its twin.

    Args:
        onnx: what it was built from.
        proof: its own.
        manifest: of the graph in eight bits.
        chosen: what ``backend.use`` returned.
        options: how it was built; ``against`` names the twin's plan, None builds it.

    Raises:
        InputError: if that plan is not of the same network in FP16.
        BuildError: if TensorRT cannot build the twin.
    """
    if options.against is not None:
        half, twin = _recorded(options.against, manifest), str(options.against)
    else:
        half, twin = build_twin(onnx, manifest, chosen, options).proof, TWIN
    first, second = (summarise(one, manifest.architecture) for one in (half, proof))

    def both(part: str, name: str) -> Pair:
        return first[part][name], second[part][name]

    return Weighed(
        twin=twin,
        kernels=both("kernels", "total"),
        fused_blocks=both("attention", "fused"),
        dequantise_kernels=(0, None if proof is None else len(dequantise_kernels(proof, manifest))),
        scratch_bytes=both("memory", "scratch_bytes"),
        traffic_bytes=both("memory", "traffic_bytes"),
    )


def dequantise_kernels(proof: Proof, manifest: Manifest) -> list[str]:
    """Kernels that only make numbers again of what a layer in eight bits gives."""
    own = set(() if manifest.quantised is None else manifest.quantised.nodes)
    return [k.name for k in proof.kernels if k.kind not in COMPUTE and own & set(k.nodes)]


def build_twin(onnx: Path, manifest: Manifest, chosen: Backend, options: BuildOptions) -> Compiled:
    """The same graph without its pairs, built in the same way.

    Raises:
        BuildError: if TensorRT cannot build it.
    """
    with tempfile.TemporaryDirectory() as folder:
        twin = Path(folder) / "fp16.onnx"
        twin.write_bytes(half_twin(onnx.read_bytes()))
        half = manifest.model_copy(update={"precision": "fp16", "quantised": None})
        return compile_network(twin, chosen, options, half)


def _recorded(path: Path, manifest: Manifest) -> Proof | None:
    plan = read_plan(path)
    known = plan.known_manifest()
    other = [name for name in sorted(_SAME) if getattr(known, name) != getattr(manifest, name)]
    if known.precision != "fp16" or other:
        what = f"is {known.precision}" if known.precision != "fp16" else f"differs in {other[0]}"
        raise InputError(
            f"--against {path} is no FP16 twin: it {what}; name a plan of the same checkpoint, "
            "ISR, size and outputs in fp16, or leave --against out"
        )
    if known.engine is None or known.engine.proof is None:
        raise InputError(
            f"--against {path} has no record of its layers ({path.name}.json); build it again"
        )
    return known.engine.proof


def _more(pair: Pair) -> bool:
    half, eight = pair
    return half is not None and eight is not None and eight > half


def _mb(size: int | None) -> str:
    return "?" if size is None else f"{size / 1e6:.1f} MB"
