"""Which nodes compute in eight bits: by the part of the network that their name says they are in.

Depthwise convolutions, the first layer and the last one stay out whatever is asked for, each for a
named reason; so does what FP16 typing keeps in FP32.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from edaformer.errors import InputError
from edaformer.export.graph import scope

Part = Literal["attention", "projections", "mlp", "embed", "decoder"]
EightBits = Literal["int8", "fp8"]

# In this order: the first whose pattern a node's module fits is the node's part
_PATTERNS: dict[Part, re.Pattern[str]] = {
    "attention": re.compile(r"\.attention\.attend"),  # its two products
    "decoder": re.compile(r"decoder\."),
    "projections": re.compile(r"\.attention\."),  # q, k, v, kv, proj, a reduction's convolution
    "mlp": re.compile(r"\.mlp\."),
    "embed": re.compile(r"\.embed\."),
}
PARTS: tuple[Part, ...] = ("attention", "projections", "mlp", "embed", "decoder")
# Measured (docs/quantisation.md): the one part where the engine moves less than in FP16
DEFAULT: tuple[Part, ...] = ("attention",)
_MOST_KEYS = 512  # that TensorRT fuses INT8 attention over, and the head sizes it does so for:
_HEADS = {16, 32, 64}  # its support matrix of fused attention; 520 keys were tried, and are not
_LEAST_KEYS = 32  # that it fuses FP8 attention over: 32 to 4096 were tried and are, 4 to 30 not
_FUSED: dict[EightBits, str] = {
    "int8": f"TensorRT fuses INT8 attention over up to {_MOST_KEYS} keys, of heads of "
    f"{', '.join(map(str, sorted(_HEADS)))} channels; more ISR gives fewer keys",
    "fp8": f"TensorRT fuses FP8 attention over {_LEAST_KEYS} keys and more; less ISR gives more",
}
_COMPUTE = {"Conv", "MatMul", "Gemm"}


@dataclass(frozen=True)
class Site:
    """A node that computes in eight bits."""

    node: str
    part: Part
    inputs: tuple[int, ...]  # activations, a scale each
    weight: int | None = None  # the input that is a weight, a scale for each output channel
    axis: int | None = None  # of the output channels in it
    output: bool = False  # its result, too, is rounded to eight bits


@dataclass(frozen=True)
class LeftOut:
    """A reason, and the nodes that it leaves in half precision."""

    reason: str
    why: str
    nodes: tuple[str, ...]


def parse_parts(text: str | None) -> tuple[Part, ...]:
    """Read ``attention,mlp`` or ``all``; None is what was measured to pay best.

    Raises:
        InputError: for a name that is none.
    """
    if text is None:
        return DEFAULT
    if text == "all":
        return PARTS
    names = [name.strip() for name in text.split(",")]
    wrong = [name for name in names if name not in PARTS]
    if wrong or len(set(names)) != len(names):
        raise InputError(
            f"expected --quantise out of {', '.join(PARTS)}, each at most once, or all, got "
            f"'{text}'"
        )
    return tuple(part for part in PARTS if part in names)


def find_sites(
    graph: ir.Graph, parts: tuple[Part, ...], precision: EightBits
) -> tuple[tuple[Site, ...], tuple[LeftOut, ...]]:
    """What computes in eight bits in a traced graph, and what stays out of the parts asked for."""
    first, last = _ends(graph)
    reasons: tuple[tuple[str, str, Callable[[ir.Node], bool]], ...] = (
        ("depthwise", "a channel of it is 9 products, and TensorRT gives it no INT8 kernel that is "
         "worth two conversions", _is_depthwise),
        ("first layer", "it reads the image, and is 7 x 7 over 3 channels", lambda n: n is first),
        ("last layer", "its results are the logits, whose differences decide",
         lambda n: n is last),
        ("not fused", _FUSED[precision], lambda n: not _fuses(n, precision)),
    )  # fmt: skip
    sites: list[Site] = []
    left: dict[str, list[str]] = {reason: [] for reason, _, _ in reasons}
    for node in graph:
        part = part_of(node)
        if part not in parts:
            continue
        reason = next((name for name, _, fits in reasons if fits(node)), None)
        if reason is None:
            sites.append(_site(node, part, precision))
        else:
            left[reason].append(node.name or "")
    kept = tuple(
        LeftOut(reason, why, tuple(left[reason])) for reason, why, _ in reasons if left[reason]
    )
    return tuple(sites), kept


def part_of(node: ir.Node) -> Part | None:
    """The part that a node computes for; None where it multiplies no matrices."""
    if node.op_type not in _COMPUTE:
        return None
    module = f"{scope(node)}."
    return next((part for part, shape in _PATTERNS.items() if shape.search(module)), None)


def _site(node: ir.Node, part: Part, precision: EightBits) -> Site:
    name = node.name or ""
    weight = node.inputs[1]
    if weight is None or weight.const_value is None:
        # TensorRT fuses INT8 attention only where the second product's result is INT8, too
        output = precision == "int8" and part == "attention" and _is_second(node)
        return Site(name, part, inputs=(0, 1), output=output)
    return Site(name, part, inputs=(0,), weight=1, axis=0 if node.op_type == "Conv" else 1)


def _fuses(node: ir.Node, precision: EightBits) -> bool:
    """Whether TensorRT makes one kernel of this product's attention; True of any other node."""
    if part_of(node) != "attention":
        return True
    operand = node.inputs[1]  # of the first product K transposed, (B, heads, channels, keys); V
    assert operand is not None
    assert operand.shape is not None
    sides = operand.shape[2:]
    channels, keys = sides[::-1] if _is_second(node) else sides
    if precision == "fp8":
        return not isinstance(keys, int) or keys >= _LEAST_KEYS
    return isinstance(keys, int) and keys <= _MOST_KEYS and channels in _HEADS


def _is_second(node: ir.Node) -> bool:
    """Whether it is the product with V."""
    return (node.name or "").endswith("MatMul_1")


def _is_depthwise(node: ir.Node) -> bool:
    return node.op_type == "Conv" and node.attributes.get_int("group", 1) > 1


def _ends(graph: ir.Graph) -> tuple[ir.Node | None, ir.Node | None]:
    """The first and the last layer with weights."""
    layers = [node for node in graph if node.op_type in _COMPUTE and part_of(node) is not None]
    return (layers[0], layers[-1]) if layers else (None, None)
