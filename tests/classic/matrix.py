"""Write docs/gpu.md's matrix of what ran under which release, out of the last run's reports.

``python -m pytest tests/classic/test_releases.py && python -m tests.classic.matrix``
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter

from tests.classic import releases

PAGE = releases.HERE.parents[1] / "docs" / "gpu.md"
BEGIN, END = "<!-- matrix -->\n", "<!-- end of matrix -->\n"
_ROWS = {
    "test_build": "building: options, bounds, timing cache, proof by the inspector, refusals",
    "test_bindings": "how the bindings behave: arguments, callbacks, warnings; faults put in",
    "test_touched": "every name that our code touches",
    "test_execute": "loading and executing through Polygraphy, refused plans, lifetimes",
    "test_commands": "`edaformer-run`, `-bench`, `-validate`, `-check --run` as processes",
    "test_engine": "`Engine` on the emulated driver",
    "test_witness": "the witness on loading",
    "test_camera_example": "examples/camera.py on a video",
}


def main() -> None:
    """Replace what is between the marks."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    assert rest, f"{PAGE} has no mark {BEGIN.strip()}"
    PAGE.write_text(before + BEGIN + "\n" + _table() + "\n" + END + after)


def _table() -> str:
    counts = {release: _count(release) for release in releases.RELEASES}
    head = [f"| tests | {' | '.join(releases.RELEASES)} |", "| --- |" + " --- |" * len(counts)]
    rows = [
        f"| {what} | {' | '.join(str(counts[r][name] or '-') for r in releases.RELEASES)} |"
        for name, what in _ROWS.items()
    ]
    return "\n".join([*head, *rows, ""])


def _count(release: str) -> Counter[str]:
    """Passed tests by file."""
    report = releases.CACHE / "reports" / f"{release}.xml"
    passed: Counter[str] = Counter()
    for case in ET.parse(report).getroot().iter("testcase"):
        if not any(case.find(kind) is not None for kind in ("failure", "error", "skipped")):
            parts = str(case.get("classname")).split(".")
            passed[next(part for part in parts if part.startswith("test_"))] += 1
    unknown = set(passed) - set(_ROWS)
    assert not unknown, f"no row for {', '.join(sorted(unknown))}"
    return passed


if __name__ == "__main__":
    main()
