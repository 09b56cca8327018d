"""``edaformer-device``: check, build, validate, measure and run on a device, from the desk."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from edaformer.cli.common import DATA, DEBUG, JSON, VERSION, guarded, run
from edaformer.cli.options.checkpoints import HUB, METAVAR
from edaformer.errors import InputError, MissingError

Command = Literal["ask", "check", "build", "validate", "bench", "run", "deploy", "clear"]
# Which commands take an option; the others refuse it
_TAKEN: Mapping[str, frozenset[str]] = {
    "--backend": frozenset({"build", "deploy"}),
    "--workspace": frozenset({"build", "deploy"}),
    "--allow-unfused": frozenset({"build", "deploy"}),
    "--rebuild": frozenset({"build", "deploy"}),
    "--reference": frozenset({"validate", "deploy"}),
    "--checkpoint": frozenset({"validate", "deploy"}),
    "--data": frozenset({"validate", "deploy"}),
    "--duration": frozenset({"bench", "deploy"}),
    "--rounds": frozenset({"bench", "deploy"}),
    "--input": frozenset({"run", "deploy"}),
    "--save": frozenset({"run", "deploy"}),
    "--limit": frozenset({"run", "deploy"}),
    "--out": frozenset({"check", "build", "validate", "bench", "run", "deploy"}),
    "--install": frozenset({"ask", "check", "build", "validate", "bench", "run", "deploy"}),
}
_NO_ARTIFACT = {"ask", "clear"}


@guarded
def device(
    host: Annotated[
        str, typer.Argument(help="As ssh takes it: jetson@orin, or a name of ~/.ssh/config.")
    ],
    command: Annotated[
        Command,
        typer.Argument(
            help="ask: what the device has. check, build, validate, bench, run: that command "
            "there. deploy: build, check, validate, bench and run, in this order. clear: empty "
            "its cache."
        ),
    ],
    artifacts: Annotated[
        list[Path] | None,
        typer.Argument(help="An .onnx or a .plan; bench takes several."),
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="Of build: auto, tensorrt or tensorrt-rtx. Default: auto.")
    ] = None,
    workspace: Annotated[
        float | None, typer.Option(help="Of build: scratch memory it may plan with, in GiB.")
    ] = None,
    allow_unfused: Annotated[
        bool, typer.Option("--allow-unfused", help="Of build, as edaformer-build has it.")
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Build again, where an equal build is there: of the same file, options, TensorRT, "
            "driver and power mode.",
        ),
    ] = False,
    reference: Annotated[
        Path | None, typer.Option(help="Of validate: what --save-reference wrote at the desk.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar=METAVAR,
            help="Of validate, without --reference: make one here, once, from this checkpoint, or "
            f"{HUB}.",
        ),
    ] = None,
    data: Annotated[str | None, DATA] = None,
    duration: Annotated[
        float | None, typer.Option(help="Of bench: seconds of timed frames. Default: 10.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(help="Of bench: rounds in which they take turns. Default: 10.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="Of run: a picture, a video, a folder of them, scenes:N, or a camera of the "
            "device's (with --limit). May be repeated.",
        ),
    ] = None,
    save: Annotated[
        str | None, typer.Option(help="Of run: as edaformer-run has it. Default: overlay.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Of run: stop after so many frames.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for all that comes back; files in it are replaced. Default: MODEL.HOST "
            "beside the artifact."
        ),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option(
            help="The Python there that has this package, such as ~/edaformer/bin/python. Default: "
            "that of --install, ~/edaformer's, else python3."
        ),
    ] = None,
    install: Annotated[
        bool,
        typer.Option(
            "--install",
            help="Where this package is missing there, or of another version: install it into "
            "~/.local/share/edaformer-device/venv, which sees JetPack's TensorRT.",
        ),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Where another desk is at work there, wait for it.")
    ] = False,
    keep: Annotated[int, typer.Option(help="How many models the device's cache keeps.")] = 5,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the remote commands and run none of them.")
    ] = False,
    as_json: Annotated[bool, JSON] = False,
    debug: Annotated[bool, DEBUG] = False,
    version: Annotated[bool, VERSION] = False,
) -> None:
    """Run this package's commands on a device that ssh reaches, and bring back what they find.

    Files go there once, by their hash, into ~/.cache/edaformer-device; plan, figures, report and
    log come back into a folder beside the model.

    Exit code: the command's there. 3 also where the device cannot be reached or lacks this package.

    Example: edaformer-device jetson@orin deploy model.onnx --reference street.ref
    """
    given = {
        "--backend": backend, "--workspace": workspace, "--allow-unfused": allow_unfused or None,
        "--rebuild": rebuild or None, "--reference": reference, "--checkpoint": checkpoint,
        "--data": data, "--duration": duration, "--rounds": rounds, "--input": inputs or None,
        "--save": save, "--limit": limit, "--out": out, "--install": install or None,
    }  # fmt: skip
    _check(command, artifacts or [], given)
    _check_together(given, python, keep)
    if sys.platform == "win32":
        raise MissingError(
            "edaformer-device shares one connection (ssh's ControlMaster), which Windows' ssh "
            "cannot; run it in WSL"
        )
    from edaformer.cli.device.errand import Errand, Wanted, run_errand
    from edaformer.remote.jobs import Building

    wanted = Wanted(
        command=command, artifacts=tuple(artifacts or ()),
        building=Building(backend, workspace, allow_unfused=allow_unfused, again=rebuild),
        reference=reference, checkpoint=checkpoint, data=data, duration=duration, rounds=rounds,
        inputs=tuple(inputs or ()), save=save, limit=limit, out=out,
    )  # fmt: skip
    errand = Errand(
        host, python=python, wait=wait, keep=keep, install=install, dry=dry_run, as_json=as_json
    )
    code = run_errand(errand, wanted)
    if code:
        raise typer.Exit(code)


def _check(command: Command, artifacts: list[Path], given: Mapping[str, object]) -> None:
    for option, value in given.items():
        if value is not None and command not in _TAKEN[option]:
            raise InputError(f"{option} is not for {command}; leave it out")
    if command in _NO_ARTIFACT and artifacts:
        raise InputError(f"{command} takes no artifact; leave it out")
    if command not in _NO_ARTIFACT and not artifacts:
        raise InputError(f"name the artifact to {command}: an .onnx or a .plan")
    if len(artifacts) > 1 and command != "bench":
        raise InputError(f"{command} takes one artifact, got {len(artifacts)}; bench takes several")
    if command == "run" and given["--input"] is None:
        raise InputError("name what is to be labelled with --input: a picture, a video, scenes:4")


def _check_together(given: Mapping[str, object], python: str | None, keep: int) -> None:
    if given["--reference"] is not None and (given["--checkpoint"] or given["--data"]):
        raise InputError("--reference holds the answers; leave --checkpoint and --data out")
    if given["--install"] and python is not None:
        raise InputError(
            "--install makes a Python of its own, and --python names another; leave one out"
        )
    if keep < 1:
        raise InputError(f"expected --keep of 1 or more, got {keep}")


def main() -> None:
    """The console script ``edaformer-device``."""
    run(device)
