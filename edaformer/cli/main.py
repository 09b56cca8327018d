"""``edaformer COMMAND``: every command under one name."""

from __future__ import annotations

from typing import Annotated

import typer

from edaformer.cli.bench import bench
from edaformer.cli.build import build
from edaformer.cli.check import check
from edaformer.cli.common import VERSION, echo, new_app
from edaformer.cli.export import export
from edaformer.cli.info import info
from edaformer.cli.run import run
from edaformer.cli.tune import tune
from edaformer.cli.validate import validate

app = new_app()
for command in (export, build, validate, info, check, bench, run, tune):
    app.command()(command)


@app.callback(invoke_without_command=True)
def edaformer(context: typer.Context, version: Annotated[bool, VERSION] = False) -> None:
    """From a trained EDAFormer checkpoint to a proven TensorRT engine."""
    if context.invoked_subcommand is None:
        echo(context.get_help())


def main() -> None:
    """The console script ``edaformer``."""
    app()
