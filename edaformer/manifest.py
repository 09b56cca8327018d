"""The manifest: what was made, from what, how, and how well it agreed.

Made at export and stored in the ONNX metadata. A plan carries the part an application needs as the
network's name, where TensorRT keeps any string of at most 4095 bytes, so the plan stays a plain
plan that every loader accepts; the whole manifest lies beside it as ``<plan>.json``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from edaformer.errors import InputError, ManifestError
from edaformer.families.adapted import Adapted
from edaformer.families.given import Given
from edaformer.families.identity import Hub
from edaformer.families.table import RecordedSizes, recorded
from edaformer.isr import EDAFORMER, ISR, Places
from edaformer.json_text import parse_json
from edaformer.preprocess import (
    ALIGN,
    LOGITS_STRIDE,
    MAX_SIDE,
    Normalisation,
    Resize,
    aligned,
    format_size,
)

if TYPE_CHECKING:
    from edaformer.families.architecture import Architecture

SCHEMA = 1
ONNX_KEY = "edaformer.manifest"  # in the ONNX model's metadata_props
MARKER = "edaformer-deploy:1:"  # opens the network's name; then 4 digits of length, ":" and JSON
NAME_LIMIT = 4095  # bytes, NvInfer.h: INetworkDefinition::setName
_NAMES_PLAIN = 1500  # bytes of class names above which they are compressed
_NAMES_MAX = 1 << 16  # bytes they may inflate to: the name comes from an untrusted file
_SHA256 = Field(pattern="^[0-9a-f]{64}$")
# what is left out where it is usual: as older versions wrote it
_USUAL: dict[str, object] = {
    "sizes": None, "witness_sha256": None, "attention": "fused", "graph_sha256": None, "ties": None,
    "seal": None, "channels": "RGB", "adapted": None, "hub": None, "quantised": None,
}  # fmt: skip
AttentionForm = Literal["fused", "unfused"]  # what the graph is written for; the proof demands it
Precision = Literal["fp16", "fp32", "int8", "fp8"]
EIGHT_BITS = frozenset({"int8", "fp8"})  # of the parts that say so, the rest in half
ONLY_IN_SIDECAR = {
    "palette", "rewrites", "kept_fp32", "verification", "engine", "graph_sha256", "seal",
    "quantised",
}  # fmt: skip


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputSpec(_Record):
    """The one input.

    ``image`` and ``planar`` hold 0..255 and are normalised and padded in the graph, the one uint8
    (N, H, W, 3), the other float32 (N, 3, H, W); for ``tensor`` the caller normalises, and nothing
    is padded.
    """

    name: Literal["image", "tensor", "planar"]
    layout: Literal["NHWC", "NCHW"]
    dtype: Literal["uint8", "float32"]
    batch: int | None = Field(default=None, ge=1)  # None: dynamic
    height: int = Field(
        ge=1
    )  # valid size, in pixels; of a dynamic size, the one it was verified at
    width: int = Field(ge=1)
    dynamic_size: bool = False  # any multiple of 32 within the plan's bounds; the caller pads
    colour: Literal["RGB"] = "RGB"
    mean: tuple[float, float, float]  # on the 0..255 scale
    std: tuple[float, float, float]
    align: int | None = Field(
        default=None, ge=1
    )  # padded right and bottom to multiples of it, in the graph
    padded_height: int = Field(ge=1)
    padded_width: int = Field(ge=1)
    fill: Literal["zero after normalisation"] = "zero after normalisation"
    # how frames of another size are made ready; not recorded before there were two ways
    resize: Resize = "opencv-bilinear"

    @property
    def normalisation(self) -> Normalisation:
        """Mean and deviation, as a value."""
        return Normalisation(self.mean, self.std)

    @property
    def alignment(self) -> int | None:
        """What both sides are padded to multiples of: in the graph, or by whoever feeds it."""
        return ALIGN if self.dynamic_size else self.align

    def ran_at(self, size: tuple[int, int]) -> tuple[int, int]:
        """The padded (H, W) that an image of ``size`` is run at.

        Raises:
            InputError: if the size is fixed, and another.
        """
        if self.dynamic_size:
            return aligned(size, ALIGN)
        own = (self.height, self.width)
        if size != own:
            got = format_size(size)
            raise InputError(
                f"the images are {got} and the artifact takes {format_size(own)}; export it with "
                f"--size {got}"
            )
        return self.padded_height, self.padded_width

    def fed_at(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (H, W) of the input for an image of ``size``: a fixed one is padded in the graph.

        Raises:
            InputError: if the size is fixed, and another.
        """
        padded = self.ran_at(size)
        return padded if self.dynamic_size else size


class OutputSpec(_Record):
    """An output.

    ``labels`` uint8 and ``probabilities`` float32 at the valid size, ``logits`` float32 at
    1/stride.
    """

    name: Literal["labels", "logits", "probabilities"]
    layout: Literal["NHW", "NCHW"]
    dtype: Literal["uint8", "float32"]
    height: int = Field(ge=1)
    width: int = Field(ge=1)


class KeptFP32(_Record):
    """Nodes that compute in FP32 in an FP16 graph, and the reason."""

    reason: str
    why: str
    modules: tuple[str, ...]


class LeftInHalf(_Record):
    """Nodes of the parts asked for that stay in half precision, and the reason."""

    reason: str
    why: str
    nodes: tuple[str, ...]


class CalibrationImage(_Record):
    """An image that ranges were measured on."""

    name: str
    sha256: str = _SHA256  # of its pixels


class WeightScales(_Record):
    """The scales of a weight; the graph holds each, as ``<weight>.scale``."""

    channels: int
    least: float
    largest: float


class Quantised(_Record):
    """What computes in eight bits, and what that was decided on."""

    parts: tuple[str, ...]  # as asked for
    nodes: tuple[str, ...]
    left_out: tuple[LeftInHalf, ...]
    method: str  # from images to ranges
    source: str
    images: tuple[CalibrationImage, ...]
    activations: dict[str, float]  # what a step is worth, by tensor
    weights: dict[str, WeightScales]


class Verification(_Record):
    """How the exported graph compares with PyTorch float32, at export."""

    images: int
    source: str
    rounding_emulated: bool
    max_logit_error: float
    mean_logit_error: float
    cosine: float
    label_agreement: float  # fraction of all pixels
    label_agreement_decided: float  # of pixels whose top-2 margin exceeds twice the largest error
    # on max_logit_error; None: eight bits are judged by their labels
    tolerance: float | None = None
    tolerance_rule: str
    label_agreement_worst: float | None = None  # of the worst image; where labels are judged
    label_miou: float | None = None  # points, PyTorch's labels being the truth; likewise

    @model_serializer(mode="wrap")
    def _without_what_is_usual(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As it was written before there were eight bits."""
        content: dict[str, Any] = dump(self)
        return {name: value for name, value in content.items() if value is not None}


class Ties(_Record):
    """Margins between a pixel's two best logits, below which rounding may decide."""

    fp16: float = Field(ge=0)
    fp32: float = Field(ge=0)


class Kernel(_Record):
    """One call site of a built engine, in the builder's words."""

    name: str  # without the numbers that change from build to build
    kind: str  # attention, matmul, convolution, pooling, normalisation, pointwise, padding, copy
    types: tuple[str, ...]  # of its outputs: Half, Float, Int32, UInt8 ...
    nodes: tuple[str, ...]  # ONNX nodes it computes
    traffic_bytes: int | None  # of what it reads and writes, weights included; None: dynamic


class Proof(_Record):
    """What the builder says it built; None is what it does not say."""

    source: Literal["builder log", "engine inspector"]
    attention_blocks: tuple[str, ...]  # every one of the model
    attention_unfused: tuple[str, ...] | None  # those without a fused kernel
    kernels: tuple[Kernel, ...]
    scratch_bytes: int | None
    activation_bytes: int | None
    weights_bytes: int | None


class Bounds(_Record):
    """An optimisation profile's input sizes, each (batch, height, width)."""

    least: tuple[int, int, int]
    best: tuple[int, int, int]
    most: tuple[int, int, int]


class EngineRecord(_Record):
    """How a plan was built."""

    flavour: Literal["tensorrt", "tensorrt-rtx"]
    version: str
    compute_capabilities: tuple[str, ...]  # empty: the builder's default, or this machine's GPU
    flags: tuple[str, ...]
    workspace_bytes: int | None
    warnings: tuple[str, ...]
    plan_sha256: str = _SHA256
    plan_bytes: int
    bounds: Bounds | None = None  # of a dynamic batch or size
    gpu: str | None = None  # that classic TensorRT built on, and for
    proof: Proof | None = None


class Manifest(_Record):
    """Everything recorded about an artifact; None where a plan alone does not say."""

    schema_version: Literal[1] = 1
    tool_version: str
    variant: str
    # the order it was trained in; BGR is turned round in its first convolution: the input is RGB
    channels: Literal["RGB", "BGR"] = "RGB"
    # None: an EDAFormer, whose variant says them
    sizes: Annotated[RecordedSizes, Field(discriminator="family")] | None = None
    isr: str
    num_classes: int = Field(ge=1, le=256)
    ignore_label: int
    checkpoint_sha256: str = _SHA256
    adapted: Adapted | None = None  # how the checkpoint came about, where it was adapted to an ISR
    hub: Hub | None = None  # where the checkpoint was fetched from, if it was
    onnx_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    precision: Precision
    attention: AttentionForm = "fused"
    opset: int
    input: InputSpec
    outputs: tuple[OutputSpec, ...] = Field(min_length=1)
    logits_stride: int
    classes: tuple[str, ...] | None = None
    palette: tuple[tuple[int, int, int], ...] | None = None
    rewrites: tuple[str, ...] | None = None
    kept_fp32: tuple[KeptFP32, ...] | None = None
    quantised: Quantised | None = None  # of int8 and fp8; a plan alone does not say
    verification: Verification | None = None
    witness_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")  # of the file beside
    graph_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")  # export/scan.py's
    ties: Ties | None = None
    engine: EngineRecord | None = None
    seal: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")  # of a sidecar: see sealed

    @model_serializer(mode="wrap")
    def _without_what_is_usual(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As it was written before there was a choice."""
        content: dict[str, Any] = dump(self)
        for name, usual in _USUAL.items():
            if getattr(self, name) == usual:
                content.pop(name, None)
        return content

    @property
    def architecture(self) -> Architecture:
        """The model's sizes.

        Raises:
            InputError: for a variant that this version does not know.
        """
        return recorded(self.variant, self.sizes)

    @property
    def given(self) -> Given:
        """What the checkpoint was taken for at export, for whoever loads it to compare."""
        own = self.input
        bgr = self.channels == "BGR"
        return Given(
            own.mean, own.std, bgr, self.classes, origin="the artifact's record", sizes=self.sizes
        )

    @property
    def came_from(self) -> str:
        """The checkpoint that it was exported from, for a sentence."""
        digest = f"SHA-256 {self.checkpoint_sha256[:12]}..."
        return digest if self.hub is None else f"{self.hub.pinned}, {digest}"

    @property
    def title(self) -> str:
        """The model as people call it: ``EDAFormer-T``."""
        return self.sizes.title if self.sizes else f"EDAFormer-{self.variant}"

    @property
    def places(self) -> Places:
        """Where the model pools, and the ratios it was trained at."""
        return self.sizes.places if self.sizes else EDAFORMER

    @property
    def half(self) -> bool:
        """Whether whatever is not of eight bits computes in half precision."""
        return self.precision != "fp32"

    @property
    def eight_bits(self) -> bool:
        """Whether parts compute in eight bits, so that labels may differ from PyTorch's."""
        return self.precision in EIGHT_BITS

    @property
    def tie(self) -> float | None:
        """The margin below which a flipped label is a rounding tie; None: it is not recorded."""
        if self.ties is not None:
            return self.ties.fp16 if self.half else self.ties.fp32
        return None if self.verification is None else self.verification.tolerance

    @property
    def isr_value(self) -> ISR:
        """The ISR, as a value."""
        return ISR.parse(self.isr, self.places)

    @property
    def size(self) -> tuple[int, int]:
        """Valid input size (H, W), in pixels."""
        return self.input.height, self.input.width

    def to_json(self) -> str:
        """Indented JSON."""
        return self.model_dump_json(indent=1)

    def sealed(self) -> Manifest:
        """With the SHA-256 of all the rest, by which a changed sidecar is known."""
        plain = self.model_copy(update={"seal": None})
        digest = hashlib.sha256(plain.model_dump_json().encode()).hexdigest()
        return plain.model_copy(update={"seal": digest})


@dataclass(frozen=True)
class Written:
    """A file that was written with its manifest: what export and build return."""

    path: Path
    sha256: str
    seconds: float
    manifest: Manifest

    def to_json(self) -> dict[str, Any]:
        """Path, hash, seconds and manifest."""
        return {
            "path": str(self.path),
            "sha256": self.sha256,
            "seconds": round(self.seconds, 3),
            "manifest": self.manifest.model_dump(mode="json"),
        }


def parse_manifest(text: str, origin: str) -> Manifest:
    """Read a whole manifest; ``origin`` names the file in errors.

    Raises:
        ManifestError: if it is damaged or of another schema.
    """
    return _validate(_load_json(text, origin), origin)


def network_name(manifest: Manifest) -> str:
    """The part of the manifest that travels inside the plan, ready to be the network's name."""
    content = manifest.model_dump(mode="json", exclude=ONLY_IN_SIDECAR, exclude_none=True)
    names = content.pop("classes", None)
    if names is not None:
        content |= _pack_names(names)
    body = json.dumps(content, separators=(",", ":"), ensure_ascii=True)
    name = f"{MARKER}{len(body):04d}:{body}"
    if len(name) > NAME_LIMIT:
        raise ManifestError(
            f"the class names are too long to travel in the plan "
            f"({len(name)} of {NAME_LIMIT} bytes); "
            "shorten them in the checkpoint's meta"
        )
    return name


def parse_network_name(name: str, origin: str) -> Manifest:
    """Read what network_name wrote.

    Raises:
        ManifestError: if the length does not fit or the content is damaged.
    """
    match = re.match(re.escape(MARKER) + r"([0-9]{4}):", name)
    if match is None or len(name) < match.end() + int(match[1]):
        raise ManifestError(
            f"the manifest in {origin} is cut short or damaged; build the plan again"
        )
    content = _load_json(name[match.end() : match.end() + int(match[1])], origin)
    if "classes_z" in content:
        content["classes"] = _unpack_names(content.pop("classes_z"), origin)
    return _validate(content, origin)


def find_in_plan(plan: bytes, origin: str) -> Manifest | None:
    """The manifest inside a plan's bytes, or None where there is none.

    Raises:
        ManifestError: if it is damaged, or there is more than one.
    """
    marker = MARKER.encode()
    at = plan.find(marker)
    if at < 0:
        return None
    if plan.find(marker, at + 1) >= 0:
        raise ManifestError(
            f"{origin} holds two manifests; it is not a plan as built: build it again"
        )
    text = plan[at : at + NAME_LIMIT].split(b"\0", 1)[0]
    return parse_network_name(text.decode("ascii", errors="replace"), origin)


def _pack_names(names: list[str]) -> dict[str, Any]:
    plain = json.dumps(names, ensure_ascii=True)
    if len(plain) <= _NAMES_PLAIN:
        return {"classes": names}
    try:
        text = "\n".join(names).encode()
    except UnicodeEncodeError as error:
        raise ManifestError("a class name is no Unicode text; rename it") from error
    if len(text) > _NAMES_MAX or any("\n" in name for name in names):
        raise ManifestError(
            f"class names of {len(text)} bytes, or with line breaks in them, cannot travel in a "
            f"plan (at most {_NAMES_MAX}); shorten them in the checkpoint's meta"
        )
    return {"classes_z": base64.b64encode(zlib.compress(text, 9)).decode("ascii")}


def _unpack_names(text: object, origin: str) -> list[str]:
    try:
        packed = base64.b64decode(str(text), validate=True)
        inflater = zlib.decompressobj()
        names = inflater.decompress(packed, _NAMES_MAX).decode()
    except (binascii.Error, zlib.error, UnicodeDecodeError) as error:
        raise ManifestError(
            f"the class names in {origin} are damaged; build the plan again"
        ) from error
    return names.split("\n")


def _load_json(text: str, origin: str) -> dict[str, Any]:
    try:
        content = parse_json(text)
    except ValueError as error:
        raise ManifestError(
            f"the manifest in {origin} cannot be read: {error}; make the artifact again"
        ) from error
    if not isinstance(content, dict):
        raise ManifestError(f"the manifest in {origin} is no JSON object; make the artifact again")
    schema = content.get("schema_version")
    if schema != SCHEMA:
        raise ManifestError(
            f"{origin} has manifest schema {schema}, this version reads {SCHEMA}; "
            "use the edaformer-deploy version that made it"
        )
    return content


def _validate(content: dict[str, Any], origin: str) -> Manifest:
    try:
        manifest = Manifest.model_validate(content)
        ISR.parse(manifest.isr, manifest.places)
        _check_itself(manifest, origin)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ManifestError(
            f"the manifest in {origin} is damaged: {where}: {first['msg']}; make the artifact again"
        ) from error
    return manifest


def _check_itself(manifest: Manifest, origin: str) -> None:
    """What no export writes, and what would be believed.

    Raises:
        ManifestError: naming what contradicts what.
    """
    spec, classes = manifest.input, manifest.classes
    usual = ("NHWC", "uint8") if spec.name == "image" else ("NCHW", "float32")
    valid, padded = (spec.height, spec.width), (spec.padded_height, spec.padded_width)
    stride = manifest.logits_stride
    sizes = {
        "labels": valid,
        "probabilities": valid,
        "logits": (-(-padded[0] // max(stride, 1)), -(-padded[1] // max(stride, 1))),
    }
    wrong = {
        f"{len(classes or ())} class names for {manifest.num_classes} classes":
            classes is not None and len(classes) != manifest.num_classes,
        f"input {spec.name} as {spec.layout} {spec.dtype}": (spec.layout, spec.dtype) != usual,
        f"sides above {MAX_SIDE}": max(padded) > MAX_SIDE + ALIGN or max(valid) > MAX_SIDE,
        f"{format_size(valid)} padded to {format_size(padded)}":
            not spec.dynamic_size and spec.align is not None
            and padded != aligned(valid, spec.align),
        "a deviation that is not above 0": min(spec.std) <= 0,
        f"a logit for {stride} pixels":
            stride != (manifest.sizes.logits_stride if manifest.sizes else LOGITS_STRIDE),
        "an output named twice": len({one.name for one in manifest.outputs})
            != len(manifest.outputs),
        "an output of another size than its input": not spec.dynamic_size and any(
            (one.height, one.width) != sizes[one.name] for one in manifest.outputs),
    }  # fmt: skip
    for what, is_so in wrong.items():
        if is_so:
            raise ManifestError(
                f"the manifest in {origin} contradicts itself: {what}; make the artifact again"
            )
