"""The way to a device and back: connect, ask, copy, run, bring back, print."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edaformer.cli.common import echo, print_json, print_pairs, say
from edaformer.cli.device.inputs import Inputs, find_inputs
from edaformer.cli.device.reference import find_reference
from edaformer.cli.device.results import print_result
from edaformer.cli.progress import steps
from edaformer.errors import EXIT_MISSING, InputError, RemoteError
from edaformer.files import check_folder, write_whole
from edaformer.json_text import parse_json
from edaformer.printable import in_one_line
from edaformer.remote import jobs
from edaformer.remote.device import Device, Ran, memory_sentence
from edaformer.remote.facts import Facts, Ours, require_ours
from edaformer.remote.jobs import Building, Job, Kind, Load
from edaformer.remote.there import KILLED_FOR_MEMORY
from edaformer.version import __version__

LOG = "log.txt"
_MOST_LINES = 100_000  # of it: a device may say what it likes
# What a command says at its end is of files there: what it wrote, and what to type next
_OF_FILES_THERE = re.compile(r"wrote |(next|or|with a GPU): ")


@dataclass(frozen=True)
class Errand:
    """Where to, and how."""

    host: str
    python: str | None
    wait: bool
    keep: int
    install: bool
    dry: bool
    as_json: bool
    log: list[str] = field(default_factory=list)

    def tell(self, line: str) -> None:
        """What a command there says on standard error."""
        if len(self.log) < _MOST_LINES:
            self.log.append(line)
        if not _OF_FILES_THERE.match(line):
            say(f"{self.host}: {line}")

    def command(self, line: str) -> None:
        """A remote command."""
        self.log.append(f"$ {line}")
        if self.dry:
            echo(line)


@dataclass(frozen=True)
class Wanted:
    """What is to be done there."""

    command: str
    artifacts: tuple[Path, ...]
    building: Building
    reference: Path | None
    checkpoint: str | None
    data: str | None
    duration: float | None
    rounds: int | None
    inputs: tuple[str, ...]
    save: str | None
    limit: int | None
    out: Path | None

    def folder(self, host: str) -> Path:
        """Where everything comes back to."""
        if self.out is not None:
            return self.out
        first = self.artifacts[0]
        name = re.sub(r"^ssh://|^.*@|:\d+$", "", host)
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", re.sub(r"^.*@|:\d+$", "", name))
        if first.parent.name.endswith(f".{name}"):  # it came from there
            return first.parent
        return first.with_name(f"{first.stem}.{name}")


def run_errand(errand: Errand, wanted: Wanted) -> int:
    """Do it; returns the exit code.

    Raises:
        InputError: if something here is not as it should be.
        MissingError: if the device lacks our package.
        RemoteError: if it cannot be reached, or not any more.
    """
    if wanted.command == "clear":
        with _connected(errand) as device:
            device.hold(wait=errand.wait, on_wait=_waiting(errand))
            freed = device.clear()
        return _finish(errand, {"freed": freed}, f"freed {freed / 1e6:.1f} MB on {errand.host}")
    if wanted.command == "ask":
        with _connected(errand) as device:
            if errand.install:
                device.hold(wait=errand.wait, on_wait=_waiting(errand))
            facts = device.ask()
            if errand.install and not _is_ours(facts):
                facts = _install(errand, device, facts)
        return _show(errand, facts)
    out = wanted.folder(errand.host)
    check_folder(out, option="--out")
    load, todo = _prepare(wanted)
    try:
        with _connected(errand) as device:
            device.hold(wait=errand.wait, on_wait=_waiting(errand))
            ours = _require_ours(errand, device)
            code = _work(errand, device, load, todo, out)
            if code == EXIT_MISSING and ours is not None:
                pip = shlex.join([ours.path, "-m", "pip"])
                say(f"note: pip on {errand.host}, for what is missing there: {pip}")
            return code
    finally:
        if not errand.dry:
            write_whole(out / LOG, "".join(f"{line}\n" for line in errand.log).encode())


def _connected(errand: Errand) -> Device:
    with steps(f"connecting to {errand.host}"):
        return Device(
            errand.host, python=errand.python, dry=errand.dry, on_line=errand.tell,
            on_command=errand.command,
        )  # fmt: skip


def _prepare(wanted: Wanted) -> tuple[Load, list[Job]]:
    """Everything that is known before the device is: files, and commands in their order."""
    from edaformer.engines.artifact.kind import artifact_manifest, is_plan

    kinds: list[tuple[Path, Kind]] = []
    for path in wanted.artifacts:
        kinds.append((path, "plan" if is_plan(path) else "onnx"))
        artifact_manifest(path)  # what is none is refused here
    if wanted.command in {"build", "deploy"} and kinds[0][1] == "plan":
        path, command = wanted.artifacts[0], wanted.command
        raise InputError(f"{path} is a plan already; {command} takes an .onnx")
    others: dict[str, Path] = {}
    if wanted.command in {"validate", "deploy"}:
        found = find_reference(
            wanted.artifacts[0], wanted.reference, wanted.checkpoint, wanted.data
        )
        others |= {} if found is None else {jobs.REFERENCE: found}
    inputs = find_inputs(wanted.inputs, wanted.limit)
    load = jobs.load(kinds, {**others, **inputs.files})
    return load, _jobs(wanted, load, inputs, validates=bool(others))


def _jobs(wanted: Wanted, load: Load, inputs: Inputs, *, validates: bool) -> list[Job]:
    bench = [
        *([] if wanted.duration is None else ["--duration", f"{wanted.duration:g}"]),
        *([] if wanted.rounds is None else ["--rounds", str(wanted.rounds)]),
    ]
    drawn = [
        *([] if wanted.save is None else ["--save", wanted.save]),
        *([] if wanted.limit is None else ["--limit", str(wanted.limit)]),
    ]
    name = load.artifacts[0]
    if wanted.command == "deploy":
        made = [jobs.build_job(name, wanted.building), jobs.check_job(jobs.PLAN)]
        made += [jobs.validate_job(jobs.PLAN)] if validates else []
        frames = ["--data", f"reference:{jobs.REFERENCE}"] if validates else []
        made.append(jobs.bench_job([jobs.PLAN], [*frames, *bench]))
        return made + ([jobs.run_job(jobs.PLAN, inputs.words, drawn)] if inputs.words else [])
    one = {
        "build": lambda: jobs.build_job(name, wanted.building),
        "check": lambda: jobs.check_job(name),
        "validate": lambda: jobs.validate_job(name),
        "bench": lambda: jobs.bench_job(load.artifacts, bench),
        "run": lambda: jobs.run_job(name, inputs.words, drawn),
    }
    return [one[wanted.command]()]


def _require_ours(errand: Errand, device: Device) -> Ours | None:
    facts = device.ask()
    if errand.install and not _is_ours(facts):
        facts = _install(errand, device, facts)
    if facts is None:  # a dry run
        return None
    errand.log.extend(f"{name}: {value}" for name, value in facts.pairs if value is not None)
    return require_ours(facts, errand.host)


def _is_ours(facts: Facts | None) -> bool:
    return facts is not None and facts.ours is not None and facts.ours.version == __version__


def _install(errand: Errand, device: Device, facts: Facts | None) -> Facts | None:
    from edaformer.remote.installing import install

    with steps(f"installing on {errand.host}") as on_step:
        install(device, facts, on_step)
    return device.ask()


def _work(errand: Errand, device: Device, load: Load, todo: list[Job], out: Path) -> int:
    here = {jobs.PLAN: out / jobs.PLAN, **_pictures(out), **load.here}
    with steps(f"copying to {errand.host}"):
        load.carry(device)
        device.trim(errand.keep)
    results: dict[str, Any] = {}
    code = 0
    for job in todo:
        if not errand.dry:
            say(f"... edaformer-{job.command} on {errand.host}")
        ran = job.run(device, load.folder, out)
        if errand.dry:
            continue
        code, told = ran.code, _told(errand, job, ran, here)
        results[job.command] = told
        if told is not None:
            _keep(job, told, out / f"{job.command}.json", here[job.words[1]], errand)
        if code:
            break
    if not errand.dry:
        _say_copied(errand, device, results, code, out)
    return code


def _say_copied(
    errand: Errand, device: Device, results: dict[str, Any], code: int, out: Path
) -> None:
    if errand.as_json:
        print_json({**results, "copied": vars(device.copied), "exit_code": code})
    there, back = (count / 1e6 for count in vars(device.copied).values())
    say(f"copied {there:.1f} MB there and {back:.1f} MB back; everything is in {out}")


def _told(errand: Errand, job: Job, ran: Ran, here: dict[str, Path]) -> dict[str, Any] | None:
    """A command's answer; None where it ended without one, which it has said why."""
    if ran.memory is not None and ran.code == KILLED_FOR_MEMORY:
        raise RemoteError(memory_sentence(errand.host, ran.memory))
    if not ran.text.strip():
        return None
    told = _object(job.command, ran.text, errand.host)
    if not ran.again:
        say("note: built there before, alike; --rebuild builds again")
    made: dict[str, Any] = jobs.named_here(told, here)
    return made


def _object(command: str, text: str, host: str) -> dict[str, Any]:
    try:
        told = parse_json(text)
    except ValueError as error:
        what = f"edaformer-{command}'s answer on {host}"
        raise RemoteError(f"{what} cannot be read: {error}; run it again") from error
    if not isinstance(told, dict):
        raise RemoteError(f"edaformer-{command}'s answer on {host} is no JSON; run it again")
    return told


def _keep(job: Job, told: dict[str, Any], path: Path, artifact: Path, errand: Errand) -> None:
    """Beside the model, and on standard output."""
    if not errand.as_json:
        print_result(job.command, told, path, artifact)
    write_whole(path, json.dumps(told, indent=1).encode())


def _pictures(out: Path) -> dict[str, Path]:
    from edaformer.engines.run.sinks import SAVE_KINDS

    return {f"{jobs.PICTURES}/{kind}": out / jobs.PICTURES / kind for kind in SAVE_KINDS}


def _show(errand: Errand, facts: Facts | None) -> int:
    if facts is None:
        return 0
    if errand.as_json:
        print_json({"device": vars(facts) | {"ours": facts.ours and vars(facts.ours)}})
    else:
        print_pairs(errand.host, facts.pairs)
        if facts.ours is None:
            say(f"note: edaformer-deploy is not on {errand.host}; see docs/jetson.md")
    return 0


def _finish(errand: Errand, content: dict[str, Any], text: str) -> int:
    if errand.dry:
        return 0
    if errand.as_json:
        print_json(content)
    else:
        echo(text)
    return 0


def _waiting(errand: Errand) -> Callable[[str], None]:
    return lambda who: say(f"... {errand.host} is in use by {in_one_line(who)}; waiting")
