"""What a checkpoint that was adapted says of how it came about (engines/adapt)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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


def read_adapted(record: object, notes: list[str]) -> Adapted | None:
    """What a file says; None, with a note, where it is damaged."""
    try:
        return Adapted.model_validate(record)
    except (ValidationError, RecursionError):
        notes.append("its record of an adaptation is left out: it is not as edaformer-adapt writes")
        return None
