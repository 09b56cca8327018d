"""What ISR costs the demo checkpoint on held-out scenes, through PyTorch and through FP16 ONNX.

    python benchmarks/isr_on_scenes.py [--scenes 200] [--checkpoint FILE] [--size 360x480]

Prints a Markdown table: for each ISR the GMACs, the mIoU of PyTorch float32 and of the FP16 ONNX
(rounding emulated on the CPU), and how many labels they share. docs/demo.md holds the last one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.data import open_dataset
from edaformer.engines.validate.gates import Gates
from edaformer.engines.validate.reference_cache import ReferenceCache
from edaformer.engines.validate.validate import validate
from edaformer.engines.validate.validation import Validation
from edaformer.families.checkpoint import demo_checkpoint
from edaformer.families.table import load_checkpoint
from edaformer.isr import ISR
from edaformer.preprocess import parse_size

if TYPE_CHECKING:
    from edaformer.export.exporter import ExportResult

ISRS = ("base", "paper", "16,8,4,1", "16,8,4,2-2,4,8", "32,16,8,4-4,8,16")
UNGATED = Gates(max_miou_drop=100, min_agreement=0, trust_labels=True)


def main() -> None:
    """Export and validate every ISR."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--checkpoint", type=Path, default=demo_checkpoint())
    parser.add_argument("--size", type=parse_size, default=(360, 480))
    options = parser.parse_args()
    from edaformer.export.exporter import export_model
    from edaformer.export.options import ExportOptions

    checkpoint = load_checkpoint(options.checkpoint)
    data = open_dataset(f"scenes:{options.scenes}", options.size)
    print("| ISR | GMACs | PyTorch float32 | FP16 ONNX | FP16 changes | labels agree | worst |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for text in ISRS:
            made = export_model(
                checkpoint, ExportOptions(ISR.parse(text), options.size), Path(folder) / "x.onnx"
            )
            cache = ReferenceCache(Path(folder) / "cache")  # base ISR is computed once
            result = validate(made.path, checkpoint, data, gates=UNGATED, cache=cache)
            print(row(text, made, result), flush=True)
            if text == "base":
                classes = zip(result.classes, result.reference.score.iou, strict=True)
                iou = ", ".join(f"{name} {value:.1f}" for name, value in classes)
                print(f"base, per class: {iou}", file=sys.stderr)


def row(text: str, made: ExportResult, result: Validation) -> str:
    """One line of the table."""
    return (
        f"| `{text}` | {made.gmacs:.2f} | {result.reference.score.miou:.2f} "
        f"| {result.candidate.score.miou:.2f} | {result.delta_precision:+.3f} "
        f"| {result.agreement.overall:.4%} | {result.agreement.worst:.4%} |"
    )


if __name__ == "__main__":
    main()
