"""Inference Spatial Reduction (EDAFormer, section 3.3): a model's pooling ratios, as one value.

Text forms, in the paper's order ``[encoder stage 1..4]-[decoder c4, c3, c2]``:

    16,8,4,1          four encoder ratios; the decoder stays at the trained ones
    16,8,4,1-2,4,8    all seven
    base, paper       the two settings the paper names

Ratios are *effective* (not multipliers on the trained ones, as the published test script takes
them) and each is an integer multiple of its trained ratio. Where a model pools and what it was
trained at is its family's and its checkpoint's matter (``Places``); EDAFormer's are here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from edaformer.errors import ISRError

BASE_ENCODER = (8, 4, 2, 1)  # trained ratios, paper section 4.1
BASE_DECODER = (1, 2, 4)  # on c4, c3, c2
_NUMBER = re.compile("[0-9]{1,6}")
_LARGEST = 8192  # a ratio above the largest input side can never fit


@dataclass(frozen=True)
class Place:
    """A part of a network whose attention pools its keys and values."""

    name: str
    base: int  # the ratio it was trained at
    stride: int  # of the feature map it pools, in input pixels


@dataclass(frozen=True)
class Places:
    """All places of a model, in the order of its ratios, and how a setting of them is written."""

    encoder: tuple[Place, ...]
    decoder: tuple[Place, ...] = ()
    examples: str = "base"  # text forms, for whoever wrote another
    named: tuple[tuple[str, tuple[int, ...]], ...] = ()  # settings with a name, besides base

    @property
    def all(self) -> tuple[Place, ...]:
        """The encoder's, then the decoder's."""
        return self.encoder + self.decoder

    @property
    def base(self) -> ISR:
        """The ratios it was trained at."""
        return self.isr(tuple(place.base for place in self.all))

    def isr(self, ratios: tuple[int, ...]) -> ISR:
        """These ratios of all places, as a value.

        Raises:
            ISRError: if there are not as many as places, or one is no multiple of its trained one.
        """
        return ISR(ratios[: len(self.encoder)], ratios[len(self.encoder) :], self)


EDAFORMER = Places(
    encoder=(
        Place("encoder stage 1", BASE_ENCODER[0], 4),
        Place("encoder stage 2", BASE_ENCODER[1], 8),
        Place("encoder stage 3", BASE_ENCODER[2], 16),
        Place("encoder stage 4", BASE_ENCODER[3], 32),
    ),
    decoder=(
        Place("decoder c4", BASE_DECODER[0], 32),
        Place("decoder c3", BASE_DECODER[1], 16),
        Place("decoder c2", BASE_DECODER[2], 8),
    ),
    examples="16,8,4,1 or 16,8,4,1-2,4,8 (or base, paper)",
    named=(("paper", (16, 8, 2, 1, 2, 4, 8)),),  # the "w/ ISR" rows of the paper's tables
)


@dataclass(frozen=True)
class ISR:
    """Effective pooling ratios of all places of a model; EDAFormer's unless it says otherwise."""

    encoder: tuple[int, ...] = BASE_ENCODER
    decoder: tuple[int, ...] = BASE_DECODER
    places: Places = field(default=EDAFORMER, repr=False)

    def __post_init__(self) -> None:
        for ratios, places in (
            (self.encoder, self.places.encoder),
            (self.decoder, self.places.decoder),
        ):
            if len(ratios) != len(places):
                raise ISRError(
                    f"expected an ISR like {self.places.examples}, got {len(self.encoder)} encoder "
                    f"and {len(self.decoder)} decoder ratios"
                )
        for place, ratio in zip(self.places.all, self.ratios, strict=True):
            _check_ratio(place, ratio)

    @classmethod
    def parse(cls, text: str, places: Places = EDAFORMER) -> ISR:
        """Read a name or a text form.

        Args:
            text: as a person wrote it.
            places: of the model it is for.

        Raises:
            ISRError: naming what came and the forms that are understood.
        """
        settings = {"base": places.base.ratios, **dict(places.named)}
        if text.strip() in settings:
            return places.isr(settings[text.strip()])
        _refuse_multipliers(text.strip(), places)
        if text.strip() in dict(EDAFORMER.named):
            raise ISRError(
                f"'{text.strip()}' is a setting of EDAFormer, and this is another model; "
                f"use an ISR like {places.examples}"
            )
        encoder, dash, decoder = text.partition("-")
        return cls(
            encoder=_ratios(encoder, places.encoder, text, places),
            decoder=_ratios(decoder, places.decoder, text, places)
            if dash
            else tuple(place.base for place in places.decoder),
            places=places,
        )

    @property
    def ratios(self) -> tuple[int, ...]:
        """All of them, in the order of the places."""
        return self.encoder + self.decoder

    @property
    def name(self) -> str | None:
        """``base`` or ``paper`` where the setting has a name."""
        if self.ratios == tuple(place.base for place in self.places.all):
            return "base"
        return next((name for name, own in self.places.named if own == self.ratios), None)

    @property
    def slug(self) -> str:
        """A form for file names: the name, else the ratios joined by dashes and underscores."""
        if self.name is not None:
            return self.name
        encoder = "-".join(map(str, self.encoder))
        if self.decoder == tuple(place.base for place in self.places.decoder):
            return encoder
        return f"{encoder}_{'-'.join(map(str, self.decoder))}"

    def __str__(self) -> str:
        encoder, decoder = (",".join(map(str, part)) for part in (self.encoder, self.decoder))
        return f"{encoder}-{decoder}" if decoder else encoder

    def check_fits(self, height: int, width: int) -> None:
        """Refuse an input whose feature maps cannot hold one pooling window.

        Args:
            height: input height in pixels, after any padding.
            width: input width in pixels, after any padding.

        Raises:
            ISRError: naming the place, its map and the smallest input that fits.
        """
        for place, ratio in zip(self.places.all, self.ratios, strict=True):
            rows, columns = -(-height // place.stride), -(-width // place.stride)
            if ratio > min(rows, columns):
                smallest = place.stride * (ratio - 1) + 1
                raise ISRError(
                    f"ISR ratio {ratio} of {place.name} is larger than its {rows}x{columns} map at "
                    f"input {height}x{width}; use an input of at least {smallest}x{smallest} "
                    "or a smaller ratio"
                )


def _refuse_multipliers(text: str, places: Places) -> None:
    """``2211-222``: what the release's test script takes, its decoder in the order c2, c3, c4."""
    match = re.fullmatch("([1-9]+)(?:-([1-9]+))?", text)
    if match is None or len(match[1]) != len(places.encoder):
        return
    decoder = (match[2] or "1" * len(places.decoder))[::-1]
    if len(decoder) != len(places.decoder):
        return
    factors = map(int, match[1] + decoder)
    meant = places.isr(tuple(p.base * by for p, by in zip(places.all, factors, strict=True)))
    raise ISRError(
        f"'{text}' is in multipliers, as the release's test script takes them; ratios are "
        f"effective here: --isr {meant}"
    )


def _check_ratio(place: Place, ratio: int) -> None:
    if ratio > _LARGEST:
        raise ISRError(f"ISR ratio {ratio} of {place.name} is above {_LARGEST}; use a smaller")
    if ratio < place.base or ratio % place.base:
        allowed = ", ".join(str(place.base * factor) for factor in (1, 2, 4, 8))
        raise ISRError(
            f"ISR ratio {ratio} of {place.name} is not a multiple of its trained ratio "
            f"{place.base}; use one of {allowed}, ..."
        )


def _ratios(part: str, wanted: tuple[Place, ...], text: str, places: Places) -> tuple[int, ...]:
    numbers = [number.strip() for number in part.split(",")]
    if len(numbers) != len(wanted) or not all(_NUMBER.fullmatch(number) for number in numbers):
        problem = (
            f"'{part}' is not {len(wanted)} numbers" if wanted else "its decoder pools nothing"
        )
        raise ISRError(f"expected an ISR like {places.examples}, got '{text}': {problem}")
    return tuple(int(number) for number in numbers)


BASE = EDAFORMER.base
PAPER = ISR.parse("paper")
