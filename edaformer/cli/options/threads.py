"""How many threads a command computes with."""

from __future__ import annotations

import typer

THREADS = typer.Option(
    help="CPU threads to compute with. Default: OMP_NUM_THREADS, else the cores that this process "
    "may use, its container's quota counted."
)
