"""The tables of docs/models.md: what ISR saves of each model, and what TensorRT-RTX makes of it.

    python benchmarks/models.py                           # prints them
    python benchmarks/models.py --page docs/models.md     # writes them into the page

What ISR saves is edaformer-info's, of bare variants; engines are as in benchmarks/segformer.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rewrites import show
from segformer import COLUMNS, line, row

from edaformer.export.rewrites import defaults
from edaformer.families.convolutional.table import USUAL
from edaformer.families.table import count, named
from edaformer.isr import ISR
from edaformer.preprocess import format_size

SIZES = (((512, 512), 150), ((1024, 2048), 19))
# each with two settings: the encoder's, and the decoder's as well where it pools
MODELS = {
    "T": ("16,8,4,2", "paper"),
    "B": ("16,8,4,2", "paper"),
    "segformer-b0": ("16,8,2,1", "16,8,4,2"),
    "segformer-b2": ("16,8,2,1", "16,8,4,2"),
    "feedformer-b0": ("16,8,4,2", "16,8,4,2-16,8,4"),
    "feedformer-b2": ("16,8,4,2", "16,8,4,2-16,8,4"),
    "feedformer-b0-city": ("16,8,4,2", "16,8,4,2-32,16,8"),
    "feedformer-b2-city": ("16,8,4,2", "16,8,4,2-32,16,8"),
    **{
        f"{decoder.kind}-{encoder}": ("16,8,2,1", "16,8,4,2")
        for decoder in USUAL
        for encoder in ("mit-b0", "mit-b2", "pvt-v2-b0", "pvt-v2-b2")
    },
}
ENGINES = (
    ("feedformer-b0", 150, "base", False),
    ("feedformer-b0", 150, "base", True),
    ("feedformer-b0", 150, "16,8,4,2-16,8,4", True),
    ("feedformer-b0-city", 19, "base", False),
    ("feedformer-b0-city", 19, "base", True),
    ("feedformer-b0-city", 19, "16,8,4,2-32,16,8", True),
    *(
        (f"{decoder.kind}-{encoder}", 150, isr, rewritten)
        for decoder in USUAL
        for encoder in ("mit-b0", "pvt-v2-b0")
        for isr, rewritten in (("base", False), ("base", True), ("16,8,4,2", True))
    ),
)


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help="write them between this page's markers")
    page = parser.parse_args().page
    text = f"{savings()}\n{engines()}"
    show(page, text)


def savings() -> str:
    """GMACs by model, input and setting."""
    heads = [f"{format_size(size)}, {classes} classes: GMACs" for size, classes in SIZES]
    made = [f"| model | ISR | {' | '.join(f'{head} | saved' for head in heads)} |",
            f"| --- | --- |{' ---: |' * 2 * len(SIZES)}"]  # fmt: skip
    made += [
        f"| `{name}` | `{isr}` | {' | '.join(_saved(name, isr))} |"
        for name, settings in MODELS.items()
        for isr in ("base", *settings)
    ]
    return "\n".join(made) + "\n"


def engines() -> str:
    """Kernels, scratch memory and traffic of engines at 512x512."""
    rows = [engine(*one, rewritten=rewritten) for *one, rewritten in ENGINES]
    columns = ("model", *COLUMNS)
    made = [f"TensorRT-RTX {rows[0]['version']}, 512x512.\n", f"| {' | '.join(columns)} |"]
    made += [f"| {' | '.join(['---'] * 4 + ['---:'] * 7)} |"]
    made += [f"| `{one['model']}` {line(one)}" for one in rows]
    return "\n".join(made) + "\n"


def engine(name: str, classes: int, isr: str, *, rewritten: bool) -> dict[str, object]:
    """One of them, by column."""
    names, variant = defaults("fp16", name) if rewritten else (), named(name)
    assert variant is not None
    return {"model": name, **row((512, 512), classes, isr, names, variant)}


def _saved(name: str, isr: str) -> list[str]:
    """GMACs and what of the base's is saved, for each input."""
    cells = []
    for size, classes in SIZES:
        variant = named(name)
        assert variant is not None
        base = count(variant, classes, size).gmacs
        made = count(variant, classes, size, ISR.parse(isr, variant.places)).gmacs
        cells += [f"{made:.2f}", "" if isr == "base" else f"{1 - made / base:.1%}"]
    return cells


if __name__ == "__main__":
    main()
