"""Measured latency on another machine: exported here, built and timed there, by our own commands.

A build that is there is taken (there.py keeps it by the hash of its ONNX file, with TensorRT,
driver and power mode), so a search that was cut pays for nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edaformer.engines.tune.device.measure import ROUNDS, make_artifact
from edaformer.engines.tune.search.rows import Latency
from edaformer.errors import GateError, RemoteError
from edaformer.export.exporter import ExportOptions
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import ISR
from edaformer.json_text import parse_json
from edaformer.remote.device import Device, Ran, memory_sentence
from edaformer.remote.facts import Facts, require_ours
from edaformer.remote.jobs import PLAN, Building, bench_job, build_job, load

PREFIX = "ssh://"
AT_ONCE = 8  # engines that take turns: each holds its memory there meanwhile
MOST_BUILT = 24  # settings that one search builds there
_SECONDS = 2.5  # of timed frames for each, in ROUNDS
Step = Callable[[str], None]


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
    settings: Sequence[ISR],
    size: tuple[int, int],
    *,
    host: str,
    on_step: Step = lambda _: None,
) -> dict[ISR, Latency]:
    """Time a frame of ``size`` (H, W) at each setting on a device, taking turns.

    Args:
        checkpoint: here.
        settings: AT_ONCE at most.
        size: valid pixels.
        host: as ssh takes it.
        on_step: told what is being done.

    Raises:
        GateError: if an export does not verify, or the device refuses to build or measure one.
        RemoteError: if the connection is lost, or another desk is at work there.
    """
    said: list[str] = []
    with TemporaryDirectory(prefix="edaformer-tune-") as folder:
        exported = {}
        for number, isr in enumerate(settings, start=1):
            on_step(f"exporting {isr} to measure it, {number} of {len(settings)}")
            options = ExportOptions(isr, size, precision="fp16")
            exported[isr] = make_artifact(checkpoint, options, Path(folder), build=False)
        with Device(host, on_line=said.append) as device:
            device.hold(wait=False)
            device.trim(MOST_BUILT)
            built = {}
            for number, (isr, onnx) in enumerate(exported.items(), start=1):
                on_step(f"building {isr} on {host}, {number} of {len(settings)}")
                built[isr] = _build(device, onnx, said)
            on_step(f"measuring {len(built)} settings on {host}, taking turns")
            return _bench(device, built, said)


@dataclass(frozen=True)
class _Built:
    """A plan there."""

    folder: str
    file_bytes: int


def _build(device: Device, onnx: Path, said: list[str]) -> _Built:
    made = load([(onnx, "onnx")], {})
    made.carry(device)
    job = replace(build_job(made.artifacts[0], Building()), brings=())
    told = _answer(job.run(device, made.folder, onnx.parent), device, said)
    try:
        return _Built(made.folder, int(told["manifest"]["engine"]["plan_bytes"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _unread(device, error) from error


def _bench(device: Device, built: dict[ISR, _Built], said: list[str]) -> dict[ISR, Latency]:
    options = ("--duration", f"{_SECONDS:g}", "--rounds", str(ROUNDS))
    folders = [one.folder for one in built.values()]
    job = bench_job([f"../{folder}/{PLAN}" for folder in folders], options)
    told = _answer(job.run(device, folders[0], Path()), device, said)
    try:
        each = zip(built.items(), told["results"], strict=True)
        return {isr: _latency(made, one) for (isr, made), one in each}
    except (KeyError, TypeError, ValueError) as error:
        raise _unread(device, error) from error


def _latency(made: _Built, told: dict[str, Any]) -> Latency:
    """The median of all frames, and how far the rounds' medians lie apart."""
    rounds = [float(one) for one in told["rounds"]]
    seconds = float(told["latency"]["p50"])
    return Latency(seconds, made.file_bytes, (max(rounds) - min(rounds)) / seconds)


def _unread(device: Device, error: Exception) -> RemoteError:
    return RemoteError(
        f"{device.host}'s answer cannot be read ({error!r:.100}); use the same version on both "
        "machines"
    )


def _answer(ran: Ran, device: Device, said: list[str]) -> dict[str, Any]:
    if ran.memory is not None:
        raise RemoteError(memory_sentence(device.host, ran.memory))
    if ran.code:
        why = next((line for line in reversed(said) if line.startswith(("error", "gate"))), "")
        raise GateError(f"{device.host} ended with exit code {ran.code}: {why or 'no reason'}")
    told = parse_json(ran.text)
    return dict(told) if isinstance(told, dict) else {}
