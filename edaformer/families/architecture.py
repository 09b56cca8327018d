"""What the commands know of a model's sizes, of whatever family."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Protocol, cast

from edaformer.isr import Places


class Architecture(Protocol):
    """The sizes of one model, of whatever family: a frozen dataclass."""

    @property
    def family(self) -> str:
        """Its row in FAMILIES."""

    @property
    def name(self) -> str:
        """As manifests and file names call it: ``T``, ``segformer-b0``."""

    @property
    def title(self) -> str:
        """As people call it: ``EDAFormer-T``, ``SegFormer-B0``."""

    @property
    def places(self) -> Places:
        """Where it pools, and the ratios it was trained at."""

    @property
    def logits_stride(self) -> int:
        """Input pixels to a logit, in height and width."""

    @property
    def kept_maps(self) -> tuple[tuple[int, int], ...]:
        """(channels, stride) of the maps that wait for the decoder."""

    @property
    def attention_names(self) -> tuple[str, ...]:
        """The module names of all attention blocks, in the order they run."""


def numbers(sizes: Architecture) -> dict[str, str]:
    """All that tells one network from another, each by its name."""
    own = cast("Any", sizes)
    return {field.name: str(getattr(own, field.name)) for field in fields(own)}
