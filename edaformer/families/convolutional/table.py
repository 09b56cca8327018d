"""The decoders: one row each."""

from __future__ import annotations

from edaformer.families.convolutional.deeplab.decoder import NAMES as DEEPLAB_NAMES
from edaformer.families.convolutional.deeplab.decoder import SMP_CLASS as DEEPLAB_CLASS
from edaformer.families.convolutional.deeplab.decoder import DeepLab
from edaformer.families.convolutional.fpn import FPN
from edaformer.families.convolutional.fpn import NAMES as FPN_NAMES
from edaformer.families.convolutional.fpn import SMP_CLASS as FPN_CLASS
from edaformer.families.convolutional.unet import NAMES as UNET_NAMES
from edaformer.families.convolutional.unet import SMP_CLASS as UNET_CLASS
from edaformer.families.convolutional.unet import Unet
from edaformer.families.convolutional.upernet import NAMES as UPERNET_NAMES
from edaformer.families.convolutional.upernet import SMP_CLASS as UPERNET_CLASS
from edaformer.families.convolutional.upernet import UPerNet
from edaformer.families.formats.pairs import DecoderNames

AnyDecoder = UPerNet | FPN | Unet | DeepLab  # a manifest has any of them; ``kind`` tells them apart
USUAL: tuple[AnyDecoder, ...] = (UPerNet(), FPN(), Unet())  # as published, for edaformer-info
USUAL_DILATED: tuple[AnyDecoder, ...] = (DeepLab(),)  # over MiT alone
SMP_CLASSES = (UPERNET_CLASS, FPN_CLASS, UNET_CLASS, DEEPLAB_CLASS)
NAMES: tuple[DecoderNames[AnyDecoder], ...] = (
    *UPERNET_NAMES, *FPN_NAMES, *UNET_NAMES, *DEEPLAB_NAMES,
)  # fmt: skip
