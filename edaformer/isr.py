"""Inference Spatial Reduction (EDAFormer, section 3.3): the seven pooling ratios, as one value.

Text forms, in the paper's order ``[encoder stage 1..4]-[decoder c4, c3, c2]``:

    16,8,4,1          four encoder ratios; the decoder stays at the trained ones
    16,8,4,1-2,4,8    all seven
    base, paper       the two settings the paper names

Ratios are *effective* kernel sizes (not multipliers on the trained ones, as the published test
script takes them) and each is an integer multiple of its trained ratio.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edaformer.errors import ISRError

BASE_ENCODER = (8, 4, 2, 1)  # trained ratios, paper section 4.1
BASE_DECODER = (1, 2, 4)  # on c4, c3, c2
PLACES = (
    "encoder stage 1",
    "encoder stage 2",
    "encoder stage 3",
    "encoder stage 4",
    "decoder c4",
    "decoder c3",
    "decoder c2",
)
STRIDES = (4, 8, 16, 32, 32, 16, 8)  # of the feature map each place pools, in input pixels
_NUMBER = re.compile("[0-9]{1,6}")
_LARGEST = 8192  # a ratio above the largest input side can never fit


@dataclass(frozen=True)
class ISR:
    """Effective pooling ratios of the seven attention places."""

    encoder: tuple[int, int, int, int] = BASE_ENCODER
    decoder: tuple[int, int, int] = BASE_DECODER

    def __post_init__(self) -> None:
        for place, ratio, base in zip(PLACES, self.ratios, base_ratios(), strict=True):
            if ratio > _LARGEST:
                raise ISRError(f"ISR ratio {ratio} of {place} is above {_LARGEST}; use a smaller")
            if ratio < base or ratio % base:
                allowed = ", ".join(str(base * factor) for factor in (1, 2, 4, 8))
                raise ISRError(
                    f"ISR ratio {ratio} of {place} is not a multiple of its trained ratio {base}; "
                    f"use one of {allowed}, ..."
                )

    @classmethod
    def parse(cls, text: str) -> ISR:
        """Read a name or a text form.

        Raises:
            ISRError: naming what came and the forms that are understood.
        """
        known = {name: value for value, name in _NAMES.items()}
        if text.strip() in known:
            return known[text.strip()]
        encoder, dash, decoder = text.partition("-")
        return cls(
            encoder=_ratios(encoder, count=4, text=text),  # type: ignore[arg-type]
            decoder=_ratios(decoder, count=3, text=text) if dash else BASE_DECODER,  # type: ignore[arg-type]
        )

    @property
    def ratios(self) -> tuple[int, ...]:
        """All seven, in the order of PLACES."""
        return self.encoder + self.decoder

    @property
    def name(self) -> str | None:
        """``base`` or ``paper`` where the setting has a name."""
        return _NAMES.get(self)

    @property
    def slug(self) -> str:
        """A form for file names: the name, else the ratios joined by dashes and underscores."""
        if self.name is not None:
            return self.name
        encoder = "-".join(map(str, self.encoder))
        if self.decoder == BASE_DECODER:
            return encoder
        return f"{encoder}_{'-'.join(map(str, self.decoder))}"

    def __str__(self) -> str:
        return f"{','.join(map(str, self.encoder))}-{','.join(map(str, self.decoder))}"

    def check_fits(self, height: int, width: int) -> None:
        """Refuse an input whose feature maps cannot hold one pooling window.

        Args:
            height: input height in pixels, after any padding.
            width: input width in pixels, after any padding.

        Raises:
            ISRError: naming the place, its map and the smallest input that fits.
        """
        for place, ratio, stride in zip(PLACES, self.ratios, STRIDES, strict=True):
            rows, columns = -(-height // stride), -(-width // stride)
            if ratio > min(rows, columns):
                smallest = stride * (ratio - 1) + 1
                raise ISRError(
                    f"ISR ratio {ratio} of {place} is larger than its {rows}x{columns} map at "
                    f"input {height}x{width}; use an input of at least {smallest}x{smallest} "
                    "or a smaller ratio"
                )


def base_ratios() -> tuple[int, ...]:
    """The trained ratios, in the order of PLACES."""
    return BASE_ENCODER + BASE_DECODER


def _ratios(part: str, *, count: int, text: str) -> tuple[int, ...]:
    numbers = [number.strip() for number in part.split(",")]
    if len(numbers) != count or not all(_NUMBER.fullmatch(number) for number in numbers):
        raise ISRError(
            f"expected an ISR like 16,8,4,1 or 16,8,4,1-2,4,8 (or base, paper), got '{text}': "
            f"'{part}' is not {count} numbers"
        )
    return tuple(int(number) for number in numbers)


BASE = ISR()
PAPER = ISR((16, 8, 2, 1), (2, 4, 8))  # the "w/ ISR" rows of the paper's tables
_NAMES = {BASE: "base", PAPER: "paper"}
