"""Build again: several times from one ONNX file, or as a plan's sidecar says it was built."""

from __future__ import annotations

import shlex
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edaformer.data.scenes import draw_scene, held_out_seed
from edaformer.engines.artifact.plan import unsealed
from edaformer.engines.artifact.proof import table_differences
from edaformer.engines.build.build import BuildResult, build_engine
from edaformer.engines.build.compiler import BuildOptions
from edaformer.errors import InputError, ManifestError
from edaformer.files import sha256
from edaformer.machine.backend import Backend
from edaformer.machine.gpu import gpu_visible
from edaformer.manifest import EngineRecord, Manifest, Proof, parse_manifest


@dataclass(frozen=True)
class Repetition:
    """How ``builds`` of one ONNX file compare with the first."""

    builds: int
    same_bytes: bool
    same_layers: bool | None  # None: not shown by this TensorRT
    same_precision: bool | None
    same_labels: bool | None  # None: no GPU to run them on
    differences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The fields by name."""
        return {**vars(self), "differences": list(self.differences)}


@dataclass(frozen=True)
class Difference:
    """One thing that is not as recorded."""

    what: str
    recorded: str
    now: str


def repeat_build(
    onnx: Path,
    path: Path,
    options: BuildOptions,
    builds: int,
    *,
    on_start: Callable[[Backend], None] = lambda _: None,
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> tuple[BuildResult, Repetition]:
    """Build ``onnx`` several times; the first plan is kept at ``path``.

    Args:
        onnx: a file that edaformer-export wrote.
        path: the plan.
        options: how.
        builds: how often, at least twice.
        on_start: told which backend was chosen, once.
        on_progress: told a phase, steps done and steps in all.

    Raises:
        InputError: if ``builds`` is below two, and whatever build_engine raises.
    """
    if not 2 <= builds <= 100:
        raise InputError(f"expected --repeat of 2 to 100, got {builds}")
    if options.timing_cache is not None:
        raise InputError("with --timing-cache every build repeats the first; leave one of them out")
    first = build_engine(onnx, path, options, on_start=on_start, on_progress=on_progress)
    labels = _labels(first)
    found: list[str] = []
    same_bytes = True
    same_precision: bool | None = None if _hidden(first.record) else True
    same_labels = None if labels is None else True
    with tempfile.TemporaryDirectory() as folder:
        for number in range(2, builds + 1):
            target = Path(folder) / "again.plan"
            again = build_engine(
                onnx, target, replace(options, weigh=False, against=None), on_progress=on_progress
            )
            same_bytes &= again.sha256 == first.sha256
            before, now = first.record.proof, again.record.proof
            if before is not None and now is not None:
                lines = table_differences(before, now)
                found += [line.replace("build 2", f"build {number}") for line in lines]
                if same_precision is not None:
                    same_precision = same_precision and _types(before) == _types(now)
            if labels is not None:
                same_labels = bool(same_labels) and bool((labels == _labels(again)).all())
    result = Repetition(
        builds, same_bytes, None if _hidden(first.record) else not found, same_precision,
        same_labels, tuple(dict.fromkeys(found)),
    )  # fmt: skip
    return first, result


def recorded_build(sidecar: Path, onnx: Path | None) -> tuple[Path, BuildOptions, EngineRecord]:
    """What a plan's sidecar says of its build: the ONNX file, the options and the record.

    Args:
        sidecar: a ``<plan>.json``.
        onnx: the ONNX file; None looks for the one with the recorded hash beside the sidecar.

    Raises:
        InputError: if there is no such file, or it is another one than was built.
        ManifestError: if the sidecar is not a plan's.
    """
    if not sidecar.is_file():
        raise InputError(f"expected a plan's .json at {sidecar}, found nothing there")
    manifest = parse_manifest(sidecar.read_text("utf-8", errors="replace"), str(sidecar))
    record = manifest.engine
    if record is None or manifest.onnx_sha256 is None:
        raise ManifestError(f"{sidecar} records no build; expected the .json beside a plan")
    unsealed(manifest, sidecar)
    options = BuildOptions(
        backend=record.flavour,
        compute_capabilities=record.compute_capabilities,
        workspace=None if record.workspace_bytes is None else record.workspace_bytes / 2**30,
        allow_unfused="ALLOW_UNFUSED" in record.flags,
        even_if_heavier="EVEN_IF_HEAVIER" in record.flags,
    )
    if record.bounds is not None:
        options = _with_bounds(options, manifest, record)
    return _find_onnx(sidecar, onnx, manifest.onnx_sha256), options, record


def compare_builds(recorded: EngineRecord, now: EngineRecord) -> list[Difference]:
    """Everything in which a build differs from its record: what built it, then what came out."""
    names = ("flavour", "version", "gpu", "compute_capabilities", "flags", "workspace_bytes",
             "bounds", "warnings", "plan_bytes", "plan_sha256")  # fmt: skip
    pairs = [(name, getattr(recorded, name), getattr(now, name)) for name in names]
    found = [Difference(name, str(old), str(new)) for name, old, new in pairs if old != new]
    if recorded.proof is None or now.proof is None:
        if recorded.proof is not now.proof:
            known = [("known" if r.proof else "unknown") for r in (recorded, now)]
            found.append(Difference("layers", *known))
        return found
    for name in ("scratch_bytes", "activation_bytes", "weights_bytes", "attention_unfused"):
        old, new = getattr(recorded.proof, name), getattr(now.proof, name)
        if old != new:
            found.append(Difference(name, str(old), str(new)))
    for line in table_differences(recorded.proof, now.proof):
        side, _, what = line.partition(": ")
        cells = (what, "-") if side.endswith("1") else ("-", what)
        found.append(Difference("layers", *cells))
    return found


def _hidden(record: EngineRecord) -> bool:
    return record.proof is None or record.proof.attention_unfused is None


def _types(proof: Proof) -> Counter[str]:
    return Counter(kind for kernel in proof.kernels for kind in kernel.types)


def _with_bounds(options: BuildOptions, manifest: Manifest, record: EngineRecord) -> BuildOptions:
    assert record.bounds is not None
    least, best, most = record.bounds.least, record.bounds.best, record.bounds.most
    batches = (least[0], best[0], most[0]) if manifest.input.batch is None else None
    sizes = (least[1:], best[1:], most[1:]) if manifest.input.dynamic_size else None
    return replace(options, batches=batches, sizes=sizes)


def _find_onnx(sidecar: Path, onnx: Path | None, wanted: str) -> Path:
    if onnx is not None:
        got = sha256(onnx) if onnx.is_file() else "no such file"
        if got != wanted:
            raise InputError(
                f"{onnx} is not what {sidecar.name} was built from: expected SHA-256 "
                f"{wanted[:12]}..., got {got[:12]}; name the file it was exported to"
            )
        return onnx
    for candidate in sorted(sidecar.parent.glob("*.onnx")):
        if sha256(candidate) == wanted:
            return candidate
    quoted = shlex.quote(str(sidecar))
    raise InputError(
        f"no .onnx beside {sidecar} has the recorded SHA-256 {wanted[:12]}...; put it there, or "
        f"name it to build it again: edaformer-build MODEL.onnx --from-manifest {quoted}"
    )


def _labels(result: BuildResult) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    """Labels of drawn scenes at the best batch, where a GPU can run the plan at its own size."""
    size, bounds = result.manifest.size, result.record.bounds
    if not gpu_visible() or (bounds is not None and bounds.best[1:] != size):
        return None
    from edaformer.engines.segmenters.plan import PlanSegmenter

    count = bounds.best[0] if bounds is not None else 1
    images = np.stack([draw_scene(held_out_seed(i), *size).image for i in range(count)])
    with closing(PlanSegmenter(result.path)) as segmenter:
        return segmenter.segment(images)
