"""Networks that take no time to export: eight by eight pixels averaged, then five linear classes.

They have the inputs, outputs and manifests of real exports, and a plan by the TensorRT in use.
What they segment is their own business.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edaformer.engines.artifact.plan import read_header, write_plan
from edaformer.machine import backend
from edaformer.manifest import ONNX_KEY, EngineRecord, InputSpec, Manifest, OutputSpec, network_name
from edaformer.preprocess import RELEASE, Normalisation, Resize, aligned

CLASSES = 5


@dataclass(frozen=True)
class Kind:
    """One kind of export."""

    outputs: tuple[str, ...] = ("logits",)
    input: str = "image"
    batch: int | None = 1
    size: tuple[int, int] = (60, 90)  # valid
    align: int | None = 32
    half: bool = False  # logits in float16
    dynamic: bool = False  # of any size: ``size`` is only the manifest's
    isr: str = "8,4,2,1-1,2,4"
    colours: Normalisation = RELEASE
    resize: Resize = "opencv-bilinear"

    @property
    def padded(self) -> tuple[int, int]:
        return aligned(self.size, None if self.input == "tensor" else self.align)


def make_model(kind: Kind) -> onnx.ModelProto:
    """The ONNX model."""
    is_image, (rows, columns) = kind.input == "image", kind.padded
    pixels = kind.input != "tensor"
    rng = np.random.default_rng(5)
    scale = np.float32(1 / 64) if pixels else np.float32(1)
    weights = (rng.standard_normal((CLASSES, 3, 1, 1)) * scale).astype(np.float32)
    offset = -128 * weights.sum(axis=(1, 2, 3)) if pixels else 0 * weights[:, 0, 0, 0]
    pads = [0, 0, 0, 0, 0, 0, rows - kind.size[0], columns - kind.size[1]]
    known = {
        "weights": weights, "offset": offset.astype(np.float32), "pads": np.int64(pads),
        "sizes": np.int64([kind.batch or 1, CLASSES, rows, columns]), "none": np.float32([]),
        "eightfold": np.float32([1, 1, 8, 8]), "rows": np.int64([2, 3]),
        "starts": np.int64([0, 0]), "ends": np.int64(kind.size), "axes": np.int64([1, 2]),
    }  # fmt: skip
    nodes = [
        helper.make_node("Cast", [kind.input], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2] if is_image
                         else [0, 1, 2, 3]),
        helper.make_node("Pad", ["planes", *([] if kind.dynamic else ["pads"])], ["padded"])
        if not kind.dynamic else helper.make_node("Identity", ["planes"], ["padded"]),
        helper.make_node("AveragePool", ["padded"], ["pooled"], kernel_shape=[8, 8],
                         strides=[8, 8], ceil_mode=1),
        helper.make_node("Conv", ["pooled", "weights", "offset"], ["scores"]),
        helper.make_node("Cast", ["scores"], ["logits"],
                         to=TensorProto.FLOAT16 if kind.half else TensorProto.FLOAT),
    ]  # fmt: skip
    if "labels" in kind.outputs:
        nodes += [
            helper.make_node(
                "Resize",
                ["scores", "", "eightfold"] if kind.dynamic else ["scores", "", "", "sizes"],
                ["large"],
                mode="linear",
            ),
            helper.make_node("ArgMax", ["large"], ["winner"], axis=1, keepdims=0),
            helper.make_node("Cast", ["winner"], ["float_winner"], to=TensorProto.FLOAT),
            helper.make_node("Identity", ["float_winner"], ["valid"])
            if kind.dynamic
            else helper.make_node("Slice", ["float_winner", "starts", "ends", "axes"], ["valid"]),
            helper.make_node("Cast", ["valid"], ["labels"], to=TensorProto.UINT8),
        ]
    if "probabilities" in kind.outputs:
        nodes += [
            helper.make_node("Resize", ["scores", "", "", "sizes"], ["all"], mode="linear"),
            helper.make_node("Slice", ["all", "starts", "ends", "rows"], ["part"]),
            helper.make_node("Softmax", ["part"], ["probabilities"], axis=1),
        ]
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes, "small", [_input(kind)], [_output(kind, name) for name in kind.outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in known.items()
         if name in used],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _input(kind: Kind) -> onnx.ValueInfoProto:
    height, width = ("h", "w") if kind.dynamic else kind.size
    batch = kind.batch or "n"
    if kind.input == "image":
        return helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, height, width, 3])
    return helper.make_tensor_value_info(kind.input, TensorProto.FLOAT, [batch, 3, height, width])


def _output(kind: Kind, name: str) -> onnx.ValueInfoProto:
    batch = kind.batch or "n"
    if name == "labels":
        sides = ("h", "w") if kind.dynamic else kind.size
        return helper.make_tensor_value_info(name, TensorProto.UINT8, [batch, *sides])
    if name == "probabilities":
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, CLASSES, *kind.size])
    sides = ("lh", "lw") if kind.dynamic else tuple(side // 8 for side in kind.padded)
    element = TensorProto.FLOAT16 if kind.half else TensorProto.FLOAT
    return helper.make_tensor_value_info(name, element, [batch, CLASSES, *sides])


def make_manifest(kind: Kind) -> Manifest:
    """As an export would have written it."""
    (height, width), (rows, columns) = kind.size, kind.padded
    is_image = kind.input == "image"
    outputs = {
        "labels": OutputSpec(name="labels", layout="NHW", dtype="uint8", height=height,
                             width=width),
        "logits": OutputSpec(name="logits", layout="NCHW", dtype="float32", height=rows // 8,
                             width=columns // 8),
        "probabilities": OutputSpec(name="probabilities", layout="NCHW", dtype="float32",
                                    height=height, width=width),
    }  # fmt: skip
    return Manifest(
        tool_version="0", variant="tiny", isr=kind.isr, num_classes=CLASSES,
        ignore_label=255, checkpoint_sha256="0" * 64, precision="fp32", opset=18, logits_stride=8,
        input=InputSpec(
            name=kind.input, layout="NHWC" if is_image else "NCHW",
            dtype="uint8" if is_image else "float32", batch=kind.batch, height=height, width=width,
            mean=kind.colours.mean, std=kind.colours.std,
            align=None if kind.input == "tensor" else kind.align,
            dynamic_size=kind.dynamic, padded_height=rows, padded_width=columns,
            resize=kind.resize,
        ),
        outputs=tuple(outputs[name] for name in kind.outputs),
    )  # fmt: skip


def write_small_onnx(kind: Kind, path: Path) -> None:
    """The model with its manifest in it, as an export."""
    model = make_model(kind)
    manifest = make_manifest(kind)
    entry = model.metadata_props.add()
    entry.key, entry.value = ONNX_KEY, manifest.model_dump_json(exclude_none=True)
    path.write_bytes(model.SerializeToString())


def write_small_plan(kind: Kind, path: Path) -> None:
    """Build it with the TensorRT in use."""
    shapes = [_profile(kind, at) for at in range(3)] if kind.dynamic or kind.batch is None else []
    build(make_model(kind).SerializeToString(), make_manifest(kind), path, shapes)


def build(model: bytes, manifest: Manifest, path: Path, shapes: list[tuple[int, ...]]) -> None:
    """Build a plan of any model; ``shapes`` of a dynamic input."""
    backend.use("tensorrt")
    trt: Any = backend.trt
    builder = trt.Builder(backend.make_logger())
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, builder.logger)
    assert parser.parse(model), builder.logger.errors
    network.name = network_name(manifest)
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    if shapes:
        profile.set_shape(manifest.input.name, *shapes)
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None, builder.logger.errors
    data = bytes(plan)
    record = EngineRecord(
        flavour="tensorrt", version=read_header(data, "plan")[1], compute_capabilities=(), flags=(),
        workspace_bytes=None, warnings=(), plan_sha256=hashlib.sha256(data).hexdigest(),
        plan_bytes=len(data),
    )  # fmt: skip
    write_plan(path, data, manifest.model_copy(update={"engine": record}))


def _profile(kind: Kind, at: int) -> tuple[int, ...]:
    """Least, best and most: batches of 1 to 3, sides of 32 to 128."""
    batch = kind.batch or at + 1
    size = ((32, 64, 128)[at],) * 2 if kind.dynamic else kind.size
    return (batch, *size, 3) if kind.input == "image" else (batch, 3, *size)
