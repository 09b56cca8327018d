"""What a command found on a device, as that command prints it here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edaformer.cli.common import echo, echo_line, say
from edaformer.errors import EdaformerError, InputError

Told = Mapping[str, Any]


def print_result(command: str, told: Told, kept: Path, artifact: Path) -> None:
    """A command's JSON as its table.

    Args:
        command: its name.
        told: its JSON, files named as they are here.
        kept: where the answer of the run before lies, if there was one.
        artifact: what it was run on, as it is here.

    Raises:
        InputError: if it is not such an answer.
    """
    printers: dict[str, Callable[[], None]] = {
        "check": lambda: _check(told),
        "build": lambda: _build(told),
        "validate": lambda: _validate(told, artifact),
        "bench": lambda: _bench(told, kept),
        "run": lambda: _run(told),
    }
    try:
        printers[command]()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the device's answer to {command} is of another kind than expected ({error!r:.200}); "
            "use the same version on both machines"
        ) from error
    echo()


def _check(told: Told) -> None:
    from edaformer.cli.check import print_verdict
    from edaformer.engines.artifact.verdict import Problem, Verdict

    problems = tuple(Problem(**one) for one in told["problems"])
    facts = tuple(dict(told["facts"]).items())
    verdict = Verdict(
        Path(told["path"]), told["artifact"], problems, tuple(told["notes"]), facts, None
    )
    print_verdict(verdict, _witness(told.get("witness")))


def _witness(told: Told | None) -> str | None:
    if told is None:
        return None
    if told["right"]:
        return f"right on {told['frames']} witness frames, {told['ties']} rounding ties flipped"
    worst = max(told["failures"], key=lambda one: int(one["pixels"]))
    return (
        f"WRONG on {len(told['failures'])} of {told['frames']} witness frames; on "
        f"'{worst['frame']}' {worst['pixels']} pixels flipped, with top two logits up to "
        f"{worst['margin']:.3g} apart where rounding explains {worst['tolerance']:.3g}"
    )


def _build(told: Told) -> None:
    from edaformer.cli.build import print_result as print_build
    from edaformer.engines.build.build import BuildResult
    from edaformer.manifest import Manifest

    manifest = Manifest.model_validate(told["manifest"])
    seconds = float(told["seconds"])
    print_build(BuildResult(Path(told["path"]), told["sha256"], seconds, manifest))


def _validate(told: Told, artifact: Path) -> None:
    from edaformer.cli.texts.validation import print_validation
    from edaformer.engines.artifact.kind import artifact_manifest
    from edaformer.engines.validate.read_back import read_validation

    result = read_validation(told, artifact_manifest(artifact))
    print_validation(result, per_class=False)
    for gate in result.gates:
        if gate.failure is not None:
            say(f"gate failed: {gate.failure}")


def _bench(told: Told, kept: Path) -> None:
    from pydantic import TypeAdapter

    from edaformer.cli.bench import print_record
    from edaformer.engines.bench.record import Record

    names = {"state_before": "before", "state_after": "after"}
    record = TypeAdapter(Record).validate_python(
        {names.get(name, name): value for name, value in told.items()}
    )
    print_record(record)
    if kept.is_file():
        _beside(told, kept)


def _beside(told: Told, kept: Path) -> None:
    """The last time's figures, and whether they may be put beside these."""
    from edaformer.engines.bench.between import changed
    from edaformer.engines.bench.record import read_record

    try:
        before = read_record(kept)
    except EdaformerError as error:
        say(f"note: {error}")
        return
    then = {one["subject"]["sha256"]: one for one in before["results"]}
    for one in told["results"]:
        last = then.get(one["subject"]["sha256"])
        if last is not None:
            now, was = (1e3 * found["latency"]["p50"] for found in (one, last))
            echo_line(
                f"{one['subject']['name']}: p50 {now:.2f} ms, {was:.2f} ms on {before['created']}"
            )
    for text in changed(before, told):
        echo_line(f"NOT COMPARABLE with {before['created']}: {text}")


def _run(told: Told) -> None:
    from pydantic import TypeAdapter

    from edaformer.cli.run import print_run
    from edaformer.engines.run.run import RunResult

    print_run(TypeAdapter(RunResult).validate_python(told))
