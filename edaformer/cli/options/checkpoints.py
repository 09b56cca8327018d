"""The checkpoint that a command is given: a path, an id of the Hugging Face Hub, or the demo's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from edaformer.cli.common import say
from edaformer.cli.progress import steps

if TYPE_CHECKING:
    from edaformer.families.table import Found

METAVAR = "PATH|OWNER/NAME"
HUB = (
    "OWNER/NAME[@REVISION] of a SegFormer on the Hugging Face Hub, fetched over the network into "
    "the Hub's cache where no such path is"
)
CHECKPOINT = typer.Argument(
    help=f"A checkpoint, as edaformer-export takes it, or {HUB}. Default: the demo's."
)


def find(checkpoint: str | None) -> Found:
    """What was given, fetched where it is on the Hub, or the demo's, which is said.

    Raises:
        EdaformerError: if there is none, before anything is loaded.
    """
    from edaformer.families.checkpoint import demo_checkpoint
    from edaformer.families.table import find_checkpoint

    if checkpoint is None:
        say("no CHECKPOINT given: using the demo, EDAFormer-T trained on drawn street scenes")
        return find_checkpoint(demo_checkpoint())
    with steps("looking for the checkpoint") as on_step:
        return find_checkpoint(checkpoint, on_step)
