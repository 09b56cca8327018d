"""Read an ONNX file without the onnx package, which no device needs to have.

The manifest speaks of the graph that the exporter verified, and holds its hash. Where the file's
graph is another, the verification is void and the precision is what the graph's types say.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edaformer.errors import InputError, ManifestError
from edaformer.export.scan import FLOAT, FLOAT16, UINT8, Port, Scan, scan
from edaformer.files import is_checkpoint
from edaformer.manifest import (
    ONNX_KEY,
    InputSpec,
    Manifest,
    OutputSpec,
    Precision,
    parse_manifest,
)

_PRODUCER = "edaformer-deploy"
_MARKS = ("onnxsim", "onnxslim", "onnxconverter_common")  # open the metadata keys they leave
_Told = tuple[str, InputSpec | OutputSpec, tuple[int | None, ...]]  # input or output, its shape
_TYPES = {"uint8": {UINT8}, "float32": {FLOAT}}


@dataclass(frozen=True)
class OnnxFile:
    """An export as its file has it now."""

    manifest: Manifest  # of what lies there: of a changed graph without verification
    scan: Scan
    changed: str | None  # how the graph differs from the one exported, in words

    @property
    def state(self) -> str:
        """Whether the graph is the one that was verified, for people."""
        if self.changed is not None:
            return f"{self.changed}: its verification is void"
        if self.manifest.graph_sha256 is None:
            return "older, unsealed: nothing says whether it was changed after export"
        return "as exported (hash of nodes, types and weights)"


def read_onnx(path: Path) -> OnnxFile:
    """Read an ONNX file that this tool exported; all of it, 0.1 s of 10 MB.

    Raises:
        InputError: if it is no ONNX file, or one whose weights lie elsewhere.
        ManifestError: if it holds no manifest, or one that is damaged or of another graph.
    """
    if not path.is_file():
        raise InputError(f"expected an ONNX file at {path}, found nothing there; check the path")
    stat = path.stat()
    return _read(path, stat.st_ino, stat.st_mtime_ns, stat.st_size)


def read_onnx_manifest(path: Path) -> Manifest:
    """The manifest of an ONNX file; see read_onnx."""
    return read_onnx(path).manifest


@lru_cache(maxsize=4)
def _read(path: Path, *_unchanged: int) -> OnnxFile:
    found = _scan(path)
    text = found.metadata.get(ONNX_KEY)
    if text is None:
        raise ManifestError(
            f"{path} holds no edaformer-deploy manifest, so its ISR and input are unknown; "
            "export it with edaformer-export"
        )
    if found.external:
        raise InputError(
            f"{path} keeps weights in other files, which edaformer-export never does and which "
            "could lead anywhere; export it again"
        )
    manifest = parse_manifest(text, str(path))
    changed = None
    if manifest.graph_sha256 not in {None, found.sha256}:
        changed = _change(manifest, found)
        manifest = manifest.model_copy(
            update={"verification": None, "precision": _precision(manifest, found)}
        )
    exact = changed is None and manifest.graph_sha256 is not None
    _check_ports(path, manifest, found, exact=exact)
    return OnnxFile(manifest, found, changed)


def _precision(manifest: Manifest, found: Scan) -> Precision:
    """What a changed graph's types say."""
    if manifest.eight_bits and found.eight_bits:
        return manifest.precision
    return "fp16" if found.half else "fp32"


def _scan(path: Path) -> Scan:
    if is_checkpoint(path):
        raise InputError(
            f"{path} is a checkpoint, no artifact; export it: "
            f"edaformer-export {shlex.quote(str(path))}"
        )
    try:
        return scan(path.read_bytes())
    except (ValueError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{path} is not an ONNX model, or it is damaged ({error}); export it again"
        ) from error


def _change(manifest: Manifest, found: Scan) -> str:
    """Changed, by whom, and into what, as far as the file tells."""
    marks = [mark for mark in _MARKS if any(key.startswith(mark) for key in found.metadata)]
    if not found.producer.startswith(_PRODUCER):
        marks.append(found.producer or "a tool that gives no name")
    parts = [f"changed after export{' by ' if marks else ''}{' and '.join(marks)}"]
    if found.half and manifest.precision == "fp32":
        parts.append("turned to half precision by a converter")
    if found.domains:
        parts.append(f"operators of {', '.join(found.domains)}")
    return ", ".join(parts)


def _check_ports(path: Path, manifest: Manifest, found: Scan, *, exact: bool) -> None:
    """A manifest that describes another graph than its own would be believed everywhere.

    Raises:
        ManifestError: naming what differs.
    """
    spec = manifest.input
    sides = (None, None) if spec.dynamic_size else (spec.height, spec.width)
    wanted: list[_Told] = [("input", spec, (3, *sides) if spec.layout == "NCHW" else (*sides, 3))]
    told: list[_Told] = [("output", one, _shape(one, manifest)) for one in manifest.outputs]
    for ports, expected in ((found.inputs, wanted), (found.outputs, told)):
        named = {port.name: port for port in ports}
        names = {one.name for _, one, _ in expected}
        # more outputs than it names do no harm, and bisection asks for them
        if not names <= set(named) or (expected is wanted and names != set(named)):
            raise _other(path, f"{expected[0][0]}s {', '.join(named) or 'none'}", expected)
        for what, one, shape in expected:
            port, types = named[one.name], _TYPES[one.dtype]
            if not exact and one.dtype == "float32":  # a converter may have made it half
                types = types | {FLOAT16}
            full = (spec.batch, *shape)
            if port.type not in types or not _fits(port.shape, full):
                raise _other(path, f"{what} {one.name} of type {port.type} {_sides(port)}", [
                    (what, one, full)])  # fmt: skip


def _shape(one: OutputSpec, manifest: Manifest) -> tuple[int | None, ...]:
    size = (None, None) if manifest.input.dynamic_size else (one.height, one.width)
    return size if one.name == "labels" else (manifest.num_classes, *size)


def _fits(own: tuple[int | None, ...], told: tuple[int | None, ...]) -> bool:
    """Equal where both say a number; a graph that says none is dynamic, or says nothing."""
    if not own:
        return True
    pairs = zip(own, told, strict=False)
    return len(own) == len(told) and all(None in pair or pair[0] == pair[1] for pair in pairs)


def _sides(port: Port) -> str:
    return "x".join("?" if side is None else str(side) for side in port.shape)


def _other(path: Path, own: str, told: list[_Told]) -> ManifestError:
    texts = (
        f"{what} {one.name} {one.dtype} {'x'.join('?' if s is None else str(s) for s in shape)}"
        for what, one, shape in told
    )
    return ManifestError(
        f"the manifest in {path} is another graph's: it names {', '.join(texts)}, and the graph "
        f"has {own}; export the model again"
    )
