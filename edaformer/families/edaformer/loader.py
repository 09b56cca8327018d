"""Checkpoints: EDAFormer's published ``.pth`` files and our own safetensors, read without running.

A published file is ``torch.save`` of {"meta", "state_dict", maybe "optimizer"}, possibly with a
``module.`` prefix, with an unused ``decode_head.conv_seg``. Ours is safetensors under this
package's own parameter names, FP16 or FP32, with class names and input size as metadata.

Variant and class count follow from the shapes. Loading is strict: whatever is missing, unknown,
misshapen or not finite is refused, because a half-loaded network still produces pretty pictures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edaformer.errors import CheckpointError, require
from edaformer.families.checkpoint import Checkpoint, Coverage, misfits, some
from edaformer.families.edaformer.sizes import VARIANTS, Variant
from edaformer.files import sha256, write_whole
from edaformer.isr import ISR
from edaformer.json_text import parse_json

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.edaformer.network import EDAFormer

__all__ = ["load", "network", "owns", "published_to_ours", "save_checkpoint", "sha256"]

_UNUSED = re.compile(r"decode_head\.conv_seg\.(weight|bias)")  # in every published file
_BRANCHES = {"attn4": "c4.blocks.0", "attn44": "c4.blocks.1", "attn444": "c4.blocks.2",
             "attn3": "c3.blocks.0", "attn33": "c3.blocks.1", "attn2": "c2.blocks.0"}  # fmt: skip
_LEAVES = {"attn.sr": "attention.kv", "attn.proj": "attention.proj", "attn.norm": "attention.norm",
           "mlp.dwconv.dwconv": "mlp.dwconv", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
           "norm1": "norm1", "norm2": "norm2"}  # fmt: skip
_CROP = re.compile(r"crop_size\s*=\s*\(\s*(\d{1,5})\s*,\s*(\d{1,5})\s*\)")
_HEAD = {"linear_fuse.conv": "fuse.conv", "linear_fuse.bn": "fuse.norm", "linear_pred": "classify"}


def owns(path: Path) -> bool:
    """Whether there is a file: what it holds is found out by reading it."""
    return path.is_file()


def network(sizes: Variant, num_classes: int, isr: ISR) -> EDAFormer:
    """The network of these sizes, freshly initialised; what imports PyTorch."""
    from edaformer.families.edaformer.network import EDAFormer

    return EDAFormer(sizes, num_classes, isr)


def load(path: Path) -> Checkpoint:
    """Read and check a file; nothing in it is executed.

    Raises:
        CheckpointError: if it is not a complete, sound checkpoint.
        MissingError: without torch (or safetensors, where it is one).
    """
    tensors, meta = _read(path)
    tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    _refuse_encoder_only(path, tensors)
    left_over = tuple(sorted(key for key in tensors if _UNUSED.fullmatch(key)))
    state = {_our_name(key): value for key, value in tensors.items() if key not in left_over}
    variant, num_classes = _identify(path, state)
    _check(path, state, variant, num_classes)
    classes, palette = _classes(meta, num_classes)
    return Checkpoint(
        path=path,
        sha256=sha256(path),
        variant=variant,
        num_classes=num_classes,
        network=network,
        coverage=Coverage(used=len(state), left_over=left_over),
        classes=classes,
        palette=palette,
        input_size=_input_size(meta),
        state={k: v.float() if v.is_floating_point() else v for k, v in state.items()},
    )


def save_checkpoint(
    path: Path,
    model: EDAFormer,
    *,
    classes: Iterable[str] | None = None,
    palette: Iterable[Iterable[int]] | None = None,
    input_size: tuple[int, int] | None = None,
    half: bool = False,
) -> None:
    """Write ``model`` as safetensors under our own names; FP16 with ``half``."""
    save = require("safetensors.torch", "export").save
    state = {
        name: (value.half() if half and value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    meta: dict[str, object] = {"format": "edaformer-deploy", "variant": model.variant.name}
    if classes is not None:
        meta["classes"] = list(classes)
    if palette is not None:
        meta["palette"] = [list(colour) for colour in palette]
    if input_size is not None:
        meta["input_size"] = list(input_size)
    write_whole(path, save(state, metadata={"edaformer": json.dumps(meta)}))


def published_to_ours(key: str) -> str | None:
    """This package's name for a published parameter name, or None if it is not one."""
    if match := re.fullmatch(r"backbone\.patch_embed([1-4])\.(proj|norm)\.(\w+)", key):
        return f"encoder.stage{match[1]}.embed.{match[2]}.{match[3]}"
    if match := re.fullmatch(r"backbone\.norm([1-4])\.(\w+)", key):
        return f"encoder.stage{match[1]}.norm.{match[2]}"
    if match := re.fullmatch(r"backbone\.block([1-4])\.(\d+)\.(.+)\.(\w+)", key):
        leaf = _LEAVES.get(match[3])
        return leaf and f"encoder.stage{match[1]}.blocks.{match[2]}.{leaf}.{match[4]}"
    if match := re.fullmatch(r"decode_head\.(attn\d+)\.(.+)\.(\w+)", key):
        branch, leaf = _BRANCHES.get(match[1]), _LEAVES.get(match[2])
        return f"decoder.{branch}.{leaf}.{match[3]}" if branch and leaf else None
    if match := re.fullmatch(r"decode_head\.(linear_fuse\.\w+|linear_pred)\.(\w+)", key):
        head = _HEAD.get(match[1])
        return head and f"decoder.{head}.{match[2]}"
    return None


def _our_name(key: str) -> str:
    """Our name where the key is published or ours already; else the key, to be refused by name."""
    return published_to_ours(key) or key


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, and the metadata."""
    with path.open("rb") as file:
        head = file.read(16)
    if head[:4] == b"PK\x03\x04" or head[:1] == b"\x80":
        return _read_torch(path)
    if len(head) > 8 and head[8:9] == b"{":  # safetensors: 8 bytes of header length, then JSON
        return _read_safetensors(path)
    kind = _known_kind(head)
    raise CheckpointError(
        f"expected a PyTorch (.pth) or safetensors checkpoint, but {path} is {kind}; "
        "name the file that training wrote"
    )


def _known_kind(head: bytes) -> str:
    kinds = {b"\xff\xd8\xff": "a JPEG image", b"\x89PNG": "a PNG image", b"": "empty"}
    return next((kind for magic, kind in kinds.items() if magic and head.startswith(magic)),
                "empty" if not head else "neither")  # fmt: skip


def _read_torch(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    import pickle

    import torch

    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL ([\w.]+)", str(error))
        if name is None:
            raise _damaged(path) from error
        raise CheckpointError(
            f"{path} asks to run '{name[1]}' while loading, which a checkpoint has no need of; "
            "refused. Save it again with tensors, numbers and strings only"
        ) from error
    except (RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(path) from error
    return _unwrap(path, content)


def _unwrap(path: Path, content: object) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dict and meta out of whatever the file held."""
    import torch

    meta: dict[str, Any] = {}
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        if isinstance(content.get("meta"), Mapping):
            meta = dict(content["meta"])
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(
            f"{path} holds no state_dict; expected one under the key 'state_dict'"
        )
    tensors = {str(key): value for key, value in content.items()}
    odd = [key for key, value in tensors.items() if not isinstance(value, torch.Tensor)]
    if odd:
        raise CheckpointError(
            f"{path} holds {len(odd)} entries that are not tensors ({some(odd)}); "
            "expected a state dict of tensors"
        )
    return tensors, meta


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    safetensors = require("safetensors", "export")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            text = (file.metadata() or {}).get("edaformer", "{}")
        meta = parse_json(text)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _damaged(path) from error
    return tensors, meta if isinstance(meta, dict) else {}


def _numpy_globals() -> list[Any]:
    """What training logs put into ``meta``: NumPy scalars and arrays, under 1.x and 2.x names."""
    import numpy as np

    rebuild, scalar = np.ndarray(0).__reduce__()[0], np.float64(0).__reduce__()[0]
    named: list[Any] = [np.ndarray, np.dtype]
    for package in ("numpy.core", "numpy._core"):
        named.append((rebuild, f"{package}.multiarray._reconstruct"))
        named.append((scalar, f"{package}.multiarray.scalar"))
    dtypes = {type(np.dtype(code)) for code in "?bBhHiIlLqQefdgFDGSUV"}
    return named + sorted(dtypes, key=lambda kind: kind.__name__)


def _refuse_encoder_only(path: Path, tensors: Mapping[str, Tensor]) -> None:
    if any(key.startswith("patch_embed1.") for key in tensors):
        raise CheckpointError(
            f"{path} is the encoder alone, as pretrained on ImageNet: it has no decoder and cannot "
            "segment; use a checkpoint trained for segmentation"
        )


def _identify(path: Path, state: Mapping[str, Tensor]) -> tuple[Variant, int]:
    """Variant and class count, from two shapes."""
    embed = state.get("encoder.stage1.embed.proj.weight")
    classify = state.get("decoder.classify.weight")
    if embed is None or classify is None:
        raise CheckpointError(
            f"{path} is not an EDAFormer checkpoint: expected "
            "backbone.patch_embed1.proj.weight and "
            f"decode_head.linear_pred.weight among its {len(state)} keys, found {some(state)}"
            + ("; of a Hugging Face folder, name the folder" if _in_folder(path) else "")
        )
    for variant in VARIANTS.values():
        if embed.ndim == 4 and embed.shape[0] == variant.widths[0]:
            return variant, int(classify.shape[0]) if classify.ndim else 0
    known = ", ".join(f"{v.name} has {v.widths[0]}" for v in VARIANTS.values())
    raise CheckpointError(
        f"{path} has a first convolution of shape {tuple(embed.shape)}, which is no known variant "
        f"({known} output channels); use an EDAFormer-T or -B checkpoint"
    )


def _in_folder(path: Path) -> bool:
    return (path.parent / "config.json").is_file()


def _check(path: Path, state: Mapping[str, Tensor], variant: Variant, num_classes: int) -> None:
    """Refuse whatever would not load strictly, or would load and compute nonsense."""
    import torch

    from edaformer.families.edaformer.network import EDAFormer

    with torch.device("meta"):
        expected = EDAFormer(variant, max(num_classes, 1)).state_dict()
    optional = {key for key in expected if key.endswith("num_batches_tracked")}
    problems = {
        "missing": sorted(expected.keys() - state.keys() - optional),
        "unknown": sorted(state.keys() - expected.keys()),
        "wrongly shaped": [
            f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
            for key, value in expected.items()
            if key in state and state[key].shape != value.shape
        ],
        "not finite": [
            key for key, value in state.items() if not bool(torch.isfinite(value).all())
        ],
    }
    if found := misfits(problems):
        raise CheckpointError(
            f"{path} does not fit EDAFormer-{variant.name} with {num_classes} classes: "
            f"{found}; use a complete checkpoint of this model"
        )


def _classes(
    meta: Mapping[str, Any], num_classes: int
) -> tuple[tuple[str, ...] | None, tuple[tuple[int, int, int], ...] | None]:
    """Class names and palette from the metadata, where they are there and fit the class count."""
    dataset = meta.get("dataset_meta")
    sources = [meta, dataset] if isinstance(dataset, Mapping) else [meta]
    classes = _first(sources, "CLASSES", "classes")
    palette = _first(sources, "PALETTE", "palette")
    names = tuple(str(name) for name in classes) if classes is not None else None
    if names is not None and len(names) != num_classes:
        names = None
    if palette is None or len(palette) != num_classes:
        return names, None
    try:
        return names, tuple((int(r), int(g), int(b)) for r, g, b in palette)
    except (TypeError, ValueError):  # no colours; a palette is not worth refusing weights for
        return names, None


def _first(sources: Iterable[Mapping[str, Any]], *keys: str) -> list[Any] | None:
    """The first list-like value under one of the keys; NumPy arrays become lists."""
    for source in sources:
        for key in keys:
            value: Any = source.get(key)
            value = value.tolist() if hasattr(value, "tolist") else value
            if isinstance(value, (list, tuple)):
                return list(value)
    return None


def _input_size(meta: Mapping[str, Any]) -> tuple[int, int] | None:
    """(H, W) as our files record it, or the ``crop_size`` of a recorded training configuration."""
    recorded = meta.get("input_size")
    if isinstance(recorded, list) and [type(side) for side in recorded] == [int, int]:
        return recorded[0], recorded[1]
    crop = _CROP.search(str(meta.get("config", "")))
    return (int(crop[1]), int(crop[2])) if crop else None


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged or cut short: it could not be read as a checkpoint; copy it again"
    )
