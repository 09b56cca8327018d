"""Heads of attention, which no weight's shape says and which change the network.

They are what a person said, else what an artifact's record or the file's own configuration says,
else what is usual. Where nothing is usual a person is asked: two readings are two networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from edaformer.errors import CheckpointError, InputError
from edaformer.families.formats.shapes import Shapes
from edaformer.families.given import GIVEN, Given
from edaformer.families.mit.sizes import HEADS, WIDTHS, Four, MiTSizes

CONFIGURED = "the configuration in meta"


def decide_heads(
    path: Path, shapes: Shapes, model: Mapping[str, Any], given: Given
) -> tuple[Four, str]:
    """How many heads each stage's attention has, and where that came from.

    Args:
        path: for messages.
        shapes: off the weights.
        model: mmsegmentation's ``model`` of the configuration in the file's meta, or empty.
        given: by a person, or an artifact.

    Raises:
        InputError: if they cannot be known, or do not divide the channels.
    """
    if given.heads is not None:
        heads, origin = given.heads, GIVEN
    elif isinstance(given.sizes, MiTSizes):
        heads, origin = given.sizes.heads, given.origin
    elif (told := part(model, "backbone").get("num_heads")) is not None and _are_heads(told):
        heads, origin = cast(Four, tuple(told)), CONFIGURED
    elif shapes.widths in WIDTHS:
        heads, origin = HEADS, "usual of these widths; the file does not say, --heads does"
    else:
        raise InputError(
            f"how many heads attention has cannot be read off {path}: its {listed(shapes.widths)} "
            "channels are none of MiT-B0's to -B5's; say it as its training did, such as "
            f"--heads {_likely(shapes.widths)}"
        )
    if any(width % count for width, count in zip(shapes.widths, heads, strict=True)):
        raise InputError(
            f"expected heads that divide the {listed(shapes.widths)} channels of {path}, got "
            f"{listed(heads)} ({origin}); give --heads as its training did"
        )
    return heads, origin


def refuse_aligned(path: Path, what: str, model: Mapping[str, Any], given: Given) -> None:
    """For networks that say themselves how their maps are resized.

    Args:
        path: for messages.
        what: the network is.
        model: as for ``decide_heads``.
        given: by a person, or an artifact.

    Raises:
        InputError: if a person says it.
        CheckpointError: if the configuration says corner to corner.
    """
    if given.align_corners is not None:
        raise InputError(
            f"--align-corners is not for {path}: {what} says how it resizes; leave it out"
        )
    if part(model, "decode_head").get("align_corners") is True:
        raise CheckpointError(
            f"{path} was trained with align_corners=True, by the configuration in its meta; "
            f"{what} is supported as published, with align_corners=False"
        )


def part(model: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """One part of a configuration's model; empty where it has none."""
    found = model.get(name)
    return found if isinstance(found, Mapping) else {}


def _are_heads(told: object) -> bool:
    return isinstance(told, list) and len(told) == len(HEADS) and all(
        type(count) is int and count > 0 for count in told
    )  # fmt: skip


def _likely(widths: Four) -> str:
    """Mmsegmentation makes widths of heads: a multiple of the first one's."""
    heads = [width // widths[0] for width in widths]
    fits = all(n and width == n * widths[0] for n, width in zip(heads, widths, strict=True))
    return listed(heads if fits else HEADS)


def listed(numbers: Four | list[int]) -> str:
    """As ``--heads`` takes them."""
    return ",".join(map(str, numbers))
