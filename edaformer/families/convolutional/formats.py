"""The files in which such networks come: every decoder's names over every encoder's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from edaformer.errors import CheckpointError
from edaformer.families.convolutional.sizes import ConvolutionalSizes
from edaformer.families.convolutional.table import NAMES
from edaformer.families.formats.backbones import FIRST_PVT, refuse_backbone
from edaformer.families.formats.file import Decided, Make, Reader
from edaformer.families.formats.heads import decide_heads, listed, refuse_aligned
from edaformer.families.formats.naming import Format
from edaformer.families.formats.shapes import Shapes, fitting
from edaformer.families.formats.smp.refused import refuse_decoder, refused_decoder
from edaformer.families.given import GIVEN, Given
from edaformer.families.mit.sizes import DILATED_STRIDES, STRIDES

_NAMES = {form: names for names in NAMES for form in names.formats()}


def reader(network: Make) -> Reader:
    """Of the family whose networks ``network`` makes."""
    return Reader("network", tuple(_NAMES), _refuse, decide, network)


def known_by(keys: Iterable[str]) -> bool:
    """Whether any of these is the name of a decoder's weight, of one that is refused too."""
    names = tuple(keys)
    return any(one.signs.search(key) for key in names for one in NAMES) or (
        refused_decoder(names) is not None
    )


def _refuse(path: Path, keys: Collection[str]) -> None:
    """Another decoder, one of these as another network, or over another encoder."""
    refuse_decoder(path, keys)
    forms = [form for form in _NAMES if form.known_by(keys)]
    anchored = any(form.anchor in keys for form in forms)
    if forms and (not anchored or any(map(FIRST_PVT.search, keys))):
        refuse_backbone(path, keys, forms[0].decoder)
    for names in {_NAMES[form].title: _NAMES[form] for form in forms}.values():
        if found := names.another(keys):
            raise CheckpointError(
                f"{path} is {names.title} and has {found}: that is another network, and it is not "
                "supported; use one as it is by default"
            )


def decide(
    path: Path, form: Format, shapes: Shapes, model: Mapping[str, Any], given: Given
) -> Decided:
    """Complete what the shapes say.

    Raises:
        InputError: if the heads cannot be known, or for an option that is not for this network.
        CheckpointError: if its maps are resized in another way, or its shapes are none.
    """
    names = _NAMES[form]
    refuse_aligned(path, names.title, model, given)
    heads, origin = decide_heads(path, shapes, model, given)
    told = given.sizes if isinstance(given.sizes, ConvolutionalSizes) else None
    with fitting(path, names.title):
        sizes = ConvolutionalSizes(
            shapes.widths, shapes.depths, names.read(shapes.of), heads, shapes.ratios,
            shapes.mlp_ratios, shapes.patches, eps=told.eps if told else form.eps,
            upsampling=cast(Literal[1, 4], names.upsampling), dilated=names.dilated,
            strides=DILATED_STRIDES if names.dilated else STRIDES,
        )  # fmt: skip
    options = ("--heads", listed(heads)) if origin == GIVEN else ()
    return Decided(sizes, (("heads", f"{listed(heads)} ({origin})"),), options)
