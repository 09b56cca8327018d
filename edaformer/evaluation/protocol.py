"""How the published release evaluates an image: its resizing, windows, flips and scales.

The values are those of the release's configurations. An image is scaled to fit inside a frame with
its ratio kept, each side is resized up to a multiple, and the network sees it whole or in windows;
logits are resized to the network's own size, then to the image's, and only then the largest wins
(edaformer.labels.decide). ``native`` is no benchmark's: the image as it is.

A graph of fixed size cannot always follow. What it does with other sizes is a ``Fit``, named and
reported: ``resize`` gives up the ratio, ``pad`` scales down to fit and pads right and bottom,
``slide`` keeps the protocol's image and slides the graph's size over it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from edaformer.errors import InputError
from edaformer.preprocess import aligned

Size = tuple[int, int]  # (H, W) in pixels
FitName = Literal["resize", "pad", "slide"]
FITS: tuple[FitName, ...] = get_args(FitName)
OVERLAP = 0.75  # stride of a sliding graph in its own size, as the release's 768 in 1024
MAX_SCALES = 16


@dataclass(frozen=True)
class Protocol:
    """A way to evaluate."""

    name: str
    frame: Size | None = None  # (long, short) side to fit inside, ratio kept; None: as it is
    multiple: int | None = None  # then each side goes up to a multiple of it
    window: int | None = None  # side of the square windows; None: the whole image
    stride: int | None = None  # between windows
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False  # average with the mirrored image

    @property
    def label(self) -> str:
        """Its name and what was added to it."""
        scales = ", scales " + ",".join(f"{scale:g}" for scale in self.scales)
        added = scales if self.scales != (1.0,) else ""
        return self.name + added + (", flipped too" if self.flip else "")


PROTOCOLS = {
    "native": Protocol("native"),
    "ade20k": Protocol("ade20k", frame=(2048, 512), multiple=32),  # COCO-Stuff's too
    "cityscapes": Protocol("cityscapes", frame=(2048, 1024), window=1024, stride=768),
}


@dataclass(frozen=True)
class Tile:
    """One run of the network: the part of the resized image that it sees."""

    top: int
    left: int
    height: int  # of the part; less than the network's where it is padded
    width: int
    fed: Size  # what the network is given


@dataclass(frozen=True)
class Pass:
    """One resized (and maybe mirrored) image, and the runs that cover it."""

    steps: tuple[Size, ...]  # resizes, one after the other; the last is the size of the plane
    flipped: bool
    tiles: tuple[Tile, ...]

    @property
    def size(self) -> Size:
        """(H, W) of the resized image."""
        return self.steps[-1]


Passes = tuple[Pass, ...]


def get_protocol(name: str, *, scales: tuple[float, ...] = (1.0,), flip: bool = False) -> Protocol:
    """A protocol by name, with scales and flip added.

    Raises:
        InputError: for an unknown name, or scales that are no ratios.
    """
    if name not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise InputError(f"expected --protocol as one of {known}, got '{name}'")
    sound = 1 <= len(scales) <= MAX_SCALES and all(0.1 <= scale <= 8 for scale in scales)
    if not sound or len(set(scales)) != len(scales):
        raise InputError(
            f"expected --scales as 1 to {MAX_SCALES} different ratios from 0.1 to 8, "
            f"such as 0.75,1,1.25; got {','.join(f'{scale:g}' for scale in scales) or 'none'}"
        )
    return replace(PROTOCOLS[name], scales=scales, flip=flip)


def kept_ratio(size: Size, frame: Size) -> Size:
    """The largest size of the same ratio inside a (long, short) frame, rounded to nearest."""
    long, short = max(frame), min(frame)
    factor = min(long / max(size), short / min(size))
    return scaled(size, factor)


def scaled(size: Size, factor: float) -> Size:
    """``size`` times ``factor``, each side rounded to nearest and at least 1."""
    height, width = (max(int(side * factor + 0.5), 1) for side in size)
    return height, width


def window_starts(length: int, window: int, stride: int) -> tuple[int, ...]:
    """Where windows begin along a side: every ``stride``, the last shifted back to the border."""
    count = max(-(-(length - window) // stride), 0) + 1
    return tuple(min(i * stride, max(length - window, 0)) for i in range(count))


def plan_passes(
    protocol: Protocol, size: Size, fixed: Size | None = None, fit: FitName = "resize"
) -> Passes:
    """What the network is given for an image of ``size``, and where it goes.

    Args:
        protocol: the way to evaluate.
        size: (H, W) of the image.
        fixed: the one size (H, W) that the graph takes; None takes any.
        fit: what to do where the protocol asks for another size than ``fixed``.
    """
    turns = (False, True) if protocol.flip else (False,)
    return tuple(
        _plan(protocol, size, scale, flipped=flipped, fixed=fixed, fit=fit)
        for scale in protocol.scales
        for flipped in turns
    )


def _plan(
    protocol: Protocol, size: Size, scale: float, *, flipped: bool, fixed: Size | None, fit: FitName
) -> Pass:
    steps = _steps(protocol, size, scale)
    tiles = _tiles(steps[-1], protocol.window, protocol.stride)
    if fixed is None or all(tile.fed == fixed for tile in tiles):
        return Pass(steps, flipped, tiles)
    if fit == "resize":
        return Pass((fixed,), flipped, (Tile(0, 0, *fixed, fed=fixed),))
    if fit == "pad":
        inside = steps[-1] if _fits(steps[-1], fixed) else _shrunk(size, fixed)
        return Pass((inside,), flipped, (Tile(0, 0, *inside, fed=fixed),))
    return Pass(steps, flipped, _fixed_tiles(steps[-1], fixed))


def _steps(protocol: Protocol, size: Size, scale: float) -> tuple[Size, ...]:
    if protocol.frame is None:
        first = size if scale == 1 else scaled(size, scale)
    else:
        long, short = (int(side * scale) for side in protocol.frame)
        first = kept_ratio(size, (long, short))
    second = aligned(first, protocol.multiple)
    return (first,) if second == first else (first, second)


def _tiles(size: Size, window: int | None, stride: int | None) -> tuple[Tile, ...]:
    """The whole image, or windows no larger than it."""
    height, width = (min(side, window or side) for side in size)
    tops = window_starts(size[0], height, stride or height)
    lefts = window_starts(size[1], width, stride or width)
    return tuple(Tile(top, left, height, width, (height, width)) for top in tops for left in lefts)


def _fixed_tiles(size: Size, fixed: Size) -> tuple[Tile, ...]:
    """Windows of the graph's size, padded where the image is smaller."""
    height, width = (min(side, own) for side, own in zip(size, fixed, strict=True))
    tops, lefts = (
        window_starts(side, own, max(int(own * OVERLAP), 1))
        for side, own in zip(size, fixed, strict=True)
    )
    return tuple(Tile(top, left, height, width, fixed) for top in tops for left in lefts)


def _fits(size: Size, fixed: Size) -> bool:
    return size[0] <= fixed[0] and size[1] <= fixed[1]


def _shrunk(size: Size, fixed: Size) -> Size:
    """The largest size of the same ratio inside ``fixed`` (H, W)."""
    factor = min(fixed[0] / size[0], fixed[1] / size[1])
    height, width = (min(side, own) for side, own in zip(scaled(size, factor), fixed, strict=True))
    return height, width
