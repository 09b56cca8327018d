"""Write adapted weights into a file like the one they come from: a PyTorch file, or safetensors.

Of a file's meta the plain values stay, and the record of the adaptation is added.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edaformer.errors import InputError, require
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.reading.training import ADAPTED
from edaformer.families.reading.weights import is_safetensors
from edaformer.files import check_new_folder, check_writable, write_whole

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.adapted import Adapted

_SAFETENSORS = ".safetensors"


def check_output(checkpoint: Checkpoint, path: Path) -> None:
    """Refuse what cannot be written, before any work is done for it.

    Raises:
        InputError: naming the path and what to do.
    """
    if checkpoint.path.is_dir():
        check_new_folder(path)
        return
    check_writable(path, checkpoint.path, weights=True)
    own = is_safetensors(checkpoint.path)
    if own != (path.suffix == _SAFETENSORS):
        wanted = _SAFETENSORS if own else ".pth"
        raise InputError(
            f"an adapted checkpoint has its source's format, and {checkpoint.name} is "
            f"{'safetensors' if own else 'a PyTorch file'}; name {path.with_suffix(wanted)} with -o"
        )


def write_adapted(
    path: Path, source: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, Any],
    record: Adapted,
) -> None:  # fmt: skip
    """Write ``tensors`` by the names in ``source``, in its format.

    Raises:
        InputError: if it cannot be written.
    """
    kept = {**_plain(meta), ADAPTED: record.model_dump(mode="json")}
    if is_safetensors(source):
        save = require("safetensors.torch", "export").save
        write_whole(path, save(dict(tensors), metadata={"edaformer": json.dumps(kept)}))
        return
    import torch

    buffer = io.BytesIO()
    torch.save({"meta": kept, "state_dict": dict(tensors)}, buffer)
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
