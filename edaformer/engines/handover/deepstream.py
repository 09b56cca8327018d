"""What DeepStream's nvinfer reads: its configuration, a labels file and the plan or the ONNX file.

nvinfer gives ``y = net-scale-factor * (x - offset)`` in planes of float32 with one scale for the
three channels (Gst-nvinfer in DeepStream's developer guide), so the export takes 0..255 and
normalises inside. Its own parser of a segmentation network reads class probabilities, float32 at
c * H * W + y * W + x (NvDsInferSegmentationOutput in nvdsinfer_context.h), and a pixel's class is
the first greatest one above segmentation-threshold and above -1, else -1 (SegmentPostprocessor::
fillSegmentationOutput): hence probabilities, not logits, and a threshold of 0.
"""

from __future__ import annotations

from collections.abc import Mapping

from edaformer.engines.handover.shapes import input_dims, labels_text, most_images
from edaformer.manifest import Bounds, Manifest
from edaformer.preprocess import format_size

CONFIG = "config_infer.txt"
_NETWORK_MODES = {"fp32": 0, "fp16": 2}


def deepstream_files(
    name: str, manifest: Manifest, bounds: Bounds | None, packed: Mapping[str, bytes]
) -> dict[str, bytes]:
    """The files by their names; ``packed`` is ``model.plan`` and its sidecar, or ``model.onnx``."""
    batch = manifest.input.batch or most_images(bounds)
    return {
        CONFIG: nvinfer_config(name, manifest, batch, plan="model.plan" in packed).encode(),
        "labels.txt": labels_text(manifest).encode(),
        **packed,
    }


def nvinfer_config(name: str, manifest: Manifest, batch: int, *, plan: bool) -> str:
    """The [property] group.

    With a plan onnx-file is left out: nvinfer would else build an engine of its own, unproven,
    wherever the plan does not load, and only its log would say so.
    """
    properties: dict[str, object] = {
        "gie-unique-id": 1,
        "process-mode": 1,
        "network-type": 2,
        "net-scale-factor": 1,
        "offsets": "0;0;0",
        "model-color-format": 0,
        "infer-dims": ";".join(map(str, input_dims(manifest.input))),
        "maintain-aspect-ratio": 0,
        "symmetric-padding": 0,
        "scaling-filter": 1,
        "batch-size": batch,
        "network-mode": _NETWORK_MODES[manifest.precision],
        **({"model-engine-file": "model.plan"} if plan else {"onnx-file": "model.onnx"}),
        "labelfile-path": "labels.txt",
        "num-detected-classes": manifest.num_classes,
        "output-blob-names": "probabilities",
        "segmentation-threshold": 0.0,
        "segmentation-output-order": 0,
    }
    lines = "".join(f"{key}={value}\n" for key, value in properties.items())
    return (
        f"# {name}: {manifest.title}, ISR {manifest.isr}, {manifest.num_classes} "
        f"classes, {manifest.precision}; by edaformer-deploy {manifest.tool_version}\n"
        f"# nvinfer scales frames of another size than {format_size(manifest.size)} in its own "
        f"way, not by {manifest.input.resize}\n"
        f"[property]\n{lines}"
    )
