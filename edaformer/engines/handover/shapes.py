"""Shapes of an artifact's tensors, from its manifest; -1 where a side is dynamic."""

from __future__ import annotations

from edaformer.manifest import Bounds, InputSpec, Manifest, OutputSpec

DYNAMIC = -1


def input_dims(spec: InputSpec) -> list[int]:
    """One image of the input, without the batch."""
    height, width = spec.height, spec.width
    if spec.name == "tensor":
        height, width = spec.padded_height, spec.padded_width
    if spec.dynamic_size:
        height = width = DYNAMIC
    return [height, width, 3] if spec.layout == "NHWC" else [3, height, width]


def output_dims(output: OutputSpec, manifest: Manifest) -> list[int]:
    """One image of an output, without the batch."""
    size = [output.height, output.width]
    if manifest.input.dynamic_size:
        size = [DYNAMIC, DYNAMIC]
    return size if output.layout == "NHW" else [manifest.num_classes, *size]


def best_dims(spec: InputSpec, bounds: Bounds | None) -> list[int]:
    """As input_dims, a dynamic size at the one to be fastest at, or that it was verified at."""
    if not spec.dynamic_size:
        return input_dims(spec)
    height, width = bounds.best[1:] if bounds is not None else (spec.height, spec.width)
    return [height, width, 3] if spec.layout == "NHWC" else [3, height, width]


def most_images(bounds: Bounds | None) -> int:
    """The largest batch of a dynamic one."""
    assert bounds is not None, "a dynamic batch has bounds"
    return bounds.most[0]


def labels_text(manifest: Manifest) -> str:
    """A class a line; without names, numbers. ``;`` parts attributes in nvinfer, so it is ``,``."""
    names = manifest.classes or tuple(f"class {index}" for index in range(manifest.num_classes))
    return "".join(name.replace(";", ",").replace("\n", " ") + "\n" for name in names)
