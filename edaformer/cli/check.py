"""``edaformer-check``: will an artifact run here, and does it label as PyTorch did?"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edaformer.cli.common import (
    DEBUG,
    JSON,
    VERSION,
    echo,
    echo_line,
    guarded,
    print_json,
    print_pairs,
    run,
    say,
    say_next,
)
from edaformer.cli.progress import steps
from edaformer.errors import EXIT_GATE, InputError

if TYPE_CHECKING:
    from edaformer.engines.artifact.verdict import Verdict
    from edaformer.labels.witness import Failure, Trial
    from edaformer.manifest import Manifest


@guarded
def check(
    artifact: Annotated[Path, typer.Argument(help="An .onnx or a .plan.")],
    run_: Annotated[
        bool,
        typer.Option(
            "--run",
            help="Run the witness frames that lie beside it, and compare with PyTorch's "
            "labels: needs the artifact's runtime.",
        ),
    ] = False,
    pictures: Annotated[
        Path | None,
        typer.Option(help="With --run: where labels are wrong, write the two pictures there."),
    ] = None,
    as_json: Annotated[bool, JSON] = False,
    debug: Annotated[bool, DEBUG] = False,
    version: Annotated[bool, VERSION] = False,
) -> None:
    """Say whether an artifact will run on this machine; needs no GPU and no TensorRT.

    Exit code 0: it will. 1: it is for another machine or TensorRT, or labels wrongly (--run). 2: it
    is damaged, or no artifact. 3: only something of this machine is missing (a GPU, a driver, a
    package).

    Example: edaformer-check model.plan --run
    """  # fmt: skip
    from edaformer.engines.artifact.preflight import preflight
    from edaformer.files import check_folder

    if pictures is not None:
        if not run_:
            raise InputError("--pictures is for --run; add it, or leave it out")
        check_folder(pictures, option="--pictures")
    verdict = preflight(artifact, asked_by="edaformer-check")
    trial, seconds = _try(artifact) if run_ and verdict.ok else (None, 0.0)
    if as_json:
        witness = {"witness": None if trial is None else trial.to_json()} if run_ else {}
        print_json(verdict.to_json() | witness)
    else:
        print_verdict(verdict, None if trial is None else f"{trial} ({seconds:.1f} s)")
    if trial is not None and not trial.right:
        _tell(verdict, trial, pictures)
        raise typer.Exit(EXIT_GATE)
    if verdict.problems:
        raise typer.Exit(verdict.exit_code)


def _try(artifact: Path) -> tuple[Trial, float]:
    from edaformer.engines.segmenters.trial import try_witness

    start = time.perf_counter()
    with steps("running the witness frames"):
        trial = try_witness(artifact)
    return trial, time.perf_counter() - start


def print_verdict(verdict: Verdict, witness: str | None) -> None:
    """All of it, on stdout.

    Args:
        verdict: of an artifact.
        witness: what became of its frames; None: they were not run.
    """
    facts = dict(verdict.facts) | {"verdict": verdict.sentence}
    if witness is not None:
        facts["witness"] = witness
    print_pairs(str(verdict.path), list(facts.items()))
    for problem in verdict.problems:
        echo_line(f"  {problem.kind}: {problem.text}")
        echo(f"    mend it: {problem.fix}")
    for note in verdict.notes:
        echo_line(f"  note: {note}")


def _tell(verdict: Verdict, trial: Trial, pictures: Path | None) -> None:
    """What to do about wrong labels."""
    assert verdict.manifest is not None
    say(f"{verdict.path} labels wrongly here: {trial.worst}")
    if pictures is not None:
        written = _write(trial.worst, verdict.manifest, pictures)
        say(f"pictures: {', '.join(map(str, written))}")
    say("next, at the desk, which module is wrong, and an export without fused attention:")
    which = ("--checkpoint", "CHECKPOINT", "--bisect")
    say_next("edaformer-validate", verdict.path, *which, when=None)
    say_next("edaformer-export", "CHECKPOINT", "--attention", "unfused", when=None)


def _write(failure: Failure, manifest: Manifest, folder: Path) -> list[Path]:
    from edaformer.files import write_whole
    from edaformer.media.drawing import Style, png
    from edaformer.media.palette import class_colours

    colours = class_colours(manifest.classes, manifest.palette, manifest.num_classes)
    style = Style(manifest.classes or (), colours, weight=1.0)
    name = re.sub(r"[^a-z0-9]+", "_", failure.known.name)
    written = []
    for whose, labels in (("pytorch", failure.known.labels), ("artifact", failure.labels)):
        written.append(folder / f"{name}_{whose}.png")
        write_whole(written[-1], png(style.paletted(labels)))
    return written


def main() -> None:
    """The console script ``edaformer-check``."""
    run(check)
