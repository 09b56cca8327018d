"""JSON objects of other people's folders, read within bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edaformer.errors import CheckpointError
from edaformer.json_text import read_json


def read_object(path: Path) -> dict[str, Any]:
    """Its content.

    Raises:
        CheckpointError: if it is none, or no JSON.
    """
    try:
        content = read_json(path)
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON ({error}); copy the folder again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no JSON object; copy the folder again")
    return content
