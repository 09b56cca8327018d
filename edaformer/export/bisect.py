"""Where an exported graph leaves the float32 reference: the first module whose output does.

PyTorch's modules and the graph's nodes share their names (export/graph.py), so what a module
returns can be held against the tensor that leaves its scope. Modules are compared in the graph's
order, an attention or MLP before the block it is part of; the first one beyond the tolerance is
named. Rewrites are exact and change no output that is compared. What runs the graph is the
caller's: ONNX Runtime here (an FP16 graph as its rounding twin), an engine in engines/validate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common
import torch
from numpy.typing import NDArray
from torch import nn

from edaformer.errors import InputError
from edaformer.export.graph import scope
from edaformer.export.runtime import OnnxSession
from edaformer.export.twin import is_half, rounding_twin
from edaformer.export.verify import scale_of

# As the export's verification allows the logits (export/verify.py), here for every output: a share
# of its standard deviation plus the same share of its largest magnitude.
HALF_SHARE, SINGLE_SHARE = 0.02, 1e-4
_COMPARED = re.compile(
    r"encoder\.stage\d\.(embed|norm)|(encoder\.stage|decoder\.c)\d\.blocks\.\d+(\.(attention|mlp))?"
    r"|decoder\.(fuse|classify)"
)

Outputs = dict[str, NDArray[np.float32]]  # of modules, by their names
# (graph, tensors, feed) -> the tensors' values, by name
Run = Callable[[ir.Model, list[str], NDArray[Any]], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Difference:
    """How far a module's output is from the reference's."""

    module: str
    error: float  # largest, absolute; NaN or infinite where the output is
    allowed: float

    @property
    def share(self) -> float:
        """Of what is allowed; not below 1 it has left."""
        return self.error / max(self.allowed, 1e-30) if np.isfinite(self.error) else float("inf")


@dataclass(frozen=True)
class Departure:
    """What was compared, in the graph's order, and the first module that left."""

    image: str
    rule: str
    differences: tuple[Difference, ...]
    skipped: tuple[str, ...]  # modules with no tensor of their output's shape in the graph

    @property
    def first(self) -> Difference | None:
        """The first module beyond its tolerance; None if all keep it."""
        return next((one for one in self.differences if not one.error <= one.allowed), None)

    @property
    def largest(self) -> Difference:
        """The one that uses most of its tolerance."""
        return max(self.differences, key=lambda one: one.share)

    def to_json(self) -> dict[str, Any]:
        """The first that left (null if none did), and every module's figures."""
        return {
            "image": self.image,
            "rule": self.rule,
            "first": None if self.first is None else self.first.module,
            "modules": [asdict(one) for one in self.differences],
            "skipped": list(self.skipped),
        }


def find_departure(
    graph: ir.Model,
    feed: NDArray[Any],
    model: nn.Module,
    forward: Callable[[], object],
    *,
    image: str,
    run: Run,
) -> Departure:
    """Compare ``graph`` with ``model``, module by module.

    Args:
        graph: as exported from the model; it is left as it is.
        feed: the graph's input; of a batch, the first image is compared.
        model: PyTorch float32, unrewritten.
        forward: runs ``model`` once on that image.
        image: what the feed was made from, for the reader.
        run: computes tensors of the graph.

    Raises:
        InputError: if no module of the model is found in the graph.
    """
    modules = [name for name, _ in model.named_modules() if _COMPARED.fullmatch(name)]
    leaving = tensors_leaving(graph, modules)
    if not leaving:
        raise InputError("the graph's nodes have none of the model's names; export it again")
    with recorded(model, list(leaving)) as expected:
        forward()
    values = run(graph, list(dict.fromkeys(leaving.values())), feed)
    got = {name: np.asarray(values[left][:1], np.float32) for name, left in leaving.items()}
    share = HALF_SHARE if is_half(graph) else SINGLE_SHARE
    comparable = [name for name in leaving if expected[name].shape == got[name].shape]
    return Departure(
        image=image,
        rule=f"{share:g} of an output's standard deviation + {share:g} of its largest magnitude",
        differences=tuple(_compare(n, expected[n], got[n], share) for n in comparable),
        skipped=tuple(name for name in leaving if name not in comparable),
    )


def tensors_leaving(graph: ir.Model, modules: list[str]) -> dict[str, str]:
    """The tensor that leaves each module's scope last, in the graph's order of leaving.

    Modules without a node are left out.
    """
    made: dict[str, str] = {}
    wanted = set(modules)
    for node in graph.graph:
        name = scope(node)
        while name:
            if name in wanted and node.outputs[0].name:
                made.pop(name, None)  # a later node moves the module to the end
                made[name] = node.outputs[0].name
            name = name.rpartition(".")[0]
    return made


@contextmanager
def recorded(model: nn.Module, modules: list[str]) -> Iterator[Outputs]:
    """What the modules return while the context is open, filled as they run."""
    made: Outputs = {}

    def keep(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            assert isinstance(tensor, torch.Tensor)
            made[name] = tensor.detach().float().cpu().numpy()

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in modules]
    try:
        yield made
    finally:
        for handle in handles:
            handle.remove()


def run_in_onnxruntime(
    graph: ir.Model, tensors: list[str], feed: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """On the CPU; an FP16 graph as its rounding twin."""
    data = ir.to_proto(probe(graph, tensors)).SerializeToString()
    session = OnnxSession(rounding_twin(data) if is_half(graph) else data, frugal=True)
    return session.run({session.input_name: feed})


def probe(graph: ir.Model, tensors: list[str]) -> ir.Model:
    """A copy that ends at ``tensors``.

    Whatever comes after them is gone, uint8 labels too, which TensorRT takes for outputs alone.
    """
    copy = ir.from_proto(ir.to_proto(graph))
    values = {value.name: value for node in copy.graph for value in node.outputs}
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(values[name] for name in tensors)
    onnx_ir.passes.common.RemoveUnusedNodesPass()(copy)
    return copy


def _compare(
    module: str, expected: NDArray[np.float32], got: NDArray[np.float32], share: float
) -> Difference:
    with np.errstate(invalid="ignore"):  # infinity less infinity is no number, and beyond
        error = float(np.abs(expected - got).max())
    return Difference(module, error, share * scale_of(expected))
