"""Checkpoints: EDAFormer's published ``.pth`` files and our own safetensors.

A published file is ``torch.save`` of {"meta", "state_dict", maybe "optimizer"}, with an unused
``decode_head.conv_seg``. Ours is safetensors under this package's own parameter names, FP16 or
FP32, with class names and input size as metadata. What else may be around the weights, and how a
file is read without running anything, is families/reading's.

Variant and class count follow from the shapes. Loading is strict: whatever is missing, unknown,
misshapen or not finite is refused, because a half-loaded network still produces pretty pictures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.errors import CheckpointError, require
from edaformer.families.checkpoint import Checkpoint, Coverage, misfits, some
from edaformer.families.edaformer.sizes import VARIANTS, Variant
from edaformer.families.given import Given, with_training
from edaformer.families.reading.folder import ADAPTER
from edaformer.families.reading.prefixes import renamed
from edaformer.families.reading.training import training
from edaformer.families.reading.weights import read_weights
from edaformer.files import sha256, write_whole
from edaformer.isr import ISR

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.edaformer.network import EDAFormer

__all__ = ["load", "network", "owns", "published_to_ours", "save_checkpoint", "sha256"]

ANCHORS = ("backbone.patch_embed1.proj.weight", "encoder.stage1.embed.proj.weight")
_UNUSED = re.compile(r"decode_head\.conv_seg\.(weight|bias)")  # in every published file
_BRANCHES = {"attn4": "c4.blocks.0", "attn44": "c4.blocks.1", "attn444": "c4.blocks.2",
             "attn3": "c3.blocks.0", "attn33": "c3.blocks.1", "attn2": "c2.blocks.0"}  # fmt: skip
_LEAVES = {"attn.sr": "attention.kv", "attn.proj": "attention.proj", "attn.norm": "attention.norm",
           "mlp.dwconv.dwconv": "mlp.dwconv", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2",
           "norm1": "norm1", "norm2": "norm2"}  # fmt: skip
_HEAD = {"linear_fuse.conv": "fuse.conv", "linear_fuse.bn": "fuse.norm", "linear_pred": "classify"}


def owns(path: Path) -> bool:
    """Whether there is a file: what it holds is found out by reading it."""
    return path.is_file()


def network(sizes: Variant, num_classes: int, isr: ISR) -> EDAFormer:
    """The network of these sizes, freshly initialised; what imports PyTorch."""
    from edaformer.families.edaformer.network import EDAFormer

    return EDAFormer(sizes, num_classes, isr)


def load(path: Path, given: Given) -> Checkpoint:
    """Read and check a file; nothing in it is executed.

    Raises:
        InputError: if somebody gives what the file says itself.
        CheckpointError: if it is not a complete, sound checkpoint.
        MissingError: without torch (or safetensors, where it is one).
    """
    given.refuse_said(str(path), "an EDAFormer's weights say it")
    _refuse_adapter(path)
    read = read_weights(path, ANCHORS)
    _refuse_encoder_only(path, read.tensors)
    left_over = tuple(sorted(key for key in read.tensors if _UNUSED.fullmatch(key)))
    used = {key: value for key, value in read.tensors.items() if key not in left_over}
    state = renamed(path, used, our_name)
    variant, num_classes = _identify(path, state)
    _check(path, state, variant, num_classes)
    checkpoint = Checkpoint(
        path=path,
        sha256=sha256(path),
        variant=variant,
        num_classes=num_classes,
        network=network,
        coverage=Coverage(used=len(state), left_over=(*left_over, *read.left_over)),
        state={k: v.float() if v.is_floating_point() else v for k, v in state.items()},
    )
    return with_training(checkpoint, training(read.meta, num_classes))


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


def our_name(key: str) -> str:
    """Our name where the key is published or ours already; else the key, to be refused by name."""
    return published_to_ours(key) or key


def _refuse_adapter(path: Path) -> None:
    """One beside the file would be left out without a word."""
    if (path.parent / ADAPTER).is_file() and not _in_folder(path):
        raise CheckpointError(
            f"beside {path} there is an adapter ({ADAPTER}), which is merged for Hugging Face "
            "folders alone; merge it where it was trained (model.merge_and_unload()), or move one "
            "of the two away"
        )


def _refuse_encoder_only(path: Path, tensors: Mapping[str, Tensor]) -> None:
    heads = any("decode_head." in key or key.startswith("decoder.") for key in tensors)
    if not heads and any(key.endswith("patch_embed1.proj.weight") for key in tensors):
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
