"""``edaformer COMMAND``: every command under one name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from edaformer.cli.adapt import adapt
from edaformer.cli.bench import bench
from edaformer.cli.build import build
from edaformer.cli.check import check
from edaformer.cli.common import VERSION, echo, new_app
from edaformer.cli.device.command import device
from edaformer.cli.export import export
from edaformer.cli.info import info
from edaformer.cli.run import run
from edaformer.cli.tune import tune
from edaformer.cli.validate import validate

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
    device: "Do all this on a device that ssh reaches, from the desk.",
}
app = new_app()
for command, sentence in COMMANDS.items():
    app.command(short_help=sentence)(command)


@app.callback(invoke_without_command=True)
def edaformer(context: typer.Context, version: Annotated[bool, VERSION] = False) -> None:
    """From a trained EDAFormer checkpoint to a proven TensorRT engine."""
    if context.invoked_subcommand is None:
        echo(context.get_help())


def main() -> None:
    """The console script ``edaformer``."""
    app()
