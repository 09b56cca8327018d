"""What an image costs, in multiply-adds and parameters (families/cost.py), and layer by layer."""

from __future__ import annotations

from collections.abc import Iterator

from edaformer.families.convolutional.sizes import ConvolutionalSizes
from edaformer.families.convolutional.steps import Maps, Step, convolve, move
from edaformer.families.cost import Cost, PartCost, Size
from edaformer.families.layers import Layer
from edaformer.families.mit.cost import count_encoder, encoder_params
from edaformer.families.mit.layers import stage_layers
from edaformer.isr import ISR
from edaformer.preprocess import ALIGN


def count(sizes: ConvolutionalSizes, num_classes: int, size: Size, isr: ISR) -> Cost:
    """One image of ``size`` (H, W), which the ISR fits."""
    decoder = sum(step.macs for step in _steps(sizes, num_classes, size))
    parts = (*count_encoder(sizes, size, isr.encoder), PartCost("decoder", decoder, 0))
    return Cost(count_params(sizes, num_classes), parts)


def count_params(sizes: ConvolutionalSizes, num_classes: int) -> int:
    """Trainable ones, whatever the image's size."""
    steps = _steps(sizes, num_classes, (ALIGN, ALIGN))
    return encoder_params(sizes) + sum(step.params for step in steps)


def place_layers(
    sizes: ConvolutionalSizes, size: Size, place: int, ratio: int
) -> tuple[Layer, ...]:
    """The layers of one stage, pooled by ``ratio``."""
    return stage_layers(sizes, size, place, ratio)


def fixed_layers(sizes: ConvolutionalSizes, num_classes: int, size: Size) -> tuple[Layer, ...]:
    """What no ratio changes: normalisation before, the decoder, labels behind."""
    image = size[0] * size[1]
    steps = [
        Layer(step.name, step.macs - step.saved, step.weights, step.reads, step.writes)
        for step in _steps(sizes, num_classes, size)
    ]
    return (
        Layer("normalise", 0, 0, 0, 3 * image, image_bytes=3 * image),
        *steps,
        Layer("resize and argmax", 0, 0, steps[-1].writes, 0, image_bytes=image),
    )


def _steps(sizes: ConvolutionalSizes, num_classes: int, size: Size) -> Iterator[Step]:
    """The decoder's, classifying included."""
    maps, decoder = Maps(sizes, size), sizes.decoder
    yield from decoder.steps(maps)
    area = maps.area(decoder.stride)
    yield convolve("classify", area, decoder.out, num_classes, decoder.classify_kernel, bias=True)
    if sizes.upsampling > 1:
        logits = area * num_classes
        yield move("resize logits", logits, logits * sizes.upsampling**2)
