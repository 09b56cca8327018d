"""Run a segmenter on an image by a protocol, fitted to the size a graph takes.

The plan (evaluation.protocol.plan_passes) says what the network is given; here it is given it.
What a fixed size leaves uncovered is filled with the mean colour, which is zero after normalisation
up to the rounding of a pixel, for every segmenter alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.segmenters.artifact import ArtifactSegmenter
from edaformer.engines.segmenters.segmenter import Images, Segmenter
from edaformer.errors import InputError
from edaformer.evaluation.protocol import FitName, Pass, Passes, Protocol, Size, Tile, plan_passes
from edaformer.labels.decide import Decision, PassLogits, TileLogits, decide
from edaformer.labels.geometry import resize_labels
from edaformer.labels.resize import opencv_bilinear
from edaformer.manifest import Manifest
from edaformer.preprocess import RELEASE

Image = NDArray[np.uint8]  # RGB (H, W, 3)


@dataclass(frozen=True)
class Procedure:
    """A protocol, and what an artifact of fixed size makes of it."""

    protocol: Protocol
    fixed: Size | None  # the one size the artifact takes; None: any
    fit: FitName

    def passes(self, size: Size) -> Passes:
        """What the networks that are compared are given for an image of ``size``."""
        return plan_passes(self.protocol, size, self.fixed, self.fit)

    def by_the_letter(self, size: Size) -> Passes:
        """What the protocol alone asks for."""
        return plan_passes(self.protocol, size)


def procedure_of(manifest: Manifest, protocol: Protocol, fit: FitName | None) -> Procedure:
    """The procedure for an artifact; ``fit`` None takes what its outputs allow.

    Raises:
        InputError: if protocol or fit need logits that the artifact does not give, or the fit has
            no meaning with the protocol or the artifact.
    """
    fixed = None if manifest.input.dynamic_size else manifest.size
    has_logits = any(output.name == "logits" for output in manifest.outputs)
    made = make_procedure(protocol, fixed, fit, default="slide" if has_logits else "resize")
    if not has_logits:
        _refuse_averages(made)
    return made


def make_procedure(
    protocol: Protocol, fixed: Size | None, fit: FitName | None, *, default: FitName = "resize"
) -> Procedure:
    """The procedure for an artifact that is not here; ``fit`` None takes the default.

    Raises:
        InputError: if the fit has no meaning with the protocol or the size.
    """
    if fixed is None and fit is not None:
        raise InputError("--fit is for artifacts of one size, and this one takes any; leave it out")
    fit = fit or default
    if fixed is not None and fit == "resize" and protocol.scales != (1.0,):
        raise InputError("--fit resize knows one size, so --scales has no meaning; leave it out")
    return Procedure(protocol, fixed, fit)


def _refuse_averages(procedure: Procedure) -> None:
    """Of an artifact without logits."""
    protocol, fixed, fit = procedure.protocol, procedure.fixed, procedure.fit
    averages = {
        f"--protocol {protocol.name}": protocol.window is not None
        and fixed in {None, (protocol.window, protocol.window)},
        "--fit slide": fixed is not None and fit == "slide",
        "--flip": protocol.flip,
        "--scales": len(protocol.scales) > 1,
    }
    asked = [option for option, wanted in averages.items() if wanted]
    if asked:
        raise _needs_logits(asked[0])


def decide_image(segmenter: Segmenter, image: Image, passes: Passes) -> Decision:
    """Labels and margins of an image, from logits."""
    made = tuple(pass_logits(segmenter, image, one) for one in passes)
    return decide(made, _size(image))


def artifact_labels(artifact: ArtifactSegmenter, image: Image, passes: Passes) -> NDArray[np.uint8]:
    """Labels of an image: the graph's own where it gives them for just this image.

    A graph without logits labels what it was given; its labels are then cropped and resized by
    nearest neighbour.
    """
    only = passes[0].tiles[0]
    size = _size(image)
    if _as_it_is(passes, size) and "labels" in artifact.outputs:
        own: NDArray[np.uint8] = artifact.segment(image[None])[0]
        return own
    if "logits" in artifact.outputs:
        return decide_image(artifact, image, passes).labels
    if not _is_single(passes):
        raise _needs_logits("the protocol")
    labels = artifact.segment(np.stack(list(feeds(image, passes[0], artifact.fill))))[0]
    return resize_labels(labels[: only.height, : only.width], size)


def resizes_labels(artifact: ArtifactSegmenter, image: Image, passes: Passes) -> bool:
    """Whether artifact_labels has to resize labels by nearest neighbour."""
    return "logits" not in artifact.outputs and not _as_it_is(passes, _size(image))


def _is_single(passes: Passes) -> bool:
    return len(passes) == 1 == len(passes[0].tiles)


def _as_it_is(passes: Passes, size: Size) -> bool:
    first = passes[0]
    return _is_single(passes) and first.tiles[0].fed == size == first.size


def feeds(image: Image, one: Pass, fill: tuple[int, int, int] = RELEASE.fill) -> Iterator[Image]:
    """What the network is given for each tile of a pass; ``fill`` is the colour around it."""
    for step in one.steps:
        image = opencv_bilinear(image, step)
    if one.flipped:
        image = image[:, ::-1]
    for tile in one.tiles:
        yield _padded(image, tile, fill)


def pass_logits(segmenter: Segmenter, image: Image, one: Pass) -> PassLogits:
    """Logits of an image's tiles in a pass."""
    images: Images = np.stack(list(feeds(image, one, segmenter.fill)))
    logits = segmenter.logits(images)
    ran_at = segmenter.ran_at(one.tiles[0].fed)
    tiles = zip(one.tiles, logits, strict=True)
    return PassLogits(one, tuple(TileLogits(tile, own, ran_at) for tile, own in tiles))


def _padded(image: Image, tile: Tile, fill: tuple[int, int, int]) -> Image:
    part = image[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
    if part.shape[:2] == tile.fed:
        return np.ascontiguousarray(part)
    made = np.full((*tile.fed, 3), fill, np.uint8)
    made[: tile.height, : tile.width] = part
    return made


def _needs_logits(what: str) -> InputError:
    return InputError(
        f"{what} averages logits and the artifact gives none; export it with "
        "--outputs labels,logits, or validate it another way (--protocol native --fit resize)"
    )


def _size(image: Image) -> Size:
    return image.shape[0], image.shape[1]
