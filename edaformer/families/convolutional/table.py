"""The decoders: one row each."""

from __future__ import annotations

from edaformer.families.convolutional.fpn import FPN
from edaformer.families.convolutional.fpn import NAMES as FPN_NAMES
from edaformer.families.convolutional.upernet import NAMES as UPERNET_NAMES
from edaformer.families.convolutional.upernet import UPerNet
from edaformer.families.formats.pairs import DecoderNames

AnyDecoder = UPerNet | FPN  # a manifest has any of them; ``kind`` tells them apart
USUAL: tuple[AnyDecoder, ...] = (UPerNet(), FPN())  # as published, for edaformer-info
NAMES: tuple[DecoderNames[AnyDecoder], ...] = (*UPERNET_NAMES, *FPN_NAMES)
