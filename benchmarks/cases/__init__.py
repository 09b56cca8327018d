"""A record of named cases: JSON lines, each measured once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Records = dict[str, dict[str, Any]]


def read(path: Path, known: Iterable[str]) -> Records:
    """What is recorded of the ``known`` cases, in their order."""
    lines = path.read_text().splitlines() if path.exists() else []
    found = {line["case"]: line for line in map(json.loads, lines)}
    return {name: found[name] for name in known if name in found}


def add_missing(
    path: Path, done: Records, wanted: Iterable[str], measure: Callable[[str], dict[str, Any]]
) -> None:
    """Measure what is ``wanted`` and not ``done``; each is written as soon as it is there."""
    for name in wanted:
        if name not in done:
            found = measure(name)
            with path.open("a") as file:
                file.write(json.dumps({"case": name, **found}) + "\n")
