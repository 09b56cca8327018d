"""Networks as segmentation_models_pytorch makes them, small enough for float64 and for tracing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from edaformer.families.convolutional.deeplab.decoder import DeepLab
from edaformer.families.convolutional.network import ConvolutionalNetwork
from edaformer.families.convolutional.sizes import ConvolutionalSizes
from edaformer.families.convolutional.unet import Unet
from edaformer.families.convolutional.upernet import UPerNet
from edaformer.families.formats.naming import Format, Naming
from edaformer.families.given import Given
from edaformer.families.mit.sizes import DILATED_STRIDES
from tests.tiny import shaken

UNET = ConvolutionalSizes(
    (16, 32, 80, 64), (2, 1, 1, 1), Unet((40, 32, 24, 16, 8)), heads=(1, 2, 5, 2),
    mlp_ratios=(2, 2, 2, 2),
)  # fmt: skip
UPERNET = replace(UNET, decoder=UPerNet(24, normed=True), upsampling=4)
DEEPLAB = replace(
    UNET, decoder=DeepLab(24, 16), upsampling=4, dilated=True, strides=DILATED_STRIDES
)


def tiny_network(
    sizes: ConvolutionalSizes, factor: int = 1, num_classes: int = 5
) -> ConvolutionalNetwork:
    """Shaken; its ISR is ``factor`` times the base."""
    isr = sizes.places.isr(tuple(factor * ratio for ratio in sizes.ratios))
    return shaken(ConvolutionalNetwork(sizes, num_classes, isr))


def their_state(model: ConvolutionalNetwork, form: Format) -> dict[str, torch.Tensor]:
    """A network's weights under a format's names."""
    depths = enumerate(model.variant.depths)  # type: ignore[attr-defined]  # the family's own
    blocks = [form.block.format(s=at + 1, i=at, b=b) for at, depth in depths for b in range(depth)]
    ours = model.state_dict()
    places = Naming(form, blocks).places(ours)
    return {name: torch.cat([ours[one] for one in place.ours]) if len(place.ours) > 1
            else ours[place.ours[0]] for name, place in places.items()}  # fmt: skip


def save(path: Path, state: Mapping[str, torch.Tensor], **beside: Any) -> Path:
    """A state dict alone, or in an envelope with a meta."""
    torch.save({"state_dict": dict(state), **beside} if beside else dict(state), path)
    return path


HEADS = Given(heads=(1, 2, 5, 2))
