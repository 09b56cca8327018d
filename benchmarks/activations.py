"""The largest activation of each block, and what is left up to half precision's 65504.

    python benchmarks/activations.py edaformer_t_camvid.pth --data camvid:CamVid --limit 20

Runs the rewritten float32 graph with the largest magnitude of every tensor as an output, at base
ISR and at 16,8,4,1, and prints the table of docs/fp16.md.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from edaformer.data import open_dataset
from edaformer.families.table import load_checkpoint
from edaformer.isr import ISR

_BLOCK = re.compile(
    r"(encoder\.stage\d|decoder\.c\d)\.blocks\.\d+|encoder\.stage\d|decoder\.\w+|logits"
)
RATIOS = ("base", "16,8,4,1")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--size", type=int, nargs=2, default=(360, 480))
    parser.add_argument("--limit", type=int, default=20)
    args = parser.parse_args()
    from edaformer.export import exporter
    from edaformer.export.fp16 import HALF_MAX
    from edaformer.export.options import ExportOptions
    from edaformer.export.ranges import measure_ranges
    from edaformer.export.rewrites import apply_rewrites, defaults

    checkpoint, size = load_checkpoint(args.checkpoint), (args.size[0], args.size[1])
    samples = open_dataset(args.data, size).head(args.limit)
    images = [sample.image[None] for sample in samples]
    columns = []
    for isr in RATIOS:
        options = ExportOptions(isr=ISR.parse(isr), size=size)
        plain = exporter.deployment(checkpoint.model(options.isr), options)
        rewritten, _ = apply_rewrites(plain, defaults("fp16", checkpoint.variant.name))
        graph = exporter.trace_deployment(rewritten, options)
        columns.append(_by_block(measure_ranges(graph, images, name="image")))
    print(f"| block | {' | '.join(RATIOS)} | headroom |")
    print("| --- | ---: | ---: | ---: |")
    for block in columns[0]:
        largest = [column.get(block, 0.0) for column in columns]
        shown = " | ".join(f"{value:.1f}" for value in largest)
        print(f"| `{block}` | {shown} | {HALF_MAX / max(*largest, 1e-9):.0f} x |")


def _by_block(ranges: dict[str, float]) -> dict[str, float]:
    """The largest of all tensors that a block makes, in the graph's order."""
    found: dict[str, float] = {}
    for name, value in ranges.items():
        match = _BLOCK.match(name)
        if match:
            found[match[0]] = max(found.get(match[0], 0.0), value)
    return found


if __name__ == "__main__":
    main()
