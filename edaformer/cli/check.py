"""``edaformer-check``: will an artifact run here?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edaformer.cli.common import DEBUG, JSON, guarded, print_json, print_pairs, run


@guarded
def check(
    artifact: Annotated[Path, typer.Argument(help="An .onnx or a .plan.")],
    as_json: Annotated[bool, JSON] = False,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Say whether an artifact will run on this machine; needs no GPU and no TensorRT.

    Exit code 0: it will. 1: it is for another machine or TensorRT. 2: it is damaged, or no
    artifact. 3: only something of this machine is missing (a GPU, a driver, a package).

    Example: edaformer-check model.plan
    """
    from edaformer.engines.artifact.preflight import preflight

    verdict = preflight(artifact)
    if as_json:
        print_json(verdict.to_json())
    else:
        print_pairs(str(artifact), [*verdict.facts, ("verdict", verdict.sentence)])
        for problem in verdict.problems:
            typer.echo(f"  {problem.kind}: {problem.text}\n    mend it: {problem.fix}")
        for note in verdict.notes:
            typer.echo(f"  note: {note}")
    if verdict.problems:
        raise typer.Exit(verdict.exit_code)


def main() -> None:
    """The console script ``edaformer-check``."""
    run(check)
