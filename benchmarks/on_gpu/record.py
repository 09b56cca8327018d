"""The JSON, kept up to date while workers work; and how a section ended.

A section has ``status``, ``seconds``, ``cases`` that were done and ``missing``: those that were
skipped or failed, each with its reason and with what it had until then.

ok          every case was done
partly      some were
failed      none was, and one failed
skipped     none was, and none failed
unfinished  the run ended in this section
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from on_gpu.run import AGAIN, Skipped
from on_gpu.worker import Place, watch

if TYPE_CHECKING:
    from on_gpu.run import Run, Section

SCHEMA = 2
_LEAST = 30.0  # seconds that a case which was begun may take
Told = dict[str, Any]


def run_sections(run: Run, sections: tuple[Section, ...], output: Path, place: Place) -> Told:
    """Every section in its share of the time left; ``output`` always has what is known."""
    start = time.monotonic()
    record: Told = {
        "schema_version": SCHEMA, "kind": "gpu", "dry_run": run.dry,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "budget": round(run.left()), "sections": {},
    }  # fmt: skip
    for number, section in enumerate(sections):
        print(f"... {section.name}", file=sys.stderr, flush=True)
        share = section.share / sum(other.share for other in sections[number:])
        own = replace(run, deadline=time.monotonic() + run.left() * share)

        def write(made: Told, name: str = section.name) -> None:
            record["sections"][name] = made
            record["seconds"] = round(time.monotonic() - start, 1)
            write_json(output, record)

        work_section(own, section, place, write)
    return record


def write_json(path: Path, record: Told) -> None:
    """The whole JSON or, if the process ends in it, the one that was there."""
    from edaformer.files import write_whole

    write_whole(path, json.dumps(record, indent=1).encode())


def work_section(run: Run, section: Section, place: Place, write: Callable[[Told], None]) -> Told:
    """All of a section's cases, in as many processes as it takes."""
    start = time.monotonic()
    made: Told = {"status": "unfinished", "reason": "the run ended in this section",
                  "cases": [], "missing": []}  # fmt: skip

    def keep() -> None:
        made["seconds"] = round(time.monotonic() - start, 1)
        write(made)

    keep()
    try:
        waiting = _batches(section, list(section.cases(run)))
    except Skipped as reason:
        made.update(status="skipped", reason=str(reason))
    else:
        while waiting:
            rest = _work_batch(run, section, waiting.pop(0), place, made=made, keep=keep)
            waiting[:0] = [rest] if rest else []
        made.update(_verdict(made))
    keep()
    return made


def _batches(section: Section, cases: list[str]) -> list[list[str]]:
    """What one process is given at a time."""
    turns = [cases, [f"{case}{AGAIN}" for case in cases]] if section.twice else [cases]
    return turns if section.together else [[case] for turn in turns for case in turn]


def _work_batch(
    run: Run,
    section: Section,
    cases: list[str],
    place: Place,
    *,
    made: Told,
    keep: Callable[[], None],
) -> list[str]:
    """Let one process work; those cases that it did not come to."""
    if run.left() < (0 if run.dry else section.reserve):
        reason = f"{max(run.left(), 0):.0f} s were left, and it may take {section.reserve:.0f} s"
        made["missing"] += [{"case": case, "skipped": reason} for case in cases]
        keep()
        return []
    heard = _Heard(made, keep)

    def limit() -> float:
        """Half of what is left, so that a case that hangs leaves something to the others.

        Importing PyTorch alone may take the whole share of a short section: never below _LEAST.
        """
        return min(max(run.left() / 2, _LEAST), max(run.end - time.monotonic(), 1))

    ended = watch(run, section, cases, place, hear=heard, limit=limit)
    heard.close(cases[0], ended.words, ended.said)
    return [case for case in cases if case not in heard.ended]


class _Heard:
    """Makes entries of a worker's lines."""

    def __init__(self, made: Told, keep: Callable[[], None]) -> None:
        self._made, self._keep = made, keep
        self._entry: Told | None = None  # the case under way; it is the last of ``missing``
        self.ended: set[str] = set()
        self._failed: Told | None = None

    def __call__(self, line: Told) -> None:
        if "begin" in line:
            self._entry = {"case": line["begin"], "failed": "the run ended in this case"}
            self._made["missing"].append(self._entry)
        elif self._entry is not None and "facts" in line:
            self._entry.update(line["facts"])
        elif self._entry is not None and "end" in line:
            self._finish(self._entry, line)
        self._keep()

    def _finish(self, entry: Told, line: Told) -> None:
        del entry["failed"]
        if line["end"] == "done":
            self._made["missing"].remove(entry)
            self._made["cases"].append(entry)
        else:
            entry[line["end"]] = line["reason"]
            self._failed = entry if line["end"] == "failed" else None
        self.ended.add(entry["case"])
        self._entry = None

    def close(self, first: str, words: str, said: list[str]) -> None:
        """The process is gone: the case under way failed of it, or else the first one did."""
        if self._entry is None and not self.ended:
            self({"begin": first})
        if self._entry is not None:
            self._finish(self._entry, {"end": "failed", "reason": words})
        if self._failed is not None:
            self._failed["said"] = said
        self._keep()


def _verdict(made: Told) -> Told:
    """Status and reason."""
    done, missing = made["cases"], made["missing"]
    failed = [entry for entry in missing if "failed" in entry]
    if not missing:
        return {"status": "ok", "reason": None}
    if done:
        names = ", ".join(entry["case"] for entry in missing)
        return {"status": "partly", "reason": f"without {names}"}
    status, entries = ("failed", failed) if failed else ("skipped", missing)
    return {"status": status, "reason": f"{entries[0]['case']}: {entries[0][status]}"}


def failures(record: Told) -> Iterable[str]:
    """Every case that failed, in a line; what was skipped for lack of something is no failure."""
    for name, made in record["sections"].items():
        for entry in made["missing"]:
            if "failed" in entry:
                yield f"{name}, {entry['case']}: {entry['failed']}"
