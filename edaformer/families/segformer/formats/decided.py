"""What shapes do not say and changes a SegFormer: heads, and how maps are upsampled.

Each is what a person said, else what an artifact's record or the file's own configuration says,
else what is usual. Where nothing is usual a person is asked: two readings are two networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from edaformer.families.formats.file import Decided
from edaformer.families.formats.heads import CONFIGURED, decide_heads, listed, part
from edaformer.families.formats.naming import Format
from edaformer.families.formats.shapes import Shapes, fitting
from edaformer.families.given import GIVEN, AlignCorners, Given
from edaformer.families.segformer.sizes import Head, SegFormerSizes


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
    heads, heads_from = decide_heads(path, shapes, model, given)
    align, align_from = _align_corners(form, model, given)
    with fitting(path, "SegFormer"):
        sizes = SegFormerSizes(
            shapes.widths, shapes.depths, shapes.of("decoder.fuse.conv")[0], heads, shapes.ratios,
            shapes.mlp_ratios, shapes.patches, head=cast(Head, form.head), eps=form.eps,
            align_corners=align,
        )  # fmt: skip
    options = []
    if heads_from == GIVEN:
        options += ["--heads", listed(heads)]
    if align_from == GIVEN:
        options += ["--align-corners", align]
    assumed = (
        ("heads", f"{listed(heads)} ({heads_from})"),
        ("align_corners", f"{align} ({align_from})"),
    )
    return Decided(sizes, assumed, tuple(options))


def _align_corners(
    form: Format, model: Mapping[str, Any], given: Given
) -> tuple[AlignCorners, str]:
    told = part(model, "decode_head").get("align_corners")
    made: tuple[AlignCorners, str] = (form.align_corners, f"{form.title} has it so")
    if given.align_corners is not None:
        made = given.align_corners, GIVEN
    elif isinstance(given.sizes, SegFormerSizes):
        made = given.sizes.align_corners, given.origin
    elif isinstance(told, bool):
        made = "all" if told else "none", CONFIGURED
    elif form.align_corners == "none":
        made = "none", "as published; the file does not say, --align-corners does"
    return made
