"""``python -m tests.hostile``: the long runs, with a table and each find at its smallest."""

from __future__ import annotations

import argparse
import sys
import time

from tests.hostile.campaign import Tally, campaign
from tests.hostile.readers import NAMED, READERS


def main() -> int:
    """1 where anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", choices=sorted(NAMED))
    parser.add_argument(
        "--kills", type=int, help="SIGKILLs instead, over every command that writes"
    )
    given = parser.parse_args()
    if given.kills is not None:
        from tests.hostile.kills import main as kill

        return kill(given.kills, given.seed)
    start = time.monotonic()
    readers = [NAMED[name] for name in given.reader] if given.reader else list(READERS)
    tally = campaign(
        readers, given.seed, given.cases, lambda told: print(f"... {told}", file=sys.stderr)
    )
    _print(tally, given.seed, time.monotonic() - start)
    return 1 if tally.finds else 0


def _print(tally: Tally, seed: int, seconds: float) -> None:
    kinds = ("same", "read", "refused", "find")
    print(f"{'reader':24}{'cases':>8}{''.join(f'{kind:>9}' for kind in kinds)}{'seconds':>9}")
    for name in tally.seconds:
        counts = "".join(f"{tally.kinds[name, kind]:>9}" for kind in kinds)
        print(f"{name:24}{tally.count(name):>8}{counts}{tally.seconds[name]:>9}")
    counts = "".join(
        f"{sum(n for (_, k), n in tally.kinds.items() if k == kind):>9}" for kind in kinds
    )
    print(f"{'all':24}{sum(tally.kinds.values()):>8}{counts}{seconds:>9.1f}  seed {seed}")
    for (reader, cause), finds in tally.causes.items():
        print(f"\n{reader}, {cause}: {len(finds)} times\n  {finds[0].text}")
        print(f"  case {finds[0].number}: {finds[0].smallest}")


if __name__ == "__main__":
    sys.exit(main())
