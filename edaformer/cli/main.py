"""``edaformer COMMAND``: every command under one name."""

from __future__ import annotations

from typing import Annotated

import typer

from edaformer.cli.adapt import adapt
from edaformer.cli.bench import bench
from edaformer.cli.build import build
from edaformer.cli.check import check
from edaformer.cli.common import echo, new_app
from edaformer.cli.export import export
from edaformer.cli.info import info
from edaformer.cli.run import run
from edaformer.cli.tune import tune
from edaformer.cli.validate import validate
from edaformer.version import __version__

app = new_app()
for command in (export, build, validate, info, check, bench, run, tune, adapt):
    app.command()(command)


def _print_version(value: bool) -> None:
    if value:
        echo(__version__)
        raise typer.Exit


@app.callback()
def edaformer(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """From a trained EDAFormer checkpoint to a proven TensorRT engine."""
    del version  # handled by its callback


def main() -> None:
    """The console script ``edaformer``."""
    app()
