"""Describe a checkpoint, an ONNX file, a plan or a bare variant, with its cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edaformer.engines.artifact.kind import is_plan
from edaformer.engines.artifact.onnx_file import read_onnx
from edaformer.engines.artifact.plan import read_plan
from edaformer.engines.artifact.proof import bytes_say, facts_of, summarise
from edaformer.errors import InputError
from edaformer.families.architecture import Architecture
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.cost import Cost
from edaformer.families.given import Given
from edaformer.families.identity import hint, hub_id
from edaformer.families.table import (
    Found,
    count,
    find_checkpoint,
    load_checkpoint,
    named,
    names,
    owner,
)
from edaformer.files import sha256
from edaformer.isr import ISR
from edaformer.manifest import Bounds, EngineRecord, Manifest
from edaformer.preprocess import ALIGN, DEFAULT_SIZE, Normalisation, aligned, format_size

_DEFAULT_CLASSES = 150
_CHECKPOINT_MAGIC = (b"PK\x03\x04", b"\x80")


@dataclass(frozen=True)
class Description:
    """What something is, and what one image costs at ``isr`` and at base."""

    kind: str  # variant, checkpoint, onnx or plan
    cost: Cost
    cost_base: Cost
    isr: ISR
    size: tuple[int, int]  # as counted, padding included
    architecture: Architecture
    num_classes: int
    facts: list[tuple[str, object]]  # names and values for people
    extra: dict[str, Any] = field(default_factory=dict)  # for programs

    @property
    def saving(self) -> float:
        """The fraction of base ISR's multiply-adds that this ISR saves."""
        return 1 - self.cost.macs / self.cost_base.macs

    def to_json(self) -> dict[str, Any]:
        """``gmacs`` in 10^9 multiply-adds, shares and ``saving`` as fractions."""
        return {
            "kind": self.kind,
            "isr": str(self.isr),
            "size": format_size(self.size),
            "params": self.cost.params,
            "gmacs": self.cost.gmacs,
            "gmacs_base": self.cost_base.gmacs,
            "saving": self.saving,
            "attention_share": self.cost.attention_share,
            "parts": [
                {"name": p.name, "gmacs": p.macs / 1e9, "attention_gmacs": p.attention_macs / 1e9}
                for p in self.cost.parts
            ],
            **self.extra,
        }


def describe(
    subject: str,
    *,
    isr: ISR | str | None,
    size: tuple[int, int] | None,
    num_classes: int | None,
    given: Given | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Description:
    """Describe a file, or a variant by its name.

    Args:
        subject: a path, or a variant such as ``T`` where no such file exists, or an id of the
            Hugging Face Hub (``families.identity``), which is fetched.
        isr: to count at, for checkpoints and variants; text is read as theirs.
        size: (H, W) to count at, likewise.
        num_classes: of a bare variant.
        given: what a checkpoint does not say itself.
        tell: hears what is fetched.

    Raises:
        InputError: if it is none of these, or an option is baked into the file.
    """
    path = Path(subject)
    variant, given = named(subject), given or Given()
    if variant is not None and owner(path) is None:
        given.refuse_said(subject, "a variant has its own")
        return _describe_variant(variant, isr, size, num_classes)
    if hub_id(subject) is not None:
        _refuse_classes(subject, num_classes)
        return _describe_checkpoint(find_checkpoint(subject, tell), isr, size, given)
    if not path.exists():
        raise InputError(f"expected a file or a variant ({names()}), found nothing at {subject}"
                         f"{hint(subject)}")  # fmt: skip
    _refuse_classes(subject, num_classes)
    if path.is_dir():
        return _describe_checkpoint(find_checkpoint(path), isr, size, given)
    with path.open("rb") as file:
        head = file.read(9)
    if is_plan(path):
        _refuse_baked(subject, isr, size, given)
        return _describe_plan(path)
    if head.startswith(_CHECKPOINT_MAGIC) or head[8:9] == b"{":
        return _describe_checkpoint(find_checkpoint(path), isr, size, given)
    if head[:1] == b"\x08":  # ModelProto field 1, ir_version
        _refuse_baked(subject, isr, size, given)
        return _describe_onnx(path)
    raise InputError(
        f"{subject} is no checkpoint, ONNX model or TensorRT plan; expected one of these or a "
        f"variant ({names()})"
    )


def side_by_side(
    first: Description, second: Description
) -> list[tuple[str, object | None, object | None]]:
    """What people want to compare: name, first value, second value; None where one has none."""
    cells = [dict([*d.facts, *_cost_facts(d)]) for d in (first, second)]
    return [(name, cells[0].get(name), cells[1].get(name)) for name in cells[0] | cells[1]]


def differences(first: Description, second: Description) -> list[dict[str, Any]]:
    """Every figure of the JSON forms that differs, by its dotted name."""
    sides = [_flat(d.to_json()) for d in (first, second)]
    rows = ((name, *(side.get(name) for side in sides)) for name in sides[0] | sides[1])
    return [{"what": name, "first": a, "second": b} for name, a, b in rows if a != b]


def _cost_facts(description: Description) -> list[tuple[str, object]]:
    return [("GMACs", f"{description.cost.gmacs:.3f}"), ("saving", f"{description.saving:.1%}")]


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts to dotted names; the layer table stays out, its figures are in."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif name != "kernels" or not isinstance(value, list):
            flat[prefix + name] = value
    return flat


def _describe_variant(
    variant: Architecture,
    isr: ISR | str | None,
    size: tuple[int, int] | None,
    num_classes: int | None,
) -> Description:
    classes = num_classes if num_classes is not None else _DEFAULT_CLASSES
    if not 1 <= classes <= 65536:
        raise InputError(f"expected --classes of 1 to 65536, got {classes}")
    facts: list[tuple[str, object]] = [("model", f"{variant.title}, {classes} classes")]
    padded, told = _padded(size or DEFAULT_SIZE)
    facts += told
    at = (_isr(isr, variant), padded)
    return _costed("variant", (variant, classes), at, facts)


def _padded(size: tuple[int, int]) -> tuple[tuple[int, int], list[tuple[str, object]]]:
    """The size that an export of it runs at, and what is to be said where that is another."""
    padded = aligned(size, ALIGN)
    return padded, [] if padded == size else [
        ("images of", f"{format_size(size)}, padded as an export does")
    ]


def _isr(isr: ISR | str | None, model: Architecture) -> ISR:
    if isr is None:
        return model.places.base
    return ISR.parse(str(isr), model.places)


def _refuse_classes(subject: str, num_classes: int | None) -> None:
    if num_classes is not None:
        raise InputError(f"--classes is for a bare variant; {subject} has its own, leave it out")


def _describe_checkpoint(
    found: Found, isr: ISR | str | None, size: tuple[int, int] | None, given: Given
) -> Description:
    loaded = load_checkpoint(found, given)
    left_over = ", ".join(loaded.coverage.left_over) or "none"
    facts: list[tuple[str, object]] = [
        ("model", f"{loaded.variant.title}, {loaded.num_classes} classes"),
        ("format", loaded.format or None),
        *loaded.assumed,
        ("weights used", f"{loaded.coverage.used}; left over: {left_over}"),
        ("classes", class_names(loaded)),
        ("trained at", _trained_at(loaded)),
        ("adapted for", loaded.adapted and loaded.adapted.text),
        ("normalised by", normalised(loaded)),
        ("frames resized by", loaded.resize),
        ("left out", "; ".join(loaded.notes) or None),
        ("fetched from", loaded.hub and loaded.hub.text),
        ("SHA-256", loaded.sha256),
    ]
    extra = {
        "variant": loaded.variant.name,
        "num_classes": loaded.num_classes,
        "classes": list(loaded.classes) if loaded.classes else None,
        "sha256": loaded.sha256,
        "normalisation": asdict(loaded.normalisation) | {"bgr": loaded.bgr},
        "origins": asdict(loaded.origins),
        "format": loaded.format or None,
        "assumed": dict(loaded.assumed),
        "adapted": None if loaded.adapted is None else loaded.adapted.model_dump(mode="json"),
        "hub": None if loaded.hub is None else asdict(loaded.hub),
        "notes": list(loaded.notes),
        "coverage": {"used": loaded.coverage.used, "left_over": list(loaded.coverage.left_over)},
    }
    padded, told = _padded(size or loaded.input_size or DEFAULT_SIZE)
    model = (loaded.variant, loaded.num_classes)
    at = (_isr(isr, loaded.variant), padded)
    return _costed("checkpoint", model, at, [*facts, *told], extra)


def _describe_onnx(path: Path) -> Description:
    file, digest = read_onnx(path), sha256(path)
    manifest = file.manifest
    facts = [
        *_manifest_facts(manifest),
        ("graph", file.state),
        ("operators of", ", ".join(file.scan.domains) or None),
        ("SHA-256", digest),
    ]
    graph = {"state": file.state, "changed": file.changed, "domains": list(file.scan.domains)}
    return _of_manifest("onnx", manifest, facts, {"sha256": digest, "graph": graph})


def _describe_plan(path: Path) -> Description:
    plan = read_plan(path)
    manifest = plan.known_manifest()
    record = manifest.engine
    missing = f"missing: no {path.name}.json, so palette, flags and verification are unknown"
    facts = [
        ("plan", f"{plan.flavour} {plan.version}, {plan.size / 1e6:.1f} MB"),
        *_manifest_facts(manifest),
        ("built with", ", ".join(record.flags) if record else None),
        ("targets", _targets(record) if record else None),
        (
            "workspace",
            f"{record.workspace_bytes / 2**30:g} GiB"
            if record and record.workspace_bytes
            else None,
        ),
        ("takes", _bounds(record.bounds) if record and record.bounds else None),
        ("ONNX SHA-256", manifest.onnx_sha256),
        ("SHA-256", plan.sha256),
        ("sidecar", "matches the plan" if plan.has_sidecar else missing),
        *facts_of(record.proof if record else None),
    ]
    extra = {
        **summarise(record.proof if record else None, manifest.architecture),
        "plan_bytes": bytes_say(path.read_bytes()) if plan.flavour == "tensorrt-rtx" else None,
        "bounds": record.bounds.model_dump() if record and record.bounds else None,
        "flavour": plan.flavour,
        "version": plan.version,
        "sha256": plan.sha256,
        "sidecar": plan.has_sidecar,
    }
    return _of_manifest("plan", manifest, facts, extra)


def normalised(checkpoint: Checkpoint) -> str:
    """Mean and deviation, the order of channels, and where they came from."""
    figures = _figures(checkpoint.normalisation, bgr=checkpoint.bgr)
    return f"{figures} ({checkpoint.origins.normalisation})"


def class_names(checkpoint: Checkpoint) -> str:
    """Class names, and where they came from."""
    origin = checkpoint.origins.classes
    if checkpoint.classes is None:
        return f"no names ({origin}; --names FILE gives them)"
    return f"{', '.join(checkpoint.classes)} ({origin})"


def _trained_at(checkpoint: Checkpoint) -> str | None:
    size = checkpoint.input_size
    return None if size is None else f"{format_size(size)} ({checkpoint.origins.input_size})"


def _figures(how: Normalisation, *, bgr: bool) -> str:
    mean, std = (", ".join(f"{value:g}" for value in part) for part in (how.mean, how.std))
    turned = "; trained on BGR, turned round inside" if bgr else ""
    return f"mean {mean}; std {std}, of 0..255 RGB{turned}"


def _targets(record: EngineRecord) -> str:
    return ", ".join(record.compute_capabilities) or record.gpu or "the builder's default"


def _bounds(bounds: Bounds) -> str:
    """``1 x 256x256 to 4 x 1024x2048, best at 1 x 512x512``."""
    texts = [f"{b} x {h}x{w}" for b, h, w in (bounds.least, bounds.most, bounds.best)]
    return f"{texts[0]} to {texts[1]}, best at {texts[2]}"


def _manifest_facts(manifest: Manifest) -> list[tuple[str, object]]:
    spec, check = manifest.input, manifest.verification
    batch = spec.batch if spec.batch is not None else "dynamic"
    outputs = ", ".join(f"{o.name} {o.dtype} {o.height}x{o.width}" for o in manifest.outputs)
    return [
        ("model", f"{manifest.title}, {manifest.num_classes} classes"),
        ("ISR", manifest.isr),
        ("adapted for", manifest.adapted and manifest.adapted.text),
        ("precision", manifest.precision),
        ("eight bits", None if (own := manifest.quantised) is None else
         f"{', '.join(own.parts)}: {len(own.nodes)} nodes, calibrated on {len(own.images)} images "
         f"of {own.source}"),
        ("written for", "unfused attention" if manifest.attention == "unfused" else None),
        ("input", f"{spec.name} {spec.dtype} {spec.layout} "
          f"{'multiples of 32' if spec.dynamic_size else format_size(manifest.size)}, "
          f"batch {batch}"),
        ("runs at", None if spec.dynamic_size else
         f"{spec.padded_height}x{spec.padded_width} (align {spec.align or 'none'})"),
        ("frames resized by", None if spec.dynamic_size else spec.resize),
        ("normalised by", _figures(spec.normalisation, bgr=manifest.channels == "BGR")),
        ("outputs", outputs),
        ("classes", ", ".join(manifest.classes) if manifest.classes else None),
        ("rewrites", None if manifest.rewrites is None else ", ".join(manifest.rewrites) or "none"),
        ("verified", f"logit error max {check.max_logit_error:.2g} on {check.source}"
         if check else None),
        ("checkpoint from", manifest.hub and manifest.hub.text),
        ("checkpoint SHA-256", manifest.checkpoint_sha256),
        ("made by", f"edaformer-deploy {manifest.tool_version}"),
    ]  # fmt: skip


def _of_manifest(
    kind: str, manifest: Manifest, facts: list[tuple[str, object]], extra: dict[str, Any]
) -> Description:
    size = (manifest.input.padded_height, manifest.input.padded_width)
    extra = {**extra, "manifest": manifest.model_dump(mode="json")}
    model = (manifest.architecture, manifest.num_classes)
    return _costed(kind, model, (manifest.isr_value, size), facts, extra)


def _costed(
    kind: str,
    model: tuple[Architecture, int],
    at: tuple[ISR, tuple[int, int]],
    facts: list[tuple[str, object]],
    extra: dict[str, Any] | None = None,
) -> Description:
    """Count ``model`` (variant, classes) ``at`` an ISR and the size the network runs at."""
    isr, size = at
    counted = count(*model, size, isr)
    facts = [
        *facts,
        ("parameters", f"{counted.params / 1e6:.3f} M"),
        ("counted at", f"{format_size(size)}, ISR {isr}"),
    ]
    base = count(*model, size)
    return Description(kind, counted, base, isr, size, *model, facts, extra or {})


def _refuse_baked(
    subject: str, isr: ISR | str | None, size: tuple[int, int] | None, given: Given
) -> None:
    given.refuse_said(subject, "it is baked in")
    for option, value in (("--isr", isr), ("--size", size)):
        if value is not None:
            raise InputError(f"{option} is baked into {subject}; leave it out")
