"""What shapes do not say and changes the network: heads, and how maps are upsampled.

Each is what a person said, else what an artifact's record or the file's own configuration says,
else what is usual. Where nothing is usual a person is asked: two readings are two networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from edaformer.errors import CheckpointError, InputError
from edaformer.families.given import GIVEN, Given
from edaformer.families.segformer.formats.naming import Format
from edaformer.families.segformer.formats.shapes import Shapes
from edaformer.families.segformer.sizes import AlignCorners, Four, SegFormerSizes

_USUAL: Four = (1, 2, 5, 8)  # of MiT-B0 to -B5, by every project (SegFormer, table 6)
_WIDTHS = ((32, 64, 160, 256), (64, 128, 320, 512))
_CONFIGURED = "the configuration in meta"


@dataclass(frozen=True)
class Decided:
    """The sizes, where the rest of them came from, and the options that say the same again."""

    sizes: SegFormerSizes
    assumed: tuple[tuple[str, str], ...]
    options: tuple[str, ...]


def decide(
    path: Path, form: Format, shapes: Shapes, model: Mapping[str, Any], given: Given
) -> Decided:
    """Complete what the shapes say.

    Args:
        path: for messages.
        form: the file's format, with its usual ways.
        shapes: off the weights.
        model: mmsegmentation's ``model`` of the configuration in the file's meta, or empty.
        given: by a person, or an artifact.

    Raises:
        InputError: if the heads cannot be known, or do not divide the channels.
    """
    heads, heads_from = _heads(path, shapes, model, given)
    align, align_from = _align_corners(form, model, given)
    try:
        sizes = SegFormerSizes(
            shapes.widths, shapes.depths, shapes.decoder_width, heads, shapes.ratios,
            shapes.mlp_ratios, shapes.patches, head=form.head, eps=form.eps, align_corners=align,
        )  # fmt: skip
    except InputError as error:
        found = str(error).rpartition(";")[0]
        raise CheckpointError(
            f"the shapes of the weights in {path} are no SegFormer's: {found}; use a complete "
            "checkpoint"
        ) from error
    listed = ",".join(map(str, heads))
    options = []
    if heads_from == GIVEN:
        options += ["--heads", listed]
    if align_from == GIVEN:
        options += ["--align-corners", align]
    assumed = (
        ("heads", f"{listed} ({heads_from})"),
        ("align_corners", f"{align} ({align_from})"),
    )
    return Decided(sizes, assumed, tuple(options))


def _heads(path: Path, shapes: Shapes, model: Mapping[str, Any], given: Given) -> tuple[Four, str]:
    if given.heads is not None:
        heads, origin = given.heads, GIVEN
    elif isinstance(given.sizes, SegFormerSizes):
        heads, origin = given.sizes.heads, given.origin
    elif (told := _part(model, "backbone").get("num_heads")) is not None and _are_heads(told):
        heads, origin = cast(Four, tuple(told)), _CONFIGURED
    elif shapes.widths in _WIDTHS:
        heads, origin = _USUAL, "usual of these widths; the file does not say, --heads does"
    else:
        raise InputError(
            f"how many heads attention has cannot be read off {path}: its {_listed(shapes.widths)} "
            "channels are none of MiT-B0's to -B5's; say it as its training did, such as "
            f"--heads {_likely(shapes.widths)}"
        )
    if any(width % count for width, count in zip(shapes.widths, heads, strict=True)):
        raise InputError(
            f"expected heads that divide the {_listed(shapes.widths)} channels of {path}, got "
            f"{_listed(heads)} ({origin}); give --heads as its training did"
        )
    return heads, origin


def _align_corners(
    form: Format, model: Mapping[str, Any], given: Given
) -> tuple[AlignCorners, str]:
    told = _part(model, "decode_head").get("align_corners")
    made: tuple[AlignCorners, str] = (form.align_corners, f"{form.title} has it so")
    if given.align_corners is not None:
        made = given.align_corners, GIVEN
    elif isinstance(given.sizes, SegFormerSizes):
        made = given.sizes.align_corners, given.origin
    elif isinstance(told, bool):
        made = "all" if told else "none", _CONFIGURED
    elif form.align_corners == "none":
        made = "none", "as published; the file does not say, --align-corners does"
    return made


def _part(model: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = model.get(name)
    return part if isinstance(part, Mapping) else {}


def _are_heads(told: object) -> bool:
    return isinstance(told, list) and len(told) == len(_USUAL) and all(
        type(count) is int and count > 0 for count in told
    )  # fmt: skip


def _likely(widths: Four) -> str:
    """Mmsegmentation makes widths of heads: a multiple of the first one's."""
    heads = [width // widths[0] for width in widths]
    fits = all(n and width == n * widths[0] for n, width in zip(heads, widths, strict=True))
    return _listed(heads if fits else _USUAL)


def _listed(numbers: Four | list[int]) -> str:
    return ",".join(map(str, numbers))
