"""A model of a Triton repository: ``config.pbtxt``, ``labels.txt`` and version 1.

The configuration is a ModelConfig of triton-inference-server/common's model_config.proto in
protobuf's text format, which is written here so that a device needs no protobuf; the tests read it
back with the official schema. Layout and rules are those of Triton's docs/user_guide
(model_repository.md, model_configuration.md). docs/serving.md says how to serve it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edaformer.engines.handover.shapes import (
    best_dims,
    input_dims,
    labels_text,
    most_images,
    output_dims,
)
from edaformer.errors import InputError
from edaformer.manifest import Bounds, Manifest

_PLATFORMS = {"model.plan": "tensorrt_plan", "model.onnx": "onnxruntime_onnx"}
_TYPES = {"uint8": "TYPE_UINT8", "float32": "TYPE_FP32"}


class Word(str):
    """An enumeration's value: text without quotes."""

    __slots__ = ()


Value = str | int | bool | dict[str, "Value"] | list["Value"]
Message = dict[str, Value]


def check_name(name: str) -> None:
    """Refuse a name that no URL holds as it is.

    Raises:
        InputError: if it is not made of letters, digits, ``_``, ``-`` and ``.``.
    """
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) is None:
        raise InputError(
            "expected the model's folder named with letters, digits, '_', '-' and '.', got "
            f"'{name}'; name another with -o"
        )


def triton_files(
    name: str, manifest: Manifest, bounds: Bounds | None, packed: Mapping[str, bytes]
) -> dict[str, bytes]:
    """The model's files by their paths in its folder.

    Args:
        name: the model's.
        manifest: the artifact's.
        bounds: of a dynamic batch or size.
        packed: ``model.plan`` and its sidecar, or ``model.onnx``.
    """
    (platform,) = (_PLATFORMS[file] for file in packed if file in _PLATFORMS)
    config = triton_config(name, platform, manifest, bounds)
    return {
        "config.pbtxt": text_format(config).encode(),
        "labels.txt": labels_text(manifest).encode(),
        **{f"1/{file}": data for file, data in packed.items()},
    }


def triton_config(name: str, platform: str, manifest: Manifest, bounds: Bounds | None) -> Message:
    """The ModelConfig.

    A dynamic batch is Triton's to fill: the first dimension is then left out of the shapes. A fixed
    one is part of them, and max_batch_size is 0.
    """
    spec, fixed = manifest.input, manifest.input.batch
    front: list[Value] = [] if fixed is None else [fixed]
    most = most_images(bounds) if fixed is None else 0
    kind = Word(_TYPES[spec.dtype])
    config: Message = {
        "name": name,
        "platform": platform,
        "max_batch_size": most,
        "input": [{"name": spec.name, "data_type": kind, "dims": [*front, *input_dims(spec)]}],
        "output": [
            {
                "name": output.name,
                "data_type": Word(_TYPES[output.dtype]),
                "dims": [*front, *output_dims(output, manifest)],
                "label_filename": "labels.txt",
            }
            for output in manifest.outputs
        ],
        "instance_group": [{"count": 1, "kind": Word("KIND_GPU")}],
    }
    if bounds is not None and most:
        best = bounds.best[0]
        config["dynamic_batching"] = {"preferred_batch_size": [best]} if best > 1 else {}
    zeros: Message = {
        "data_type": kind, "dims": [*front, *best_dims(spec, bounds)], "zero_data": True
    }  # fmt: skip
    config["model_warmup"] = [
        {
            "name": "zeros",
            "batch_size": 1 if most else 0,
            "inputs": {"key": spec.name, "value": zeros},
        }
    ]
    own = own_manifest(manifest)
    config["parameters"] = [{"key": "edaformer.manifest", "value": {"string_value": own}}]
    return config


def own_manifest(manifest: Manifest) -> str:
    """What a configuration says of the model, as JSON."""
    return manifest.model_dump_json(exclude={"engine", "kept_fp32"}, exclude_none=True)


def text_format(message: Message, indent: str = "") -> str:
    """A message in protobuf's text format; a list is a repeated field."""
    return "".join(
        _field(key, one, indent)
        for key, value in message.items()
        for one in (value if isinstance(value, list) else [value])
    )


def _field(key: str, value: Value, indent: str) -> str:
    if isinstance(value, dict):
        return f"{indent}{key} {{\n{text_format(value, indent + '  ')}{indent}}}\n"
    if isinstance(value, bool):
        return f"{indent}{key}: {str(value).lower()}\n"
    text = _quoted(value) if isinstance(value, str) and not isinstance(value, Word) else value
    return f"{indent}{key}: {text}\n"


def _quoted(text: str) -> str:
    """Bytes beyond plain ASCII as octal escapes, which every reader of the format knows."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').encode()
    return '"' + "".join(chr(b) if 32 <= b < 127 else f"\\{b:03o}" for b in escaped) + '"'
