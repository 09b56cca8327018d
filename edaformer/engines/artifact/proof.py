"""What a built engine consists of, from TensorRT's own record: the proof that it is what was asked.

TensorRT-RTX, built with DETAILED profiling verbosity, logs one verbose message "Layers:" with every
call site: layer type, tensors with their types, the ONNX nodes it computes. Classic TensorRT tells
the same through IEngineInspector (JSON; `Format/Datatype` in one field up to 10.x, split in 11.x).
Myelin's kernels spell what they compute in their names, four letters an operation:
``__myl_AddReluSlicTran`` adds, applies ReLU, slices and transposes.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from edaformer.manifest import Kernel, Manifest, Proof

if TYPE_CHECKING:
    from edaformer.families.architecture import Architecture

_LINE = re.compile(
    r"Name: (?P<name>.*?), LayerType: (?P<layer>.*?), Inputs: \[(?P<inputs>.*?)\], "
    r"Constants: \[(?P<constants>.*?)\], Outputs: \[(?P<outputs>.*?)\], TacticName: .*?, "
    r"StreamId: \d+(?:, EventId: \d+)?, Metadata: (?P<metadata>.*)"
)
_TENSOR = re.compile(r"Dimensions: \[([-\d,]*)\].*?Datatype: (\w+)")
_NODE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
_NUMBERS = re.compile(r"(_U\d+)?_myl\d+_\d+$|_0x[0-9a-f]+")
_WORD = re.compile(r"[A-Z][a-z]+")
_ATTENTION = re.compile(r"((?:encoder|decoder)\..*?\.attention)\.attend")
_PRODUCT = re.compile(r"\.attend/MatMul(_1)?$")
_MEMORY = re.compile(
    r"(Max Scratch|Total Scratch|Total Activation|Total Weights) Memory: (\d+) bytes"
)
_NO_KERNELS = {"signal", "wait"}  # events between streams
_SIZES = {"Half": 2, "BFloat16": 2, "Float": 4, "Int32": 4, "Int64": 8}  # bytes; others have one
_INSPECTOR_TYPES = {"fp8": "FP8", "fp16": "Half", "half": "Half", "bf16": "BFloat16",
                    "fp32": "Float", "float": "Float", "uint8": "UInt8", "int8": "Int8",
                    "int32": "Int32", "int64": "Int64",
                    "bool": "Bool"}  # fmt: skip  # the first that is part of it
PADDING_WORDS = {"Slic", "Conc", "Pad", "Padd"}
_COPY_WORDS = {"Move", "Resh", "Tran", "Repl", "Cast"}
_WHOLE = re.compile(
    r"\.(attention|mlp|fuse|classify|embed)"
)  # modules that FP16 typing keeps whole
COMPUTE = {"attention", "matmul", "convolution"}
_ALIGNMENT = re.compile(
    r"graph/Pad|(labels|probabilities)/Slice"
)  # what --align adds at the two ends


def prove_from_log(layers: str, facts: Iterable[str], manifest: Manifest) -> Proof:
    """From TensorRT-RTX's build log.

    Args:
        layers: the verbose message that begins with "Layers:".
        facts: the INFO lines on memory.
        manifest: of the ONNX file that was built.
    """
    lines = (_LINE.match(line) for line in layers.splitlines())
    kernels = [
        _kernel(
            line["name"], line["layer"],
            _TENSOR.findall(line["inputs"] + line["constants"]), _TENSOR.findall(line["outputs"]),
            line["metadata"],
        )
        for line in lines
        if line is not None and line["layer"] not in _NO_KERNELS
    ]  # fmt: skip
    return _proof("builder log", kernels, facts, manifest)


def prove_from_inspector(text: str, facts: Iterable[str], manifest: Manifest) -> Proof:
    """From classic TensorRT's ``IEngineInspector.get_engine_information(JSON)``."""
    listed = json.loads(text).get("Layers", [])
    layers = [layer for layer in listed if isinstance(layer, dict)]  # else names, without DETAILED
    kernels = [
        _kernel(
            layer["Name"], str(layer.get("LayerType", "")),
            list(_inspected(layer.get("Inputs", []))), list(_inspected(layer.get("Outputs", []))),
            str(layer.get("Metadata", "")),
        )
        for layer in layers
        if str(layer.get("LayerType", "")).lower() not in _NO_KERNELS
    ]  # fmt: skip
    told = bool(layers) and len(layers) == len(listed)
    return _proof("engine inspector", kernels, facts, manifest, told=told)


def failures(proof: Proof, manifest: Manifest) -> list[str]:
    """Where an engine is not what was asked: attention fused or not, or FP32 in an FP16 engine.

    What the export kept in FP32 for a reason is what was asked; an FP32 engine is never fused.
    """
    kept = [name for item in manifest.kept_fp32 or () for name in item.modules]
    found = []
    if manifest.attention == "unfused":
        fused = _not_apart(proof)
        if fused:
            found.append(f"attention is fused, or not seen apart, in {', '.join(fused)}")
    if not manifest.half:
        return found
    # INT8 convolutions come out as Float, and another kernel makes halves of that
    eight_bits = set(() if manifest.quantised is None else manifest.quantised.nodes)
    unfused = [block for block in proof.attention_unfused or () if not _has_kept(block, kept)]
    if unfused and manifest.attention == "fused":
        found.append(f"attention is not fused in {', '.join(unfused)}")
    wrong = [
        kernel.nodes[0].partition("/")[0] if kernel.nodes else kernel.name
        for kernel in proof.kernels
        if kernel.kind in COMPUTE and "Float" in kernel.types and not eight_bits & set(kernel.nodes)
        and not any(_is_kept(node.partition("/")[0], kept) for node in kernel.nodes)
    ]  # fmt: skip
    if wrong:
        found.append(f"FP16 was asked for, but FP32 came out in {', '.join(dict.fromkeys(wrong))}")
    return found


def _not_apart(proof: Proof) -> list[str]:
    """Blocks whose two products are not seen, each in a kernel that does not hold the other.

    Not seeing a kernel with a fused one's name would prove nothing: the next TensorRT may call it
    otherwise.
    """
    if proof.attention_unfused is None:
        return []
    apart: set[str] = set()
    for kernel in proof.kernels:
        products = {node for node in kernel.nodes if _PRODUCT.search(node)}
        if kernel.kind != "attention" and len(products) == 1:
            apart |= products
    return [
        block
        for block in proof.attention_blocks
        if not {f"{block}.attend/MatMul", f"{block}.attend/MatMul_1"} <= apart
    ]


def _is_kept(scope: str, kept: Iterable[str]) -> bool:
    """Whether a module is kept in FP32: itself, or as part of one kept whole."""
    return any(
        scope == name or (_WHOLE.search(name) is not None and scope.startswith(f"{name}."))
        for name in kept
    )


def _has_kept(block: str, kept: Iterable[str]) -> bool:
    """Whether an attention block, or a part of it, is kept in FP32."""
    return _is_kept(block, kept) or any(name.startswith(f"{block}.") for name in kept)


def summarise(proof: Proof | None, model: Architecture) -> dict[str, Any]:
    """The figures of a proof, as JSON; null where nothing is known."""
    if proof is None:
        return {
            "attention": {"total": len(model.attention_names), "fused": None, "unfused": None},
            "kernels": dict.fromkeys(("total", "padding", "alignment", "copies", "by_kind")),
            "precision": {"fp16_share": None, "float_kernels": None},
            "memory": dict.fromkeys(
                ("scratch_bytes", "activation_bytes", "weights_bytes", "traffic_bytes")
            ),
        }
    unfused = proof.attention_unfused
    if unfused is None:  # part of the engine is not shown: its kernels cannot be counted either
        known = summarise(None, model)
        sizes = {"scratch_bytes": proof.scratch_bytes, "activation_bytes": proof.activation_bytes,
                 "weights_bytes": proof.weights_bytes}  # fmt: skip
        return {**known, "memory": known["memory"] | sizes}
    total = len(proof.attention_blocks)
    padding, alignment = padding_kernels(proof)
    kinds = Counter(kernel.kind for kernel in proof.kernels)
    return {
        "attention": {
            "total": total,
            "fused": total - len(unfused),
            "unfused": list(unfused),
        },
        "kernels": {
            "total": len(proof.kernels),
            "padding": len(padding),
            "alignment": len(alignment),
            "copies": kinds["copy"],
            "by_kind": dict(sorted(kinds.items())),
        },
        "precision": {"fp16_share": fp16_share(proof), "float_kernels": float_kernels(proof)},
        "memory": {
            "scratch_bytes": proof.scratch_bytes,
            "activation_bytes": proof.activation_bytes,
            "weights_bytes": proof.weights_bytes,
            "traffic_bytes": traffic_bytes(proof),
        },
    }


def facts_of(proof: Proof | None) -> list[tuple[str, object]]:
    """The same for people: names and values."""
    if proof is None:
        return [("proof", "none recorded: attention, precision and memory are unknown")]
    total, unfused = len(proof.attention_blocks), proof.attention_unfused
    if unfused is None:
        return [
            (
                "attention",
                "not shown: this TensorRT hides part of the engine, so nothing is proven",
            ),
            ("memory", _memory(proof)),
        ]
    padding, alignment = padding_kernels(proof)
    kinds = Counter(kernel.kind for kernel in proof.kernels)
    share = fp16_share(proof)
    floats = Counter(kernel.kind for kernel in proof.kernels if "Float" in kernel.types)
    traffic = traffic_bytes(proof)
    attention = f"{total - len(unfused)} of {total} blocks fused"
    attention += f"; NOT fused: {', '.join(unfused)}" if 0 < len(unfused) < total else ""
    return [
        ("attention", attention),
        ("kernels", _counted(kinds)),
        ("padding", f"{len(padding)} kernels, and {len(alignment)} for the alignment"),
        ("FP16 outputs", None if share is None else f"{share:.1%}"),
        ("FP32 kernels", f"{_counted(floats)} (each is named by --json)" if floats else "none"),
        ("memory", _memory(proof)),
        ("traffic", None if traffic is None else
         f"{traffic / 1e6:.1f} MB read and written by all kernels"),
        ("proven by", proof.source),
    ]  # fmt: skip


def _counted(kinds: Counter[str]) -> str:
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return f"{kinds.total()}: {listed}"


def bytes_say(plan: bytes) -> dict[str, Any]:
    """What a TensorRT-RTX plan's bytes show without the sidecar: distinct kernels, not call sites.

    Undocumented names, so a cross-check only; read from TensorRT-RTX 1.7.
    """
    return {
        "fused_attention_kernels": len(set(re.findall(rb"_gemm_mha_v2_0x[0-9a-f]+", plan))),
        "standalone_softmax_kernels": len(
            set(re.findall(rb"__myl_\w*MaxrSubExpSumDiv\w*?_0x[0-9a-f]+", plan))
        ),
    }


def _memory(proof: Proof) -> str | None:
    parts = {"scratch": proof.scratch_bytes, "weights": proof.weights_bytes}
    known = [f"{name} {size / 1e6:.1f} MB" for name, size in parts.items() if size is not None]
    return ", ".join(known) or None


def padding_kernels(proof: Proof) -> tuple[list[Kernel], list[Kernel]]:
    """Kernels that cut or pad inside the network, and those that ``--align`` asked for."""
    padding = [
        kernel
        for kernel in proof.kernels
        if kernel.kind == "padding" or _words(kernel.name) & PADDING_WORDS
    ]
    alignment = [k for k in padding if any(map(_ALIGNMENT.match, k.nodes))]
    return [kernel for kernel in padding if kernel not in alignment], alignment


def traffic_bytes(proof: Proof) -> int | None:
    """Bytes that all kernels read and write; None where a size is dynamic."""
    each = [kernel.traffic_bytes for kernel in proof.kernels]
    return None if None in each else sum(size for size in each if size is not None)


def fp16_share(proof: Proof) -> float | None:
    """Half outputs as a fraction of all floating outputs."""
    counts = Counter(kind for kernel in proof.kernels for kind in kernel.types)
    floating = counts["Half"] + counts["Float"]
    return counts["Half"] / floating if floating else None


def float_kernels(proof: Proof) -> list[str]:
    """Each kernel with an FP32 output, by the module it computes."""
    return [
        f"{kernel.nodes[0] if kernel.nodes else '?'} ({kernel.name})"
        for kernel in proof.kernels
        if "Float" in kernel.types
    ]


def table_differences(first: Proof, second: Proof) -> list[str]:
    """What two builds of one network do not have in common, kernel by kernel."""
    rows = [Counter((k.name, k.types, k.nodes) for k in proof.kernels) for proof in (first, second)]
    only = [rows[0] - rows[1], rows[1] - rows[0]]
    return [
        f"only in build {number}: {count} x {name} -> {', '.join(types) or 'nothing'}"
        for number, counter in enumerate(only, start=1)
        for (name, types, _), count in counter.items()
    ]


def _proof(
    source: str,
    kernels: list[Kernel],
    facts: Iterable[str],
    manifest: Manifest,
    *,
    told: bool = True,  # whether every layer was described
) -> Proof:
    blocks = manifest.architecture.attention_names
    fused = {
        match[1]
        for kernel in kernels
        if kernel.kind == "attention"
        for node in kernel.nodes
        if (match := _ATTENTION.match(node))
    }
    hidden = not told or any(kernel.name.startswith("{ForeignNode") for kernel in kernels)
    memory = {key: int(size) for line in facts for key, size in _MEMORY.findall(line)}
    return Proof(
        source=source,  # type: ignore[arg-type]
        attention_blocks=blocks,
        attention_unfused=None if hidden else tuple(b for b in blocks if b not in fused),
        kernels=tuple(kernels),
        scratch_bytes=memory.get("Max Scratch", memory.get("Total Scratch")),
        activation_bytes=memory.get("Total Activation"),
        weights_bytes=memory.get("Total Weights"),
    )


def _kernel(
    name: str,
    layer: str,
    inputs: list[tuple[str, str]],
    outputs: list[tuple[str, str]],
    metadata: str,
) -> Kernel:
    name = _NUMBERS.sub("", name)
    sizes = [_bytes(tensor) for tensor in (*inputs, *outputs)]
    return Kernel(
        name=name,
        kind=_kind(name, layer.lower()),
        types=tuple(kind for _, kind in outputs),
        nodes=tuple(sorted(_NODE.findall(metadata))),
        traffic_bytes=None if None in sizes else sum(size for size in sizes if size is not None),
    )


def _kind(name: str, layer: str) -> str:
    """A kernel's kind, from the operations in its name and the layer's type."""
    words = _words(name)
    rules = (
        ("attention", "_gemm_mha" in name or "fmha" in name),
        ("convolution", "conv" in layer or layer == "correlation" or "Corr" in words),
        ("matmul", "gemm" in layer or layer in {"matmul", "matrixmultiply", "matrix_multiply"}
         or "Fc" in words),
        ("pooling", "pool" in layer),
        ("normalisation", {"Mean", "Sub", "Mul"} <= words or {"Sqrt", "Div"} <= words
         or "Gnor" in words),  # GroupNorm, whole
        ("softmax", {"Maxr", "Exp", "Div"} <= words),
        ("padding", layer in {"slice", "concat", "concatenation", "pad", "padding"}
         or (bool(words & PADDING_WORDS) and words <= _COPY_WORDS | PADDING_WORDS)),
        ("copy", bool(words) and words <= _COPY_WORDS),
        ("reduction", bool(words & {"Topk", "Maxr", "Minr"})),
        ("resize", "Resi" in words or "resize" in layer),
    )  # fmt: skip
    return next((kind for kind, fits in rules if fits), "pointwise")


def _words(name: str) -> set[str]:
    """The operations that Myelin spells in a kernel's name."""
    return set(_WORD.findall(name)) if name.startswith("__myl_") else set()


def _bytes(tensor: tuple[str, str]) -> int | None:
    """A tensor's size; None where a dimension is not known at build time."""
    dimensions, kind = tensor
    sizes = [int(part) for part in dimensions.split(",") if part]
    return None if any(size < 0 for size in sizes) else _SIZES.get(kind, 1) * math.prod(sizes)


def _inspected(tensors: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for tensor in tensors:
        if isinstance(tensor, dict):
            text = str(tensor.get("Datatype") or tensor.get("Format/Datatype") or "").lower()
            kind = next((t for word, t in _INSPECTOR_TYPES.items() if word in text), "unknown")
            yield ",".join(map(str, tensor.get("Dimensions", []))), kind
