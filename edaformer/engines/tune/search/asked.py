"""What is asked of whoever tries settings, and what comes back: an image, and settings at it.

The settings that one image is asked at go together, since they share all that Prefixes keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edaformer.engines.tune.search.rows import Counts
from edaformer.engines.tune.search.setting import Setting


@dataclass(frozen=True)
class Asked:
    """One unit of the search's work."""

    at: int  # the image's index
    settings: tuple[Setting, ...]  # ascending in their ratios


@dataclass(frozen=True)
class Tried:
    """What one image contributes to its settings."""

    at: int
    name: str
    sha256: str  # of the pixels
    counts: Mapping[Setting, Counts]
