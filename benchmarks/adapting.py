"""docs/adapting.md's tables: what adapting gives back, by setting and by the frames it is given.

    python benchmarks/adapting.py --shared DIR --out adapting.jsonl            # all cases
    python benchmarks/adapting.py --shared DIR --out adapting.jsonl headline   # one
    python benchmarks/adapting.py --out adapting.jsonl --page                  # the tables

DIR holds camvid/ (the validation split with its labels), camvid_frames/ (training images without),
and checkpoints/. A case is a line of the file; what is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

BASE, HEADLINE, HARD = "base", "16,8,4,2-2,4,8", "32,16,8,4-4,8,16"
T, SEGFORMER = "checkpoints/edaformer_t_camvid.pth", "checkpoints/segformer_b0_camvid"
STEPS = 600


@dataclass(frozen=True)
class Case:
    """A run, and what it is judged on."""

    isr: tuple[str, ...]
    checkpoint: str | None = T  # below DIR; None: the demo's
    frames: str | None = "camvid_frames"  # below DIR, or scenes:N; None: the judge's first half
    half: bool = False  # judged on the second half of the validation split alone
    trained: str = "all"
    steps: int = STEPS


CASES = {
    "headline": Case((HEADLINE,)),
    "hard": Case((HARD,)),
    "together": Case((BASE, "16,8,4,1", "paper", HEADLINE, HARD), steps=2 * STEPS),
    "16,8,4,1": Case(("16,8,4,1",)),
    "paper": Case(("paper",)),
    "attention": Case((HEADLINE,), trained="attention"),
    "others": Case((HEADLINE,), frames=None, half=True),
    "others, training frames": Case((HEADLINE,), half=True),
    "scenes": Case((HEADLINE,), frames="scenes:160"),
    "segformer": Case(("32,16,4,2",), checkpoint=SEGFORMER),
    "demo": Case((HARD,), checkpoint=None, frames="scenes:160"),
}


def main() -> None:
    """Run what is missing, or print the page's tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--shared", type=Path, help="the folder with the data")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, added to")
    parser.add_argument("--page", action="store_true", help="print the tables of --out")
    args = parser.parse_args()
    lines = args.out.read_text().splitlines() if args.out.exists() else []
    done = {line["case"]: line for line in map(json.loads, lines)}
    if args.page:
        print(table(done.values()))
        return
    if args.shared is None:
        parser.error("name the folder with the data: --shared DIR")
    for name in args.cases or CASES:
        if name not in done:
            found = measure(CASES[name], args.shared)
            with args.out.open("a") as file:
                file.write(json.dumps({"case": name, **found}) + "\n")


def measure(case: Case, shared: Path) -> dict[str, Any]:
    """Adapt and judge."""
    import torch

    import edaformer

    path = edaformer.demo_checkpoint() if case.checkpoint is None else shared / case.checkpoint
    checkpoint, size = edaformer.load_checkpoint(path), (360, 480)
    truth: Any = edaformer.open_dataset(
        "scenes:100" if case.checkpoint is None else f"camvid:{shared / 'camvid'}", size
    )
    inputs = _inputs(case, shared, truth)
    if case.half:
        truth = replace(truth, pairs=truth.pairs[len(truth) // 2 :])
    frames = edaformer.find_frames(inputs, size, "opencv-bilinear")
    options = edaformer.AdaptOptions(size, steps=case.steps, trained=case.trained)  # type: ignore[arg-type]
    settings = [edaformer.ISR.parse(text, checkpoint.places) for text in case.isr]
    start, busy = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / f"adapted{path.suffix}"
        made = edaformer.adapt(checkpoint, settings, frames, options, out, truth=truth)
    return {
        **made.to_json(), "frames": inputs[0] if len(inputs) == 1 else f"{len(inputs)} pictures",
        "images": len(truth), "wall": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - busy, "threads": torch.get_num_threads(),
        "rate": options.rate, "torch": str(torch.__version__),
    }  # fmt: skip


def _inputs(case: Case, shared: Path, truth: Any) -> list[str]:
    if case.frames is None:
        return [str(image) for image, _ in truth.pairs[: len(truth) // 2]]
    return [case.frames if ":" in case.frames else str(shared / case.frames)]


def table(lines: Iterable[dict[str, Any]]) -> str:
    """A row for every setting of every case."""
    rows = [
        "| case | ISR | mIoU at base | as it is | lost | adapted | given back | agrees with base |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for line in lines:
        base = line["miou"][0]["before"]
        marks = dict(
            zip(line["isr"], zip(line["agreement_before"], line["agreement_after"], strict=True),
                strict=True)
        )  # fmt: skip
        for one in line["miou"]:
            agreed = marks.get(one["isr"])
            cells = (
                line["case"], f"`{one['isr']}`", f"{base:.2f}", f"{one['before']:.2f}",
                f"{one['before'] - base:+.2f}", f"{one['after']:.2f}",
                f"{one['after'] - one['before']:+.2f}",
                "" if agreed is None else f"{agreed[0]:.2%} → {agreed[1]:.2%}",
            )  # fmt: skip
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
