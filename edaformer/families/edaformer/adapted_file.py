"""Write an adapted EDAFormer as its source was written: its format, its names, its numbers' types.

A published ``.pth`` stays one that the published code loads strictly (the unused ``conv_seg`` goes
along); of its meta the plain values stay, and the record of the adaptation is added.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edaformer.errors import InputError, require
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.edaformer.loader import ANCHORS, our_name
from edaformer.families.reading.training import ADAPTED
from edaformer.families.reading.weights import is_safetensors, read_weights
from edaformer.files import check_writable, write_whole

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.adapted import Adapted

_SAFETENSORS = ".safetensors"


def check_output(checkpoint: Checkpoint, path: Path) -> None:
    """Refuse what cannot be written, before any work is done for it.

    Raises:
        InputError: naming the path and what to do.
    """
    check_writable(path, checkpoint.path, weights=True)
    own = is_safetensors(checkpoint.path)
    if own != (path.suffix == _SAFETENSORS):
        wanted = _SAFETENSORS if own else ".pth"
        raise InputError(
            f"an adapted checkpoint has its source's format, and {checkpoint.name} is "
            f"{'safetensors' if own else 'a PyTorch file'}; name {path.with_suffix(wanted)} with -o"
        )


def save_adapted(
    checkpoint: Checkpoint, state: Mapping[str, Tensor], record: Adapted, path: Path
) -> None:
    """As ``families.table.save_adapted`` says, for this family."""
    read = read_weights(checkpoint.path, ANCHORS)
    tensors = {
        name: state[our_name(name)].to(old.dtype).contiguous() if our_name(name) in state else old
        for name, old in read.tensors.items()
    }
    meta = {**_plain(read.meta), ADAPTED: record.model_dump(mode="json")}
    if is_safetensors(checkpoint.path):
        save = require("safetensors.torch", "export").save
        write_whole(path, save(tensors, metadata={"edaformer": json.dumps(meta)}))
        return
    import torch

    buffer = io.BytesIO()
    torch.save({"meta": meta, "state_dict": tensors}, buffer)
    write_whole(path, buffer.getvalue())


def _plain(value: Any) -> Any:
    """Numbers, texts and containers of them; None for what else a training loop wrote."""
    if hasattr(value, "tolist"):  # NumPy's and PyTorch's
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool)) else None
