"""An adaptation as text: what was learnt, agreement with base, and mIoU where there is truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.cli.common import echo, print_pairs, print_table

if TYPE_CHECKING:
    from edaformer.engines.adapt.result import Adaptation


def print_adaptation(path: Path, made: Adaptation) -> None:
    """All of it, on stdout."""
    from edaformer.preprocess import format_size

    print_pairs(
        str(path),
        [
            ("frames", f"{made.learnt_from} to learn from, {made.held_out} held out"),
            ("pictures", f"{format_size(made.picture)}, on {made.runs_on}"),
            ("steps", f"{made.steps} in {made.seconds:.0f} s; the best after {made.best.step}"),
        ],
    )
    echo()
    print_table(
        ("agrees with base, held out", "before", "after"),
        [
            (str(isr), f"{before:.4%}", f"{after:.4%}")
            for isr, before, after in zip(
                made.settings, made.exams[0].agreement, made.best.agreement, strict=True
            )
        ],
    )
    if made.judged:
        echo()
        print_table(
            (f"mIoU on {made.truth}", "before", "after", "change"),
            [
                (str(one.isr), f"{one.before:.3f}", f"{one.after:.3f}", f"{one.change:+.3f}")
                for one in made.judged
            ],
        )
