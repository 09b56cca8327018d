"""The command line of benchmarks/gpu.py."""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from on_gpu.cases import DRY_NETWORKS, NETWORKS
from on_gpu.record import failures, run_sections, work_section
from on_gpu.run import FAULTS, Run, Section, alone
from on_gpu.sections import BY_NAME, SECTIONS
from on_gpu.visible import look
from on_gpu.worker import Place, work_off

VISIBLE = Section("visible", look, 1, alone("gpu"), reserve=0)
_LOOK = 60.0  # seconds that the driver has for saying whether it sees a GPU


def main(description: str) -> int:
    """Run, prepare, or be a worker; the exit code."""
    from edaformer.errors import EdaformerError

    given = _parse(description)
    try:
        if given.worker is not None:
            section = {**BY_NAME, VISIBLE.name: VISIBLE}[given.worker]
            return work_off(_run_of(given), section, given.cases, given.stream)
        if given.prepare is not None:
            return _prepare(given)
        return _measure(given)
    except EdaformerError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _parse(description: str) -> argparse.Namespace:
    summary, _, more = description.partition("\n\n")
    parser = argparse.ArgumentParser(
        "gpu.py", description=summary, epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="FILE",
                        help="the JSON; default gpu.json, in --folder if given")  # fmt: skip
    parser.add_argument("--folder", type=Path, metavar="DIR",
                        help="all else that is written, logs and the caches of all libraries; "
                        "default: one that goes at the end")  # fmt: skip
    parser.add_argument("--budget", type=_seconds, default=480.0, help="seconds; default 480")
    parser.add_argument("--plans", type=_existing, metavar="DIR", help="what --prepare made")
    parser.add_argument("--checkpoint", type=_existing, help="a trained one, for the labels")
    parser.add_argument("--data", help="what it was trained for, such as camvid:DIR")
    parser.add_argument("--dry-run", action="store_true", help="on a CPU, tiny sizes")
    parser.add_argument("--prepare", type=Path, metavar="DIR", help="export and build into DIR")
    parser.add_argument("--compute-capability", default="", help="targets to prepare for")
    parser.add_argument("--fault", action="append", default=[], type=_fault, metavar="SECTION=KIND",
                        help=f"of a dry run: let a section {', '.join(FAULTS)}")  # fmt: skip
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--cases", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--stream", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fault and not given.dry_run:
        parser.error("--fault is for a --dry-run")
    if given.compute_capability and given.prepare is None:
        parser.error("--compute-capability is for --prepare")
    return given


def _seconds(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got '{text}'")
    return value


def _existing(text: str) -> Path:
    path = Path(text).resolve()
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{text} does not exist")
    return path


def _fault(text: str) -> str:
    name, _, kind = text.partition("=")
    if name not in BY_NAME or kind not in FAULTS:
        raise argparse.ArgumentTypeError(
            f"expected one of {', '.join(BY_NAME)}, '=' and one of {', '.join(FAULTS)}"
        )
    return text


def _run_of(given: argparse.Namespace) -> Run:
    deadline = time.monotonic() + given.budget
    return Run(given.dry_run, deadline, deadline, given.plans, given.checkpoint, given.data,
               tuple(given.fault))  # fmt: skip


def _prepare(given: argparse.Namespace) -> int:
    from on_gpu.prepare import prepare

    targets = tuple(filter(None, given.compute_capability.split(",")))
    cases = DRY_NETWORKS if given.dry_run else NETWORKS
    prepare(given.prepare, cases, targets, given.checkpoint, given.data)
    return 0


def _measure(given: argparse.Namespace) -> int:
    """All sections; 1 if anything failed, 3 without a GPU."""
    from edaformer.files import check_writable

    signal.signal(signal.SIGTERM, _terminate)
    output = given.output or (given.folder or Path()) / "gpu.json"
    with _place(given.folder) as place:
        check_writable(output)
        run = _run_of(given)
        if not run.dry:
            _require_gpu(run, place)
        record = run_sections(run, SECTIONS, output, place)
    for name, made in record["sections"].items():
        print(f"{name}: {made['status']} {made['reason'] or ''}".rstrip())
    failed = list(failures(record))
    for line in failed:
        print(line, file=sys.stderr)
    print(f"wrote {output}", file=sys.stderr)
    return int(bool(failed))


@contextlib.contextmanager
def _place(folder: Path | None) -> Iterator[Place]:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield Place(folder.resolve())
        return
    with tempfile.TemporaryDirectory(prefix="gpu-", ignore_cleanup_errors=True) as temporary:
        yield Place(Path(temporary))


def _require_gpu(run: Run, place: Place) -> None:
    """Ask in a process of its own: a driver may hang, too.

    Raises:
        MissingError: without a GPU.
    """
    from dataclasses import replace

    from edaformer.errors import MissingError

    asking = replace(run, deadline=min(run.deadline, time.monotonic() + _LOOK))
    made = work_section(asking, VISIBLE, place, lambda _: None)
    if made["status"] != "ok":
        raise MissingError(f"the NVIDIA driver does not answer: {made['reason']}")
    if not made["cases"][0]["visible"]:
        raise MissingError(
            "this needs an NVIDIA GPU and its driver, and none is visible here; "
            "--dry-run goes through all sections on a CPU"
        )


def _terminate(number: int, frame: object) -> None:
    """Ends the run by an exception, so that a process that it waits for ends with it."""
    del frame
    raise SystemExit(128 + number)
