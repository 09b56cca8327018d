"""The decoders: one row each."""

from __future__ import annotations

from edaformer.families.convolutional.unet import NAMES as UNET_NAMES
from edaformer.families.convolutional.unet import SMP_CLASS as UNET_CLASS
from edaformer.families.convolutional.unet import Unet
from edaformer.families.convolutional.upernet import NAMES as UPERNET_NAMES
from edaformer.families.convolutional.upernet import SMP_CLASS as UPERNET_CLASS
from edaformer.families.convolutional.upernet import UPerNet
from edaformer.families.formats.pairs import DecoderNames

AnyDecoder = UPerNet | Unet  # a manifest has any of them; ``kind`` tells them apart
USUAL: tuple[AnyDecoder, ...] = (UPerNet(), Unet())  # as published, for edaformer-info
SMP_CLASSES = (UPERNET_CLASS, UNET_CLASS)
NAMES: tuple[DecoderNames[AnyDecoder], ...] = (*UPERNET_NAMES, *UNET_NAMES)
