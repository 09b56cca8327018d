"""What a checkpoint that was adapted says of how it came about (engines/adapt)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

KEY = "edaformer_adapted"  # in a file's meta, or a folder's config.json
_SHA256 = Field(pattern="^[0-9a-f]{64}$")


class Adapted(BaseModel):
    """From what, for what, on what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(pattern=r"^[^/\\\x00]{1,255}$")  # the original checkpoint's file name
    source_sha256: str = _SHA256
    isr: tuple[str, ...] = Field(min_length=1, max_length=64)  # the settings that were learnt
    frames: int = Field(ge=1)
    frames_sha256: str = _SHA256
    steps: int = Field(ge=1)
    seed: int = Field(ge=0)
    tool_version: str = Field(min_length=1, max_length=64)

    @property
    def text(self) -> str:
        """For people."""
        frames = f"{self.frames} unlabelled frames"
        return f"{'; '.join(self.isr)} (from {self.source}, {self.steps} steps on {frames})"

    def other_than(self, isr: str) -> str | None:
        """A note for who uses it at an ISR that it was not adapted for; None where it was."""
        if isr in self.isr:
            return None
        return (
            f"the checkpoint was adapted for {'; '.join(self.isr)}, and this is {isr}: it may do "
            f"worse than {self.source}, which it was made from"
        )


def read_adapted(meta: Mapping[str, Any], notes: list[str]) -> Adapted | None:
    """The record in a file's meta; None without one, or, with a note, where it is damaged."""
    if KEY not in meta:
        return None
    try:
        return Adapted.model_validate(meta[KEY])
    except (ValidationError, RecursionError):
        notes.append("its record of an adaptation is left out: it is not as edaformer-adapt writes")
        return None
