"""Trace the deployment module to an ONNX graph whose names say where in the model a node is.

``encoder.stage1.blocks.0.attention.attend/MatMul`` is what TensorRT's errors and layer tables then
show. The tracer's own metadata (stack traces with the paths of the machine that exported) is
dropped, so the same checkpoint and options give the same bytes everywhere.
"""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset18 as op

from edaformer.export.wrapper import Deployment
from edaformer.preprocess import ALIGN, MAX_SIDE

IR_VERSION = 10  # ONNX Runtime 1.18 and TensorRT 10.3 read up to this one
_MODEL_PREFIX = re.compile(r"^model\.")


def trace(
    module: Deployment, example: torch.Tensor, *, opset: int, dynamic_batch: bool
) -> ir.Model:
    """Trace ``module`` on ``example``, in float32.

    Args:
        module: in evaluation mode; its geometry says whether the size is left free, in steps of 32.
        example: the input; a dynamic batch needs at least two images in it.
        opset: ONNX operator set.
        dynamic_batch: leave the batch size free.
    """
    shapes = _dynamic_dimensions(module, dynamic_batch=dynamic_batch)
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            (example,),
            dynamo=True,
            opset_version=opset,
            input_names=[module.input_name],
            output_names=list(module.outputs),
            dynamic_shapes=(shapes,) if shapes else None,
            custom_translation_table={torch.ops.aten.gelu.default: _gelu} if opset < 20 else None,
            verbose=False,
        )
    assert program is not None
    model = program.model
    _name_by_scope(model.graph)
    _drop_metadata(model)
    model.ir_version = IR_VERSION
    return model


def _dynamic_dimensions(module: Deployment, *, dynamic_batch: bool) -> dict[int, Any]:
    """Input dimension -> what torch.export may assume of it."""
    dimensions: dict[int, Any] = {}
    if dynamic_batch:
        dimensions[0] = torch.export.Dim("batch", min=1)
    if module.geometry.dynamic:
        rows, columns = (1, 2) if module.input_name == "image" else (2, 3)
        dimensions[rows] = ALIGN * torch.export.Dim("height_32", min=1, max=MAX_SIDE // ALIGN)
        dimensions[columns] = ALIGN * torch.export.Dim("width_32", min=1, max=MAX_SIDE // ALIGN)
    return dimensions


def _gelu(x: Any, approximate: str = "none") -> Any:
    """GELU before opset 20, which has an op for it: the form that ONNX Runtime makes one kernel of.

    The tracer's own form multiplies x by a half of the rest, which is the same to the bit and runs
    as five kernels: a tenth of EDAFormer-T's time on a CPU. TensorRT fuses both.
    """
    if approximate != "none":
        raise NotImplementedError(f"expected GELU by the error function, got {approximate}")
    half = ir.tensor(0.5, dtype=x.dtype)
    root, one = ir.tensor(math.sqrt(2), dtype=x.dtype), ir.tensor(1.0, dtype=x.dtype)
    return op.Mul(op.Mul(x, half), op.Add(op.Erf(op.Div(x, root)), one))


def scope(node: ir.Node) -> str:
    """The module a node belongs to, such as ``encoder.stage1.blocks.0.mlp``."""
    return (node.name or "").partition("/")[0]


def _name_by_scope(graph: ir.Graph) -> None:
    """Name nodes and their outputs ``scope/Op``, numbered where a scope repeats an op."""
    seen: Counter[str] = Counter()
    kept = {value.name for value in (*graph.inputs, *graph.outputs)}
    for node in graph:
        stem = f"{_traced_scope(node)}/{node.op_type}"
        number, seen[stem] = seen[stem], seen[stem] + 1
        node.name = f"{stem}_{number}" if number else stem
        for index, value in enumerate(node.outputs):
            if value.name not in kept:
                value.name = f"{node.name}:{index}" if index else node.name


def _traced_scope(node: ir.Node) -> str:
    """From the tracer's record; a node that an optimisation made takes its first input's."""
    recorded = node.metadata_props.get("pkg.torch.onnx.name_scopes")
    if recorded is not None:
        scopes = ast.literal_eval(recorded)
        return _MODEL_PREFIX.sub("", scopes[-2]) or "graph" if len(scopes) > 1 else "graph"
    producers = [p for value in node.inputs if value and (p := value.producer())]
    return scope(producers[0]) if producers else "graph"


def _drop_metadata(model: ir.Model) -> None:
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.doc_string = model.graph.doc_string = None
    model.graph.name = "edaformer"
    model.producer_name, model.producer_version = "edaformer-deploy", None
    for node in model.graph:
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The tracer's chatter (missing torchvision, progress marks) is no news to our users."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
