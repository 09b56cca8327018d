"""A model of a Triton repository that our own runtime answers, in Triton's Python backend.

What a plain plan in Triton cannot: frames of any size, JPEG and PNG, labels at the frame's size.
``model.py`` imports ``edaformer/engines/served/model.py`` out of the installed package; the stub
that runs it ignores PYTHONPATH, so the file reads that itself. The configuration is written as
``handover/triton.py`` has it.

Frames of requests differ in size, so ``image`` is ragged: Triton hands several requests over
together, each with its own tensors. Answers keep the requests' order.
"""

from __future__ import annotations

from collections.abc import Mapping

from edaformer.engines.handover.shapes import DYNAMIC, labels_text
from edaformer.engines.handover.triton import Message, Value, Word, own_manifest, text_format
from edaformer.manifest import Manifest

MODEL = '''"""EDAFormer deploy in Triton's Python backend, out of the installed package."""

import os
import site
import sys

folders = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
sys.path[:0] = folders  # the backend's interpreter ignores PYTHONPATH
for folder in folders:
    site.addsitedir(folder)

from edaformer.engines.served.model import TritonPythonModel  # noqa: E402, F401
'''
MOST_TOGETHER = 8  # requests handed over at once
MOST_WAITING = 64  # requests; what comes then is refused at once


def triton_python_files(
    name: str, manifest: Manifest, packed: Mapping[str, bytes], *, margins: bool
) -> dict[str, bytes]:
    """The model's files by their paths in its folder.

    Args:
        name: the model's.
        manifest: the artifact's.
        packed: the plan and its sidecar, or the ONNX file; the artifact first.
        margins: whether it can give them.
    """
    config = triton_python_config(name, manifest, next(iter(packed)), margins=margins)
    return {
        "config.pbtxt": text_format(config).encode(),
        "labels.txt": labels_text(manifest).encode(),
        "1/model.py": MODEL.encode(),
        **{f"1/{file}": data for file, data in packed.items()},
    }


def gives_margins(manifest: Manifest, *, plan: bool) -> bool:
    """Whether margins can be asked for: the engine makes them, of logits."""
    return plan and any(output.name == "logits" for output in manifest.outputs)


def triton_python_config(name: str, manifest: Manifest, artifact: str, *, margins: bool) -> Message:
    """The ModelConfig; a request's first dimension counts its frames, mostly 1."""
    pixels: list[Value] = [DYNAMIC, DYNAMIC]
    group: Message = {"count": 1, "kind": Word("KIND_CPU")}
    if artifact == "model.plan":
        group = {"count": 1, "kind": Word("KIND_GPU"), "gpus": [0]}
    outputs: list[Value] = [
        _tensor("labels", "TYPE_UINT8", pixels) | {"label_filename": "labels.txt"},
        _tensor("areas", "TYPE_INT64", [manifest.num_classes]),
        _tensor("png", "TYPE_UINT8", [DYNAMIC]),
    ]
    if margins:
        outputs.append(_tensor("margins", "TYPE_FP32", pixels))
    height, width = manifest.size
    zeros: Message = {
        "data_type": Word("TYPE_UINT8"), "dims": [height, width, 3], "zero_data": True
    }  # fmt: skip
    return {
        "name": name,
        "backend": "python",
        "max_batch_size": MOST_TOGETHER,
        "input": [
            _tensor("image", "TYPE_UINT8", [*pixels, 3])
            | {"allow_ragged_batch": True, "optional": True},
            # a file's bytes; not TYPE_STRING, see engines/served/arrays.py
            _tensor("encoded", "TYPE_UINT8", [DYNAMIC])
            | {"allow_ragged_batch": True, "optional": True},
        ],
        "output": outputs,
        "instance_group": [group],
        "dynamic_batching": {
            "preserve_ordering": True,
            "default_queue_policy": {"max_queue_size": MOST_WAITING},
        },
        "model_warmup": [
            {"name": "zeros", "batch_size": 1, "inputs": {"key": "image", "value": zeros}}
        ],
        "parameters": [
            {"key": "edaformer.artifact", "value": {"string_value": artifact}},
            {"key": "edaformer.manifest", "value": {"string_value": own_manifest(manifest)}},
        ],
    }


def _tensor(name: str, kind: str, dims: list[Value]) -> Message:
    return {"name": name, "data_type": Word(kind), "dims": dims}
