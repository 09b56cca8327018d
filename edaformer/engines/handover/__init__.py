"""Hand an artifact over: a folder that a server takes as it is, written whole or not at all.

``triton`` makes a model of a Triton repository, ``deepstream`` what DeepStream's nvinfer reads;
with ``own_runtime`` Triton's model is answered by our own (``triton_python``).
What is packed is a plan with its sidecar, or the ONNX file where the server runs or builds that,
and the witness frames that lie beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edaformer.engines.artifact.kind import is_plan
from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.engines.artifact.plan import Plan, read_plan, sidecar_path
from edaformer.engines.handover.deepstream import deepstream_files
from edaformer.engines.handover.triton import check_name, triton_files
from edaformer.engines.handover.triton_python import gives_margins, triton_python_files
from edaformer.errors import InputError
from edaformer.files import write_folder
from edaformer.labels.witness import read_witness, witness_path
from edaformer.manifest import Bounds, Manifest

Target = Literal["triton", "deepstream"]
SERVED_AS_ONNX: dict[Target, str] = {"triton": "onnxruntime", "deepstream": "nvinfer"}


@dataclass(frozen=True)
class HandOver:
    """A folder that was written."""

    target: Target
    path: Path
    files: tuple[str, ...]  # relative to ``path``
    manifest: Manifest

    def to_json(self) -> dict[str, Any]:
        """Target, folder, files and manifest."""
        return {
            "target": self.target,
            "path": str(self.path),
            "files": list(self.files),
            "manifest": self.manifest.model_dump(mode="json"),
        }


def check_manifest(manifest: Manifest, target: Target, path: Path) -> None:
    """Refuse what a target cannot take, before anything is built for it.

    Raises:
        InputError: with the export that it can.
    """
    if target == "triton":
        check_name(path.name)
        return
    spec, outputs = manifest.input, [output.name for output in manifest.outputs]
    if spec.name != "planar" or outputs != ["probabilities"]:
        raise InputError(
            "nvinfer gives planes of float32 and takes class probabilities, and this export has "
            f"{spec.name} input and gives {', '.join(outputs)}; export it with --input planar "
            "--outputs probabilities"
        )
    if spec.dynamic_size:
        raise InputError("nvinfer wants one size (infer-dims); export it with --size HxW")


def _check_bounds(artifact: Path, manifest: Manifest, bounds: Bounds | None) -> None:
    """Bounds have to be known, and the least batch is 1: both servers send what they have."""
    dynamic = manifest.input.batch is None or manifest.input.dynamic_size
    if bounds is not None and not dynamic:
        raise InputError(f"{artifact} has a fixed batch and size; leave the bounds out")
    if bounds is None and dynamic:
        where = f"they are in its sidecar, {sidecar_path(artifact).name}: put it beside the plan"
        raise InputError(
            f"the bounds of {artifact}'s dynamic batch or size are unknown; "
            + (where if is_plan(artifact) else "give the bounds to serve it with")
        )
    if manifest.input.batch is None and bounds is not None and bounds.least[0] > 1:
        raise InputError(
            f"a server may send one image alone, and this takes at least {bounds.least[0]}; "
            "use --min-batch 1"
        )


def hand_over(
    artifact: Path, target: Target, path: Path, *, bounds: Bounds | None = None
) -> HandOver:
    """Write the folder ``path`` for ``target``.

    Args:
        artifact: a plan of classic TensorRT, or an ``.onnx``.
        target: whom it is for.
        path: the folder; it must not be there. For ``triton`` its name is the model's.
        bounds: of an ``.onnx`` with a dynamic batch; a plan has its own.

    Raises:
        InputError: if the artifact is not what the target takes, or the folder cannot be written.
        ManifestError: if the artifact has no manifest.
    """
    if is_plan(artifact):
        if bounds is not None:
            raise InputError(f"{artifact} is a plan and has its own bounds; leave them out")
        manifest, packed = _packed_plan(artifact, target)
        bounds = manifest.engine.bounds if manifest.engine is not None else None
    else:
        manifest, packed = read_onnx_manifest(artifact), {"model.onnx": artifact.read_bytes()}
    packed |= _packed_witness(artifact, manifest, next(iter(packed)))
    check_manifest(manifest, target, path)
    _check_bounds(artifact, manifest, bounds)
    make = triton_files if target == "triton" else deepstream_files
    files = make(path.name, manifest, bounds, packed)
    write_folder(path, files)
    return HandOver(target, path, tuple(sorted(files)), manifest)


def hand_over_runtime(artifact: Path, path: Path) -> HandOver:
    """Write the folder ``path``, a model for Triton that our own runtime answers.

    Args:
        artifact: a plan of either TensorRT, or an ``.onnx``; packed as it is.
        path: the folder; it must not be there. Its name is the model's.

    Raises:
        InputError: if the artifact is neither, the name is none, or the folder cannot be written.
        ManifestError: if the artifact has no manifest.
    """
    if plan := is_plan(artifact):
        read = read_plan(artifact)
        manifest, packed = read.known_manifest(), _plan_files(artifact, read)
    else:
        manifest, packed = read_onnx_manifest(artifact), {"model.onnx": artifact.read_bytes()}
    packed |= _packed_witness(artifact, manifest, next(iter(packed)))
    check_manifest(manifest, "triton", path)
    margins = gives_margins(manifest, plan=plan)
    files = triton_python_files(path.name, manifest, packed, margins=margins)
    write_folder(path, files)
    return HandOver("triton", path, tuple(sorted(files)), manifest)


def _packed_plan(artifact: Path, target: Target) -> tuple[Manifest, dict[str, bytes]]:
    plan = read_plan(artifact)
    manifest = plan.known_manifest()
    if plan.flavour != "tensorrt":
        raise InputError(
            f"{artifact} is a {plan.flavour} plan, and {target} loads tensorrt's; build the "
            f"ONNX file with --backend tensorrt, or hand that over with --backend "
            f"{SERVED_AS_ONNX[target]}"
        )
    return manifest, _plan_files(artifact, plan)


def _plan_files(artifact: Path, plan: Plan) -> dict[str, bytes]:
    """The plan, and its sidecar where it has one."""
    packed = {"model.plan": artifact.read_bytes()}
    if plan.has_sidecar:
        packed["model.plan.json"] = sidecar_path(artifact).read_bytes()
    return packed


def _packed_witness(artifact: Path, manifest: Manifest, name: str) -> dict[str, bytes]:
    """The witness frames beside the artifact, where they are, as those of ``name``."""
    if read_witness(artifact, manifest) is None:
        return {}
    return {witness_path(Path(name)).name: witness_path(artifact).read_bytes()}
