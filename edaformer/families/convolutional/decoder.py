"""What a decoder of convolutions gives: the numbers that tell one from another, and its counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import nn

    from edaformer.families.convolutional.steps import Maps, Step
    from edaformer.families.mit.sizes import Four


class Decoder(Protocol):
    """A frozen dataclass; what it leaves open is in ``table.DECODERS``."""

    @property
    def kind(self) -> str:
        """Its row in DECODERS, and what names of networks begin with: ``upernet``."""

    @property
    def title(self) -> str:
        """As people call it: ``UPerNet``."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """All of its sizes, which have to be above 0."""

    @property
    def out(self) -> int:
        """Channels that are classified."""

    @property
    def stride(self) -> int:
        """Input pixels to a position of the map that is classified."""

    @property
    def classify_kernel(self) -> int:
        """Of the convolution that classifies."""

    def steps(self, maps: Maps) -> Iterator[Step]:
        """Its layers on these maps, classifying left out."""

    def body(self, widths: Four) -> nn.Module:
        """The module between the encoder's maps, c4 first, and what is classified.

        (B, C4, H / 32, W / 32), ..., (B, C1, H / 4, W / 4) -> (B, out, H / stride, W / stride).
        """
