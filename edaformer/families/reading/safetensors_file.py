"""A safetensors file: tensors by name, their dtypes before they are read, and its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edaformer.errors import require
from edaformer.json_text import parse_json

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
    "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
    "U16": "uint16", "U32": "uint32", "U64": "uint64", "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}  # fmt: skip


def names(path: Path) -> tuple[str, ...]:
    """Of every tensor; PyTorch is not loaded for it."""
    with _open(path, framework="numpy") as file:
        return tuple(file.keys())


def dtypes(path: Path) -> dict[str, str]:
    """Of every tensor, by PyTorch's names."""
    with _open(path) as file:
        found = {name: str(file.get_slice(name).get_dtype()) for name in file.keys()}  # noqa: SIM118
    return {name: _DTYPES.get(dtype, dtype) for name, dtype in found.items()}


def tensors(path: Path, names: list[str]) -> dict[str, Tensor]:
    """These."""
    with _open(path) as file:
        return {name: file.get_tensor(name) for name in names}


def metadata(path: Path) -> dict[str, str]:
    """Texts by name."""
    with _open(path) as file:
        return file.metadata() or {}


def own_metadata(path: Path) -> dict[str, Any]:
    """What this package wrote with the weights."""
    content = parse_json(metadata(path).get("edaformer", "{}"))
    return content if isinstance(content, dict) else {}


def _open(path: Path, framework: str = "pt") -> Any:
    return require("safetensors", "export").safe_open(path, framework=framework)
