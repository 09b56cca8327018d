"""JSON objects of other people's folders, read within bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edaformer.errors import CheckpointError

_LARGEST = 1 << 24  # bytes: an index of 100,000 weights is half of it


def read_object(path: Path) -> dict[str, Any]:
    """Its content.

    Raises:
        CheckpointError: if it is none, or no JSON.
    """
    if path.stat().st_size > _LARGEST:
        raise CheckpointError(f"{path} is above {_LARGEST >> 20} MiB; copy the folder again")
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON; copy the folder again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no JSON object; copy the folder again")
    return content
