"""Measured latency on another machine: exported here, built and timed there, by our own commands.

A build that is there is taken (there.py keeps it by the hash of its ONNX file, with TensorRT,
driver and power mode), so a search that was cut pays for nothing twice.

What one setting cannot do is its own fault and no end of a search: it is refused with its reason,
and the others are measured. What no setting could do any better (the device is gone, its disk is
full, TensorRT is not there) ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from edaformer.engines.tune.device.measure import ROUNDS, Measured, Step, make_artifact
from edaformer.engines.tune.search.rows import Latency
from edaformer.engines.tune.search.setting import Graphs, InEightBits, Setting
from edaformer.errors import EXIT_GATE, EXIT_MISSING, GateError, RemoteError
from edaformer.export.options import ExportOptions
from edaformer.families.checkpoint import Checkpoint
from edaformer.json_text import parse_json
from edaformer.printable import in_one_line
from edaformer.remote.device import Device, memory_sentence
from edaformer.remote.facts import Facts, require_ours
from edaformer.remote.jobs import PLAN, Building, Job, bench_job, build_job, load

PREFIX = "ssh://"
AT_ONCE = 8  # engines that take turns: each holds its memory there meanwhile
MOST_BUILT = 24  # settings that one search builds there
_SECONDS = 2.5  # of timed frames for each, in ROUNDS
_DAY = 86_400.0  # seconds; no frame takes as long
_BY_SIGNAL = 128  # exit codes above it are a signal's
Refuse = Callable[[Setting, str], None]
Made = TypeVar("Made")


def ask(host: str) -> Facts:
    """What a device has.

    Raises:
        RemoteError: if it cannot be reached.
        MissingError: if our package is not there, of this version.
    """
    with Device(host) as device:
        facts = device.ask()
    assert facts is not None
    require_ours(facts, host)
    return facts


def measure_there(
    checkpoint: Checkpoint,
    settings: Sequence[Setting],
    size: tuple[int, int],
    *,
    host: str,
    on_step: Step = lambda _: None,
    graphs: Graphs | None = None,
) -> Measured:
    """Time a frame of ``size`` (H, W) at each setting on a device, taking turns.

    Another desk at work there is waited for.

    Args:
        checkpoint: here.
        settings: AT_ONCE at most.
        size: valid pixels.
        host: as ssh takes it.
        on_step: told what is being done.
        graphs: the exports of those in eight bits.

    Raises:
        GateError: if the device ends a command for what has nothing to do with the setting.
        RemoteError: if the connection is lost.
    """
    refused: dict[Setting, str] = {}

    def refuse(setting: Setting, reason: str) -> None:
        refused[setting] = reason
        on_step(f"{setting} is left out: {reason}")

    with TemporaryDirectory(prefix="edaformer-tune-") as folder:

        def export(number: int, one: Setting) -> Path:
            if isinstance(one, InEightBits):
                return (graphs or {})[one]
            on_step(f"exporting {one} to measure it, {number} of {len(settings)}")
            return _export(checkpoint, ExportOptions(one, size, precision="fp16"), Path(folder))

        exported = _kept(settings, export, refuse)
        if not exported:
            return Measured({}, refused)
        said: list[str] = []
        with Device(host, on_line=said.append) as device:
            device.hold(
                wait=True, on_wait=lambda who: on_step(f"{host} is in use by {who}; waiting")
            )
            device.trim(MOST_BUILT)

            def build(number: int, one: Setting) -> _Built:
                on_step(f"building {one} on {host}, {number} of {len(exported)}")
                return _build(device, exported[one], said)

            built = _kept(list(exported), build, refuse)
            return Measured(_measured(device, built, said, refuse, on_step), refused)


class _RefusedError(Exception):
    """One setting cannot be had, and why."""


def _kept(
    settings: Sequence[Setting], make: Callable[[int, Setting], Made], refuse: Refuse
) -> dict[Setting, Made]:
    """What comes of each, by its number and itself; what is refused is left out."""
    made: dict[Setting, Made] = {}
    for number, one in enumerate(settings, start=1):
        try:
            made[one] = make(number, one)
        except _RefusedError as error:  # noqa: PERF203  # minutes are spent on each
            refuse(one, str(error))
    return made


def _export(checkpoint: Checkpoint, options: ExportOptions, folder: Path) -> Path:
    try:
        return make_artifact(checkpoint, options, folder, build=False)
    except GateError as error:
        raise _RefusedError(str(error)) from error


@dataclass(frozen=True)
class _Built:
    """A plan there."""

    folder: str
    file_bytes: int


def _build(device: Device, onnx: Path, said: list[str]) -> _Built:
    made = load([(onnx, "onnx")], {})
    made.carry(device)
    job = replace(build_job(made.artifacts[0], Building()), brings=())
    told = _answer(job, made.folder, device, said)
    try:
        return _Built(made.folder, int(told["manifest"]["engine"]["plan_bytes"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _unread(device, error) from error


def _measured(
    device: Device, built: dict[Setting, _Built], said: list[str], refuse: Refuse, on_step: Step
) -> dict[Setting, Latency]:
    """All at once; where that fails one by one, which tells whose fault it is."""
    if len(built) > 1:
        on_step(f"measuring {len(built)} settings on {device.host}, taking turns")
        try:
            return _bench(device, built, said)
        except _RefusedError as error:
            on_step(f"{error}; measuring each alone")

    def measure(number: int, one: Setting) -> Latency:
        on_step(f"measuring {one} on {device.host}, {number} of {len(built)}")
        return _bench(device, {one: built[one]}, said)[one]

    return _kept(list(built), measure, refuse)


def _bench(device: Device, built: dict[Setting, _Built], said: list[str]) -> dict[Setting, Latency]:
    options = ("--duration", f"{_SECONDS:g}", "--rounds", str(ROUNDS))
    folders = [one.folder for one in built.values()]
    job = bench_job([f"../{folder}/{PLAN}" for folder in folders], options)
    told = _answer(job, folders[0], device, said)
    try:
        each = zip(built.items(), told["results"], strict=True)
        return {setting: _latency(made, one) for (setting, made), one in each}
    except (KeyError, TypeError, ValueError) as error:
        raise _unread(device, error) from error


def _latency(made: _Built, told: dict[str, Any]) -> Latency:
    """The median of all frames, and how far the rounds' medians lie apart."""
    rounds = [float(one) for one in told["rounds"]]
    seconds = float(told["latency"]["p50"])
    if not 0 < seconds < _DAY or not all(0 < one < _DAY for one in rounds):
        raise ValueError(f"a frame of {seconds:g} s, in rounds of {rounds}")
    return Latency(seconds, made.file_bytes, (max(rounds) - min(rounds)) / seconds)


def _unread(device: Device, error: Exception) -> RemoteError:
    said = in_one_line(f"{error!r:.100}")
    return RemoteError(
        f"{device.host}'s answer cannot be read ({said}); use the same version on both machines"
    )


def _answer(job: Job, folder: str, device: Device, said: list[str]) -> dict[str, Any]:
    """The JSON of a command there, which brings nothing back."""
    before = len(said)
    ran = device.run(folder, job.words, once=job.once)
    if ran.code and ran.memory is not None:
        raise _RefusedError(memory_sentence(device.host, ran.memory))
    if ran.code:
        own = [in_one_line(line) for line in said[before:] if line.startswith(("error", "gate"))]
        why = f"edaformer-{job.command} ended with exit code {ran.code}: {_last(own)}"
        if _is_its_own(job.command, ran.code):
            raise _RefusedError(why)
        raise GateError(
            f"{device.host}: {why}; mend that; what was tried stays: go on with --resume"
        )
    try:
        told = parse_json(ran.text)
    except ValueError as error:
        raise _unread(device, error) from error
    return dict(told) if isinstance(told, dict) else {}


def _is_its_own(command: str, code: int) -> bool:
    """Whether a command ended so for what it worked on.

    That TensorRT refuses, or dies; in bench also what the driver says, such as too little memory.
    A usage error, a full disk or a missing TensorRT would meet every other setting as well.
    """
    return code == EXIT_GATE or code > _BY_SIGNAL or (command == "bench" and code == EXIT_MISSING)


def _last(lines: Sequence[str]) -> str:
    return lines[-1] if lines else "no reason"
