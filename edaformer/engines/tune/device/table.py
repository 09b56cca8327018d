"""What an engine moves and launches, by the builder's own layer table: no GPU is asked.

For eight bits there is no model: what a pair costs depends on what TensorRT fuses around it. So a
setting is built in both precisions, as ``edaformer-build`` does for its verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.engines.artifact.proof import summarise
from edaformer.engines.build.compiler import BuildOptions, Compiled, compile_network
from edaformer.engines.build.weigh import TWIN, Weighed, build_twin, dequantise_kernels
from edaformer.engines.tune.search.rows import Built
from edaformer.errors import GateError
from edaformer.machine.backend import Backend
from edaformer.manifest import Manifest


def layer_table(onnx: Path, chosen: Backend, *, half: bool = False) -> Built:
    """Figures of a graph in eight bits, or of its FP16 twin.

    Raises:
        BuildError: if TensorRT cannot build it.
        GateError: if it does not show all layers.
    """
    manifest, options = read_onnx_manifest(onnx), BuildOptions()
    if half:
        return _figures(build_twin(onnx, manifest, chosen, options), manifest, ())
    made = compile_network(onnx, chosen, options, manifest)
    back = () if made.proof is None else dequantise_kernels(made.proof, manifest)
    return _figures(made, manifest, back)


def weighed(half: Built, eight: Built) -> Weighed:
    """Both, for the verdict."""
    return Weighed(
        twin=TWIN,
        kernels=(half.kernels, eight.kernels),
        fused_blocks=(half.fused_blocks, eight.fused_blocks),
        dequantise_kernels=(half.dequantise_kernels, eight.dequantise_kernels),
        scratch_bytes=(None, None),
        traffic_bytes=(half.traffic_bytes, eight.traffic_bytes),
    )


def _figures(made: Compiled, manifest: Manifest, back: Sequence[str]) -> Built:
    told = summarise(made.proof, manifest.architecture)
    kernels, traffic = told["kernels"]["total"], told["memory"]["traffic_bytes"]
    fused = told["attention"]["fused"]
    if kernels is None or traffic is None or fused is None:
        raise GateError(
            "what it costs is not known: this TensorRT does not show all layers of the engine"
        )
    return Built(kernels, traffic, fused, len(back), len(made.plan))
