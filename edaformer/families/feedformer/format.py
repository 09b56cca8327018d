"""FeedFormer's release: ``decode_head.attn_c4_c1.attn.q`` over NVlabs' MiT.

Names as its feedformer_head.py and feedformer_head_city.py have them, in mmsegmentation 0.x. Both
resize by half pixels and say nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from edaformer.errors import CheckpointError
from edaformer.families.checkpoint import some
from edaformer.families.feedformer.sizes import BRANCHES, FeedFormerSizes, Head
from edaformer.families.formats.file import Decided, Make, Reader
from edaformer.families.formats.heads import decide_heads, listed, refuse_aligned
from edaformer.families.formats.mit import RELEASED
from edaformer.families.formats.naming import Format, Module
from edaformer.families.formats.shapes import Shapes, fitting
from edaformer.families.given import GIVEN, Given
from edaformer.families.reading.keys import keys_of

_ENCODER = re.compile(r"(^|\.)backbone\.block[1-4]\.\d+\.attn\.q\.")


def _branch(name: str, *pooled: tuple[str, str]) -> tuple[Module, ...]:
    """One cross attention; ``pooled``: the ending of its names, and what of ours it is."""
    theirs, ours = f"decode_head.attn_{name}_c1.", f"decoder.{name}.blocks.0."
    return (
        Module(f"{theirs}norm1.", (f"{ours}norm1",)),
        Module(f"{theirs}norm2.", (f"{ours}source_norm",)),
        Module(f"{theirs}norm3.", (f"{ours}norm2",)),
        Module(f"{theirs}attn.q.", (f"{ours}attention.q",)),
        Module(f"{theirs}attn.kv.", (f"{ours}attention.k", f"{ours}attention.v")),
        Module(f"{theirs}attn.proj.", (f"{ours}attention.proj",)),
        *(Module(f"{theirs}attn.sr{at}.", (f"{ours}attention.{of}.conv",)) for at, of in pooled),
        *(Module(f"{theirs}attn.norm{at}.", (f"{ours}attention.{of}.norm",)) for at, of in pooled),
        Module(f"{theirs}mlp.fc1.", (f"{ours}mlp.fc1",)),
        Module(f"{theirs}mlp.dwconv.dwconv.", (f"{ours}mlp.dwconv",)),
        Module(f"{theirs}mlp.fc2.", (f"{ours}mlp.fc2",)),
    )


def _heads(*pooled: tuple[str, str]) -> tuple[Module, ...]:
    return (
        *(module for name in BRANCHES for module in _branch(name, *pooled)),
        Module("decode_head.linear_fuse.conv.", ("decoder.fuse.conv",)),
        Module("decode_head.linear_fuse.bn.", ("decoder.fuse.norm",)),
        Module("decode_head.linear_pred.", ("decoder.classify",)),
    )


PLAIN = Format(
    title="FeedFormer's release",
    signs=re.compile(r"(^|\.)decode_head\.attn_c[2-4]_c1\."),
    anchor=RELEASED.anchor,
    block=RELEASED.block,
    stages=RELEASED.stages,
    blocks=RELEASED.blocks,
    branches=(),
    heads=_heads(("", "source")),
    decoder=("decode_head.",),
    # every decode head of mmsegmentation's has a conv_seg; this one does not use it
    unused=re.compile(r"decode_head\.conv_seg\.(weight|bias)|auxiliary_head\..+"),
    eps=RELEASED.eps,
    head="plain",
)
CITY = replace(
    PLAIN,
    title="FeedFormer's release (Cityscapes head)",
    signs=re.compile(r"(^|\.)decode_head\.attn_c[2-4]_c1\.attn\.(sr|norm)[12]\."),
    heads=_heads(("1", "queries"), ("2", "source")),
    head="city",
)


def reader(network: Make) -> Reader:
    """Of the family whose networks ``network`` makes."""
    return Reader("FeedFormer", (CITY, PLAIN), refuse_encoders, decide, network)


def owns_file(path: Path) -> bool:
    """Whether names in the file are those of FeedFormer's decoder."""
    return PLAIN.known_by(keys_of(path))


def refuse_encoders(path: Path, keys: Collection[str]) -> None:
    """The same decoder over another encoder than MiT, such as the release's LVT.

    Raises:
        CheckpointError: if it is one.
    """
    if not any(_ENCODER.search(key) for key in keys):
        others = [key for key in keys if not key.startswith("decode_head.")]
        raise CheckpointError(
            f"{path} has FeedFormer's decoder over an encoder that is no MiT ({some(others)}); it "
            "is not supported, use a FeedFormer-B0 to -B5"
        )


def decide(
    path: Path, form: Format, shapes: Shapes, model: Mapping[str, Any], given: Given
) -> Decided:
    """Complete what the shapes say.

    Raises:
        InputError: if the heads cannot be known, or for an option that is not for this network.
        CheckpointError: if its logits are upsampled in another way, or its shapes are none.
    """
    refuse_aligned(path, "FeedFormer", model, given)
    heads, origin = decide_heads(path, shapes, model, given)
    with fitting(path, "FeedFormer"):
        sizes = FeedFormerSizes(
            shapes.widths, shapes.depths, shapes.of("decoder.fuse.conv")[0],
            cast(Head, form.head), heads, shapes.ratios, shapes.mlp_ratios, shapes.patches,
            eps=form.eps,
        )  # fmt: skip
    options = ("--heads", listed(heads)) if origin == GIVEN else ()
    return Decided(sizes, (("heads", f"{listed(heads)} ({origin})"),), options)
