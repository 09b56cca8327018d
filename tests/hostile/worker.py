"""A child process that lays sound files, tries cases and says what came of each, a line a case."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import sys
from pathlib import Path

from tests.hostile import case, sound
from tests.hostile.corpus import NAMED as KNOWN
from tests.hostile.minimise import minimised
from tests.hostile.readers import NAMED

_ROOM = 6 << 30  # bytes of address space beyond what the libraries have taken


def main() -> None:
    """Lines of JSON in, [reader, seed, numbers] or [reader, null, names of CORPUS]; and out."""
    faulthandler.enable()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    folder = Path(sys.argv[1])
    os.environ["XDG_CACHE_HOME"] = str(folder / "home")
    sound.know_atom()
    import torch

    torch.set_num_threads(1)
    for line in sys.stdin:
        name, seed, numbers = json.loads(line)
        reader = NAMED[name]
        base, work = folder / case.key(reader), folder / f"work-{os.getpid()}"
        if not base.with_suffix(".told").exists():
            base.mkdir()
            reader.lay(base)
            case.lay_copy(base, work)
            base.with_suffix(".told").write_text(reader.read(work))
        _limit_memory()
        for number in numbers:
            print(json.dumps({"begin": number}), file=answers)
            todo = [KNOWN[number]] if seed is None else case.steps(reader, seed, number, base)
            outcome = case.try_steps(reader, base, todo, work)
            answer = {"number": number, "kind": outcome.kind, "text": outcome.text[:400],
                      "cause": outcome.cause, "smallest": str(number)}  # fmt: skip
            if outcome.kind == "find" and seed is not None:
                answer["smallest"] = minimised(reader, base, todo, work, outcome)
            print(json.dumps(answer), file=answers)
        print(json.dumps({"end": name}), file=answers)


def _limit_memory() -> None:
    """Once the libraries are there: what is allocated from here on has a bound."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + _ROOM, hard))


if __name__ == "__main__":
    main()
