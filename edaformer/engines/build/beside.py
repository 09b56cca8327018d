"""What unfused attention costs: a plan's figures beside those of its fused form.

The fused form is not built for the comparison, which would double a build that may take minutes:
its plan is looked for in the folder, where exporting and building both forms leaves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edaformer.engines.artifact.plan import Plan, read_plan
from edaformer.engines.artifact.proof import summarise
from edaformer.errors import EdaformerError
from edaformer.manifest import Manifest

# What differs between the forms of one network, and what is compared field by field below.
_OF_THE_FORM = {
    "attention", "onnx_sha256", "rewrites", "kept_fp32", "verification", "witness_sha256", "engine",
}  # fmt: skip
_SAME_BUILD = {"flavour", "version", "compute_capabilities", "workspace_bytes", "bounds", "gpu"}


@dataclass(frozen=True)
class Beside:
    """Figures of both forms; None is what TensorRT does not show or a dynamic size leaves open."""

    plan: Path  # the fused form's
    fused_blocks: tuple[int | None, int | None]  # (fused form, unfused form), as all the others
    kernels: tuple[int | None, int | None]
    scratch_bytes: tuple[int | None, int | None]
    traffic_bytes: tuple[int | None, int | None]

    def to_json(self) -> dict[str, Any]:
        """Each figure as fused and unfused."""
        names = ("fused_blocks", "kernels", "scratch_bytes", "traffic_bytes")
        pairs = {name: getattr(self, name) for name in names}
        return {
            "plan": str(self.plan),
            **{name: {"fused": a, "unfused": b} for name, (a, b) in pairs.items()},
        }


def beside_fused(path: Path) -> Beside | None:
    """The plan of unfused attention at ``path`` beside its fused form, or None where that is not.

    The fused form's plan lies in the same folder, with its sidecar: of the same checkpoint, ISR,
    input, outputs, precision and rewrites, built in the same way.
    """
    own = read_plan(path)
    for sidecar in sorted(path.parent.glob("*.json")):
        try:
            other = read_plan(sidecar.with_suffix(""))
        except EdaformerError:  # another file's .json, or a damaged plan
            continue
        if _is_fused_form(other, own):
            return _compared(other, own)
    return None


def _is_fused_form(other: Plan, own: Plan) -> bool:
    manifest = other.manifest
    if manifest is None or manifest.attention != "fused":
        return False
    return _network(manifest) == _network(own.known_manifest())


def _network(manifest: Manifest) -> dict[str, Any]:
    """What both forms have in common."""
    record = manifest.engine
    return {
        **manifest.model_dump(exclude=_OF_THE_FORM),
        "rewrites": set(manifest.rewrites or ()) - {"group-queries"},  # of the fused form alone
        "build": record.model_dump(include=_SAME_BUILD) if record is not None else None,
    }


def _compared(fused: Plan, unfused: Plan) -> Beside:
    first, second = (
        summarise(m.engine.proof if m.engine else None, m.architecture)
        for m in (fused.known_manifest(), unfused.known_manifest())
    )

    def both(part: str, name: str) -> tuple[int | None, int | None]:
        return first[part][name], second[part][name]

    return Beside(
        plan=fused.path,
        fused_blocks=both("attention", "fused"),
        kernels=both("kernels", "total"),
        scratch_bytes=both("memory", "scratch_bytes"),
        traffic_bytes=both("memory", "traffic_bytes"),
    )
