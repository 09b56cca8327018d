"""What a plan file is, read from its bytes: no TensorRT, no GPU.

Header (found alike in TensorRT 10 and TensorRT-RTX 1.7; NVIDIA's trtexec reads the same fields for
--getPlanVersionOnly): a four-byte tag, then at offset 24 the major, minor, patch and build of the
library that built it. The manifest is the network's name, somewhere behind.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from edaformer.errors import InputError, ManifestError
from edaformer.files import write_whole
from edaformer.machine.backend import Flavour
from edaformer.manifest import ONLY_IN_SIDECAR, Manifest, find_in_plan, parse_manifest

TAGS: dict[bytes, Flavour] = {b"ftrt": "tensorrt", b"vtrt": "tensorrt-rtx"}
_VERSION_AT = 24
_HEADER = 32


@dataclass(frozen=True)
class Plan:
    """A plan on disk."""

    path: Path
    flavour: Flavour
    version: str  # of the library that built it, such as 10.3.0.30
    size: int
    sha256: str
    manifest: Manifest | None  # from the sidecar where there is one, else what the plan holds
    has_sidecar: bool

    def known_manifest(self) -> Manifest:
        """The manifest.

        Raises:
            ManifestError: if neither the plan nor a sidecar has one.
        """
        if self.manifest is None:
            raise ManifestError(
                f"{self.path} is a {self.flavour} {self.version} plan without a manifest; "
                "build it with edaformer-build"
            )
        return self.manifest


def sidecar_path(plan: Path) -> Path:
    """``model.plan.json`` beside ``model.plan``."""
    return plan.with_name(f"{plan.name}.json")


def read_plan(path: Path) -> Plan:
    """Read a plan's header, manifest and sidecar.

    Raises:
        InputError: if it is no plan.
        ManifestError: if its manifest is damaged, or the sidecar is another plan's.
    """
    if not path.is_file():
        raise InputError(f"expected a plan at {path}, found nothing there; check the path")
    data = path.read_bytes()
    flavour, version = read_header(data, str(path))
    digest = hashlib.sha256(data).hexdigest()
    embedded = find_in_plan(data, str(path))
    sidecar = _read_sidecar(path, digest, embedded, (flavour, version, len(data)))
    return Plan(
        path=path,
        flavour=flavour,
        version=version,
        size=len(data),
        sha256=digest,
        manifest=sidecar or embedded,
        has_sidecar=sidecar is not None,
    )


def read_header(data: bytes, origin: str) -> tuple[Flavour, str]:
    """Flavour and version from a plan's first bytes.

    Raises:
        InputError: if they are not a plan's.
    """
    flavour = TAGS.get(data[:4])
    if flavour is None:
        hint = "it looks like an ONNX model: build it first with edaformer-build"
        what = hint if data[:1] == b"\x08" else "build one with edaformer-build"
        raise InputError(f"{origin} is not a TensorRT plan; {what}")
    if len(data) < _HEADER:
        raise InputError(f"{origin} is a plan cut short after {len(data)} bytes; build it again")
    return flavour, ".".join(str(part) for part in data[_VERSION_AT : _VERSION_AT + 4])


def write_plan(path: Path, data: bytes, manifest: Manifest) -> None:
    """Write a plan and its sidecar.

    The old sidecar goes first, so that at no moment a plan has another plan's beside it.
    """
    sidecar = sidecar_path(path)
    sidecar.unlink(missing_ok=True)
    write_whole(path, data)
    write_whole(sidecar, manifest.sealed().to_json().encode())


def _read_sidecar(
    path: Path, digest: str, embedded: Manifest | None, header: tuple[str, str, int]
) -> Manifest | None:
    sidecar = sidecar_path(path)
    if not sidecar.is_file():
        return None
    manifest = parse_manifest(sidecar.read_text("utf-8", errors="replace"), str(sidecar))
    bound = manifest.engine.plan_sha256 if manifest.engine is not None else None
    if bound != digest:
        raise ManifestError(
            f"{sidecar} belongs to another plan (it names SHA-256 {str(bound)[:12]}..., "
            f"{path.name} has {digest[:12]}...); put its own beside it, or delete {sidecar.name}"
        )
    known_to_both = manifest.model_copy(update=dict.fromkeys(ONLY_IN_SIDECAR))
    if embedded is not None and embedded != known_to_both:
        raise ManifestError(
            f"{sidecar} contradicts the manifest inside {path.name}; one of them was changed: "
            "build the plan again"
        )
    record, (flavour, version, size) = manifest.engine, header
    if record is None or (record.flavour, record.version, record.plan_bytes) != header:
        raise ManifestError(
            f"{sidecar} does not say what the header of {path.name} says ({flavour} {version}, "
            f"{size} bytes); build the plan again"
        )
    return unsealed(manifest, sidecar)


def unsealed(manifest: Manifest, sidecar: Path) -> Manifest:
    """What a sidecar says, where all of it is as it was written.

    Raises:
        ManifestError: if its seal is another, or there is none.
    """
    if manifest.seal != manifest.sealed().seal:
        raise ManifestError(
            f"{sidecar} was changed since it was written: its seal does not fit; build the plan "
            "again, or delete the sidecar: the plan runs without"
        )
    return manifest.model_copy(update={"seal": None})
