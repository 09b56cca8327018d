"""``edaformer COMMAND``: every command under one name."""

from __future__ import annotations

from collections.abc import Callable
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

# What the list of commands says of each: one sentence that a line of 80 columns holds
COMMANDS: dict[Callable[..., None], str] = {
    export: "Write a checkpoint as ONNX, ISR baked in, held against PyTorch.",
    build: "Build a TensorRT plan that says what it is, and prove its kernels.",
    validate: "Compare with PyTorch on data: what ISR and precision change.",
    info: "Show what a file is and costs; of two, the differences.",
    check: "Say whether an artifact will run here, and label rightly.",
    bench: "Time whole frames of artifacts and of PyTorch, taking turns.",
    run: "Label pictures, video and cameras, and draw what is seen.",
    tune: "Find the ISR for a budget of accuracy, time or multiply-adds.",
    adapt: "Teach a checkpoint, without labels, the ISR it will run at.",
}
app = new_app()
for command, sentence in COMMANDS.items():
    app.command(short_help=sentence)(command)


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
