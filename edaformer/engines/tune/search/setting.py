"""What is tried: an ISR in float, or an ISR with parts of the network in eight bits.

In float it is the ISR itself, tried through PyTorch. In eight bits it is a graph that was exported
for it, which ONNX Runtime runs: what ``edaformer-export`` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from edaformer.errors import InputError
from edaformer.export.quantise.parts import EightBits, Part, parse_parts
from edaformer.isr import ISR, Places


@dataclass(frozen=True)
class InEightBits:
    """An ISR, and the parts that compute in eight bits at it."""

    isr: ISR
    precision: EightBits
    parts: tuple[Part, ...]
    origin: str  # a digest of what its graph depends on beside them: calibration, versions

    @property
    def ratios(self) -> tuple[int, ...]:
        """The ISR's."""
        return self.isr.ratios

    @property
    def form(self) -> str:
        """``fp8 attention+mlp``."""
        return f"{self.precision} {'+'.join(self.parts)}"

    def __str__(self) -> str:
        return f"{self.isr} {self.form}"


Setting = ISR | InEightBits
Graphs = Mapping[InEightBits, Path]  # the ONNX file of each


def isr_of(setting: Setting) -> ISR:
    """Its ISR, which costs the same multiply-adds."""
    return setting if isinstance(setting, ISR) else setting.isr


def parts_of(setting: Setting) -> tuple[Part, ...]:
    """What is in eight bits."""
    return () if isinstance(setting, ISR) else setting.parts


def key_of(setting: Setting) -> str:
    """What tells it from all others, in a results file."""
    return str(setting) if isinstance(setting, ISR) else f"{setting} {setting.origin}"


def parse_setting(text: str, places: Places) -> Setting:
    """Read ``key_of``'s text.

    Raises:
        InputError: if it is none.
    """
    isr, *rest = text.split(" ")
    if not rest:
        return ISR.parse(isr, places)
    if len(rest) != 3 or rest[0] not in get_args(EightBits):
        raise InputError(f"expected an ISR, a precision, parts and their origin, got '{text}'")
    parts = parse_parts(rest[1].replace("+", ","))
    return InEightBits(ISR.parse(isr, places), cast(EightBits, rest[0]), parts, rest[2])
