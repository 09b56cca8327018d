"""The names of all tensors in a file of weights, without its values: enough to tell whose it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from edaformer.errors import CheckpointError, MissingError
from edaformer.families.reading import safetensors_file
from edaformer.families.reading.border import border
from edaformer.families.reading.inert import OddTensor, Stored
from edaformer.families.reading.kinds import refuse_other
from edaformer.families.reading.torch_file import open_torch
from edaformer.families.reading.weights import is_safetensors

_DEEPEST = 3  # envelopes in envelopes


def keys_of(path: Path) -> tuple[str, ...]:
    """Wherever in the file they lie; none where it cannot be read, which reading it will say."""
    try:
        now = path.stat()
    except OSError:
        return ()
    return _keys_of(path.absolute(), now.st_mtime_ns, now.st_size)


@lru_cache(maxsize=8)  # a command asks whose a file is some times before it reads it
def _keys_of(path: Path, changed: int, size: int) -> tuple[str, ...]:
    del changed, size
    try:
        with border(path):
            refuse_other(path)
            if is_safetensors(path):
                return safetensors_file.names(path)
            with open_torch(path, whole=False) as file:
                return tuple(_tensors(file.content, _DEEPEST))
    except (CheckpointError, MissingError):
        return ()


def _tensors(content: Any, depth: int) -> Iterator[str]:
    if not isinstance(content, Mapping) or depth == 0:
        return
    for key, value in content.items():
        if isinstance(value, (Stored, OddTensor)):
            yield str(key)
        else:
            yield from _tensors(value, depth - 1)
