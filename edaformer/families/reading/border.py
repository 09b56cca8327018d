"""The border around the reading of a checkpoint."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from edaformer import border as house
from edaformer.errors import CheckpointError


def border(path: Path) -> AbstractContextManager[None]:
    """Around nothing but the reading of ``path``: its parsers' words become a CheckpointError."""
    return house.border(
        lambda words: CheckpointError(
            f"{path} is damaged or cut short: it cannot be read as a checkpoint ({words}); "
            "copy it again"
        )
    )
