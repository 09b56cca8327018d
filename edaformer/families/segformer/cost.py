"""What an image costs a SegFormer, in multiply-adds and parameters (families/cost.py)."""

from __future__ import annotations

from edaformer.families.cost import Cost, PartCost, maps_of
from edaformer.families.mit.cost import count_encoder, encoder_params
from edaformer.families.segformer.sizes import SegFormerSizes
from edaformer.isr import ISR


def count(sizes: SegFormerSizes, num_classes: int, size: tuple[int, int], isr: ISR) -> Cost:
    """One image of ``size`` (H, W), which the ISR fits."""
    tokens = [height * width for height, width in maps_of(isr.places, size)]
    width = sizes.decoder_width
    embed = sum(n * channels * width for n, channels in zip(tokens, sizes.widths, strict=True))
    head = embed + tokens[0] * width * (4 * width + num_classes)
    parts = (*count_encoder(sizes, size, isr.encoder), PartCost("fuse and classify", head, 0))
    return Cost(count_params(sizes, num_classes), parts)


def count_params(sizes: SegFormerSizes, num_classes: int) -> int:
    """Trainable ones."""
    width = sizes.decoder_width
    fuse = 4 * width**2 + 2 * width + (width + 1) * num_classes  # its norm, and classify
    beside = 2 if sizes.head == "convolutions" else 1  # norm, or bias
    branches = sum((channels + beside) * width for channels in sizes.widths)
    return encoder_params(sizes) + fuse + branches
