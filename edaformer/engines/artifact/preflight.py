"""Will this artifact run here? Answered from its bytes and this machine, without running anything.

Neither TensorRT nor a GPU is needed.

Header: the flavour's tag at 0, a little-endian 64-bit length at 16, the version at 24. The length
is the whole file's in every TensorRT-RTX 1.7 plan looked at; for classic TensorRT it is not used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edaformer.engines.artifact.onnx_file import read_onnx
from edaformer.engines.artifact.plan import TAGS, read_header, read_plan, sidecar_path
from edaformer.engines.artifact.verdict import Findings, Verdict
from edaformer.errors import EdaformerError, MissingError, require
from edaformer.files import sha256
from edaformer.labels.witness import witness_state
from edaformer.machine import backend
from edaformer.machine.backend import Flavour
from edaformer.machine.gpu import FP8_FROM, Gpu, query_gpu, runs_fp8
from edaformer.machine.jetson import Jetson, read_jetson
from edaformer.manifest import Manifest, find_in_plan, parse_manifest
from edaformer.media.opencv import opencv
from edaformer.packages import holes_here, version_of
from edaformer.preprocess import format_size

T = TypeVar("T")

_LENGTH_AT = 16
_RUNTIME = ("pycuda.driver", "cuda.bindings.driver", "filelock")  # of the extra cuda
_PLAN_SUFFIXES = {".plan", ".engine", ".trt"}
_ONNX_START = b"\x08"  # ModelProto field 1, ir_version
_PARTS = ("-cu13", "-cu12", "-cu13-bindings", "-cu12-bindings", "-cu13-libs", "-cu12-libs", "")
# The names that tell the CUDA first: a metapackage such as tensorrt does not
_DISTRIBUTIONS: dict[Flavour, tuple[str, ...]] = {
    "tensorrt": (*(f"tensorrt{part}" for part in _PARTS), "tensorrt-lean"),
    "tensorrt-rtx": tuple(f"tensorrt-rtx{part}" for part in _PARTS),
}


@dataclass(frozen=True)
class Here:
    """What this machine has."""

    gpu: Gpu | None
    jetson: Jetson | None


@dataclass(frozen=True)
class Installed:
    """A TensorRT flavour's Python package."""

    distribution: str | None  # None: it has no metadata
    version: str | None

    @property
    def cuda_major(self) -> int | None:
        """The CUDA that its libraries were made for, where the name says so."""
        found = re.search(r"-cu(\d+)", self.distribution or "")
        return int(found[1]) if found else None


def preflight(path: Path, *, asked_by: str = "edaformer-run") -> Verdict:
    """Look at an ``.onnx`` or ``.plan`` and at this machine.

    Whatever the file holds, the answer is a verdict; nothing in it is executed. The whole file is
    read, for its SHA-256.

    Args:
        path: the artifact.
        asked_by: the command that was typed: it takes an ONNX file where there is no GPU.
    """
    found = Findings(path, asked_by)
    here = Here(query_gpu(), read_jetson())
    head = _head(found)
    if head[:4] in TAGS:
        known = _check_plan(found, here)
        _note_packages(found)
        return found.verdict("plan", known)
    if head[:1] == _ONNX_START:
        known = _check_onnx(found)
        _note_packages(found)
        return found.verdict("onnx", known)
    if not found.problems:
        found.problem("damaged", *_what_else(path, head))
    return found.verdict(None, None)


def _note_packages(found: Findings) -> None:
    """What does not keep an artifact from running, and should be known all the same."""
    found.notes += holes_here()
    if importlib.util.find_spec("cv2") is not None:
        try:
            opencv()
        except MissingError as error:
            found.notes.append(f"video and cameras will not run: {error}")


def installed_version(flavour: Flavour) -> Installed | None:
    """The flavour's package here, or None; it is not imported."""
    if not backend.is_installed(flavour):
        return None
    made = ((name, version_of(name)) for name in _DISTRIBUTIONS[flavour])
    known = next(((name, version) for name, version in made if version is not None), (None, None))
    return Installed(*known)


def _head(found: Findings) -> bytes:
    path = found.path
    fix = f"ls -l {shlex.quote(str(path))}"
    try:
        if path.is_file():
            with path.open("rb") as file:
                return file.read(256)
        what = "is a folder" if path.is_dir() else "is not there"
        found.problem("damaged", f"expected a file, but {path} {what}", f"check the path: {fix}")
    except OSError as error:
        reason = error.strerror or str(error)
        found.problem("damaged", f"it cannot be read ({reason})", f"check its permissions: {fix}")
    return b""


def _what_else(path: Path, head: bytes) -> tuple[str, str]:
    """What the file is instead of an artifact, and the way on."""
    quoted, start = shlex.quote(str(path)), head.lstrip().lower()
    if not head:
        return "it is empty", "copy or build it again: edaformer-build MODEL.onnx"
    if head.startswith(b"version https://git-lfs"):
        return "it is a Git LFS pointer, not the file itself", f"git lfs pull --include {quoted}"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page, probably a failed download", "download the file itself"
    if head.startswith((b"PK\x03\x04", b"\x80")) or head[8:9] == b"{":
        return "it is a checkpoint or an archive", f"edaformer-export {quoted}"
    return (
        f"it is neither a TensorRT plan nor an ONNX model (it begins with {head[:8].hex(' ')})",
        "edaformer-export CHECKPOINT -o MODEL.onnx, then edaformer-build MODEL.onnx",
    )


def _check_onnx(found: Findings) -> Manifest | None:
    path = found.path
    file = _attempt(found, lambda: read_onnx(path), "edaformer-export CHECKPOINT")
    if file is None:
        return None
    known = file.manifest
    found.facts += [("artifact", f"ONNX, {_size(path)}"), *_model_facts(known)]
    found.facts += [("graph", file.state), ("witness", witness_state(path, known))]
    if file.changed is not None or known.graph_sha256 is None:
        found.notes.append(f"the graph is {file.state}; --run asks the witness frames")
    if path.suffix in _PLAN_SUFFIXES:
        found.problem(
            "damaged",
            f"it is an ONNX model under the name of a plan ({path.suffix})",
            f"mv {shlex.quote(str(path))} MODEL.onnx && edaformer-build MODEL.onnx",
        )
    _check_onnxruntime(found)
    return known


def _check_onnxruntime(found: Findings) -> None:
    if _has(found, "onnxruntime", "export"):
        version = version_of("onnxruntime-gpu") or version_of("onnxruntime")
        found.facts.append(("ONNX Runtime", version or "installed, version unknown"))


def _has(found: Findings, module: str, extra: str) -> bool:
    """It is imported: an empty folder that it left behind can be found, and runs nothing."""
    try:
        require(module, extra)
    except MissingError as error:
        what, _, fix = str(error).partition("; ")
        found.problem("missing", what, fix.removeprefix("run: "))
        return False
    return True


def _check_plan(found: Findings, here: Here) -> Manifest | None:
    path = found.path
    data = path.read_bytes()
    again = f"copy it again, or build it: {_rebuild(path, None, None)}"
    header = _attempt(found, lambda: read_header(data, str(path)), again)
    if header is None:
        return None
    flavour, version = header
    found.facts.append(("plan", f"{flavour} {version}, {_size(path)}"))
    if _is_cut(found, flavour, data, again) or _sidecar_contradicts(found, data):
        return None
    embedded = _attempt(found, lambda: find_in_plan(data, str(path)), again)
    if found.problems:
        return None
    known = _attempt(found, lambda: read_plan(path).manifest, _restore(path))
    if found.problems:
        return None
    if known is None:
        found.problem("damaged", "it holds no edaformer-deploy manifest", again)
        return None
    if embedded is None:
        found.problem("damaged", "its manifest is only in the sidecar, not in the plan", again)
    found.facts += [*_model_facts(known), ("witness", witness_state(path, known))]
    _check_sidecar_there(found)
    _check_machine(found, here, flavour)
    _check_packages(found, here)
    _check_version(found, here, (flavour, version), known)
    _check_target(found, here, flavour, known)
    return known


def _is_cut(found: Findings, flavour: Flavour, data: bytes, again: str) -> bool:
    length = int.from_bytes(data[_LENGTH_AT : _LENGTH_AT + 8], "little")
    if flavour != "tensorrt-rtx" or length == len(data):
        return False
    what = "is cut short" if length > len(data) else "has been changed"
    found.problem(
        "damaged", f"the plan {what}: its header says {length} bytes, it has {len(data)}", again
    )
    return True


def _sidecar_contradicts(found: Findings, data: bytes) -> bool:
    """Whether the sidecar can be read and is about other bytes; says which way they differ."""
    path, sidecar = found.path, sidecar_path(found.path)
    if not sidecar.is_file():
        return False
    try:
        record = parse_manifest(sidecar.read_text("utf-8", errors="replace"), str(sidecar)).engine
    except (EdaformerError, OSError) as error:
        found.problem("damaged", _without_fix(error), _restore(path))
        return True
    if record is None:
        found.problem("damaged", f"{sidecar} is no plan's sidecar", _restore(path))
        return True
    digest = hashlib.sha256(data).hexdigest()
    if record.plan_sha256 == digest:
        return False
    how = "the plan was changed, or the sidecar belongs to another"
    if record.plan_bytes != len(data):
        how = f"it names {record.plan_bytes} bytes, the plan has {len(data)}"
    found.problem(
        "damaged",
        f"{sidecar.name} names SHA-256 {record.plan_sha256[:12]}... and the plan has "
        f"{digest[:12]}...: {how}",
        _restore(path),
    )
    return True


def _check_sidecar_there(found: Findings) -> None:
    if sidecar_path(found.path).is_file():
        found.facts.append(("sidecar", "matches the plan, byte for byte (SHA-256)"))
        return
    name = sidecar_path(found.path).name
    found.facts.append(("sidecar", f"missing ({name})"))
    found.notes.append(f"without {name} nothing says what the plan's bytes should be")


def _check_machine(found: Findings, here: Here, flavour: Flavour) -> None:
    gpu, jetson = here.gpu, here.jetson
    if jetson is not None:
        found.facts.append(("Jetson", f"L4T {jetson.l4t}, JetPack {jetson.jetpack or 'unknown'}, "
                                      f"TensorRT {jetson.tensorrt or 'unknown'}"))  # fmt: skip
    if gpu is None:
        found.facts.append(("GPU", "none visible"))
        found.problem(
            "missing",
            "no NVIDIA GPU is visible (libcuda.so.1 is absent or shows no device)",
            f"nvidia-smi must list one; without a GPU give {found.asked_by} {_onnx(found.path)}",
        )
        return
    cuda = ".".join(map(str, gpu.cuda_version))
    kind = "integrated" if gpu.integrated else "discrete"
    capability, memory = gpu.compute_capability, f"{gpu.memory_bytes / 2**30:.1f} GiB"
    found.facts += [
        ("GPU", f"{gpu.name}, compute capability {capability}, {kind}, {memory}"),
        ("driver", f"serves CUDA up to {cuda}"),
    ]
    if flavour == "tensorrt-rtx" and (jetson is not None or gpu.integrated):
        found.problem(
            "foreign",
            "TensorRT-RTX has no target for a Jetson's GPU",
            _rebuild(found.path, None, "tensorrt"),
        )


def _check_packages(found: Findings, here: Here) -> None:
    """What edaformer.engines.runtime imports; without a driver a package alone can be asked for."""
    names = _RUNTIME if here.gpu is not None else (n.removesuffix(".driver") for n in _RUNTIME)
    for name in names:
        if not _has(found, name, "cuda"):
            return  # one line installs all of them


def _check_version(
    found: Findings, here: Here, built: tuple[Flavour, str], known: Manifest
) -> None:
    flavour, version = built
    installed = installed_version(flavour)
    if installed is None:
        found.facts.append((flavour, "not installed"))
        found.problem("missing", *backend.missing(flavour))
        return
    if installed.version is None:
        found.facts.append((flavour, "installed, version unknown"))
        found.notes.append(f"the installed {flavour} has no metadata: its version is unchecked")
        return
    own = _full_version(installed.version, here.jetson)
    found.facts.append((flavour, own))
    if not _same_version(own, version):
        found.problem(
            "foreign",
            f"it was built by {flavour} {version} and {own} is installed; a plan runs on the "
            "version that built it",
            _rebuild(found.path, known.onnx_sha256, flavour),
        )
    _check_driver(found, here.gpu, installed)


def _check_driver(found: Findings, gpu: Gpu | None, installed: Installed) -> None:
    major = installed.cuda_major
    if gpu is not None and major is not None and gpu.cuda_version[0] < major:
        base = str(installed.distribution).partition(f"-cu{major}")[0]
        older = f"{base}-cu{gpu.cuda_version[0]}"
        cuda = ".".join(map(str, gpu.cuda_version))
        found.problem(
            "missing",
            f"{installed.distribution} needs a driver for CUDA {major}, and this one serves {cuda}",
            f"update the driver, or: pip install {older}=={installed.version}",
        )


def _check_target(found: Findings, here: Here, flavour: Flavour, known: Manifest) -> None:
    if here.gpu is not None and not _runs_eight_bits(here.gpu, known):
        found.problem(
            "foreign",
            f"it computes in FP8, which runs on compute capability {FP8_FROM} and later, and this "
            f"GPU has {here.gpu.compute_capability}",
            f"edaformer-export CHECKPOINT --precision fp16 --isr {shlex.quote(known.isr)}",
        )
    if here.gpu is None or known.engine is None:
        return
    targets, own = known.engine.compute_capabilities, here.gpu.compute_capability
    found.facts.append(("built for", ", ".join(targets) or "the builder's default"))
    if targets and own not in targets:
        option = f" --compute-capability {own}" if flavour == "tensorrt-rtx" else ""
        found.problem(
            "foreign",
            f"it was built for compute capability {', '.join(targets)} and this GPU has {own}",
            _rebuild(found.path, known.onnx_sha256, flavour) + option,
        )
    elif not targets:
        found.notes.append(
            f"the plan does not name its targets: only {flavour} can say whether {own} is one"
        )


def _runs_eight_bits(gpu: Gpu, known: Manifest) -> bool:
    return known.precision != "fp8" or runs_fp8(gpu.compute_capability)


def _attempt(found: Findings, read: Callable[[], T], fix: str) -> T | None:
    """What ``read`` returns; what it raises becomes a problem."""
    try:
        return read()
    except (EdaformerError, OSError) as error:
        found.problem("damaged", _without_fix(error), fix)
        return None


def _without_fix(error: Exception) -> str:
    """An error's sentence up to its own advice, for which a problem has a field."""
    return str(error).partition("; ")[0]


def _model_facts(known: Manifest) -> list[tuple[str, str]]:
    return [
        ("model", f"{known.title}, {known.num_classes} classes, ISR {known.isr}"),
        ("input", f"{known.input.name} {known.input.dtype} {format_size(known.size)}"),
        ("precision", known.precision if known.precision != "fp8" else
         f"fp8, for compute capability {FP8_FROM} and later"),
    ]  # fmt: skip


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


def _full_version(installed: str, jetson: Jetson | None) -> str:
    """JetPack's bindings say 10.3.0 where its library package says 10.3.0.30."""
    whole = jetson.tensorrt if jetson is not None else None
    return whole if whole is not None and whole.startswith(f"{installed}.") else installed


def _same_version(installed: str, built: str) -> bool:
    """Equal in all parts that both have; post releases (10.3.0.post1) are packaging."""
    own = [part for part in installed.split(".") if part.isdigit()]
    parts = list(zip(own, built.split("."), strict=False))
    return bool(parts) and all(int(mine) == int(its) for mine, its in parts)


def _restore(path: Path) -> str:
    sidecar = shlex.quote(str(sidecar_path(path)))
    return f"copy plan and sidecar again, both, or do without the sidecar: rm {sidecar}"


def _onnx(plan: Path) -> str:
    """The ONNX file beside a plan, quoted; where there is none, what stands for it."""
    onnx = plan.with_suffix(".onnx")
    return shlex.quote(str(onnx)) if onnx.is_file() else "MODEL.onnx"


def _rebuild(path: Path, onnx_sha256: str | None, flavour: Flavour | None) -> str:
    """The build command; it names the ONNX file where the plan's own lies beside it."""
    onnx = path.with_suffix(".onnx")
    own = onnx_sha256 is not None and onnx.is_file() and sha256(onnx) == onnx_sha256
    model = str(onnx) if own else "MODEL.onnx"
    option = [] if flavour is None else ["--backend", flavour]
    return shlex.join(["edaformer-build", model, "-o", str(path), *option])
