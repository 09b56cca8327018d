"""The engines' table of docs/segformer.md: what TensorRT-RTX makes of SegFormer-B0.

    python benchmarks/segformer.py                             # prints it
    python benchmarks/segformer.py --page docs/segformer.md    # writes it into the page

Random weights, FP16, built without a GPU (benchmarks/rewrites.py): a plain export, the default
rewrites, and these with ISR. The multiply-adds computed are those of the network as rewritten; the
model's own are edaformer-info's.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import torch
from rewrites import measure, show
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from edaformer.export import exporter
from edaformer.export.options import ExportOptions
from edaformer.export.rewrites import apply_rewrites, defaults
from edaformer.families.architecture import Architecture
from edaformer.families.segformer.sizes import SEGFORMERS
from edaformer.families.table import FAMILIES, count
from edaformer.isr import ISR
from edaformer.preprocess import format_size

B0 = SEGFORMERS["segformer-b0"]
INPUTS = (((512, 512), 150), ((1024, 1024), 19))
REWRITES = defaults("fp16", B0.name)
ROWS = (("base", ()), ("base", REWRITES), ("16,8,4,2", REWRITES))
COLUMNS = ("input, classes", "ISR", "rewrites", "GMACs", "computed", "kernels", "unfused",
           "padding", "scratch, MB", "traffic, MB")  # fmt: skip


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help="write it between this page's markers")
    page = parser.parse_args().page
    rows = [row(size, classes, isr, names) for size, classes in INPUTS for isr, names in ROWS]
    made = [f"TensorRT-RTX {rows[0]['version']}.\n", f"| {' | '.join(COLUMNS)} |"]
    made += [f"| {' | '.join(['---'] * 3 + ['---:'] * 7)} |", *map(line, rows)]
    text = "\n".join(made) + "\n"
    show(page, text)


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    return f"| {' | '.join(str(row[column]) for column in COLUMNS)} |"


def row(
    size: tuple[int, int],
    classes: int,
    isr: str,
    names: tuple[str, ...],
    sizes: Architecture = B0,
) -> dict[str, Any]:
    """One engine, by column."""
    built = measure(sizes, size, classes, isr, names, run=False)
    ratios = ISR.parse(isr, sizes.places)
    return {
        "input, classes": f"{format_size(size)}, {classes}",
        "ISR": f"`{isr}`",
        "rewrites": "default" if names else "none",
        "GMACs": f"{count(sizes, classes, size, ratios).gmacs:.2f}",
        "computed": f"{_computed(sizes, size, classes, ratios, names) / 1e9:.2f}",
        "kernels": built["kernels"],
        "unfused": built["unfused"],
        "padding": built["padding"],
        "scratch, MB": f"{built['scratch'] / 1e6:.1f}",
        "traffic, MB": f"{built['traffic'] / 1e6:.1f}",
        "version": built["version"],
    }


def _computed(
    sizes: Architecture, size: tuple[int, int], classes: int, isr: ISR, names: tuple[str, ...]
) -> int:
    """Multiply-adds of the rewritten network, as PyTorch counts them."""
    model = FAMILIES[sizes.family].network(sizes, classes, isr).eval()
    rewritten, _ = apply_rewrites(exporter.deployment(model, ExportOptions(isr, size)), names)
    return multiply_adds(rewritten.model, size)


def multiply_adds(model: nn.Module, size: tuple[int, int]) -> int:
    """Of an image of ``size``, as PyTorch counts them."""
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        copy.deepcopy(model).to("meta")(torch.zeros(1, 3, *size, device="meta"))
    return counter.get_total_flops() // 2


if __name__ == "__main__":
    main()
