"""docs/adapting.md's tables: what adapting gives back, by setting and by the frames it is given.

    python benchmarks/adapting.py --shared DIR                      # all cases that are missing
    python benchmarks/adapting.py --shared DIR headline             # one
    python benchmarks/adapting.py --page docs/adapting.md           # writes table and picture

DIR holds camvid/ (the validation split with its labels), camvid_frames/ (training images without),
and checkpoints/. A case is a line of the record; what is there is not run again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cases

BASE, HEADLINE, HARD = "base", "16,8,4,2-2,4,8", "32,16,8,4-4,8,16"
T, SEGFORMER = "checkpoints/edaformer_t_camvid.pth", "checkpoints/segformer_b0_camvid"
STEPS = 300
RECORDS = Path(__file__).parent / "records" / "adapting.jsonl"
BEFORE, AFTER, TOGETHER = "#60646c", "#2b6cb0", "#2f855a"


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
    "headline": Case((HEADLINE,), steps=600),
    "hard": Case((HARD,), steps=600),
    "together": Case((BASE, "16,8,4,1", "paper", HEADLINE, HARD), steps=1200),
    "16,8,4,1": Case(("16,8,4,1",)),
    "paper": Case(("paper",)),
    "attention": Case((HEADLINE,), trained="attention", steps=600),
    "others": Case((HEADLINE,), frames=None, half=True),
    "others, training frames": Case((HEADLINE,), half=True),
    "scenes": Case((HEADLINE,), frames="scenes:160", steps=600),
    "segformer": Case(("32,16,4,2",), checkpoint=SEGFORMER, steps=600),
    "demo": Case((HARD,), checkpoint=None, frames="scenes:160"),
}


def main() -> None:
    """Run what is missing, or write the page's table and picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--shared", type=Path, help="the folder with the data")
    parser.add_argument("--out", type=Path, default=RECORDS, help="JSON lines, added to")
    parser.add_argument("--page", type=Path, help="write the table between this page's markers")
    args = parser.parse_args()
    done = read(args.out)
    if args.page is not None:
        from rewrites import write_page

        write_page(args.page, table(done))
        args.page.with_suffix(".png").write_bytes(picture(done))
        return
    if args.shared is None:
        parser.error("name the folder with the data: --shared DIR")
    cases.add_missing(
        args.out, done, args.cases or CASES,
        lambda name: measure(CASES[name], args.shared),
    )  # fmt: skip


def read(path: Path) -> dict[str, dict[str, Any]]:
    """What is recorded, by case."""
    return cases.read(path, CASES)


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
        **made.to_json(), "truth": truth.name.partition(":")[0], "images": len(truth),
        "wall": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - busy, "threads": torch.get_num_threads(),
        "rate": options.rate, "torch": str(torch.__version__),
    }  # fmt: skip


def _inputs(case: Case, shared: Path, truth: Any) -> list[str]:
    if case.frames is None:
        return [str(image) for image, _ in truth.pairs[: len(truth) // 2]]
    return [case.frames if ":" in case.frames else str(shared / case.frames)]


def table(done: Mapping[str, dict[str, Any]]) -> str:
    """A row for every setting of every case, what base becomes among them."""
    rows = [
        "| case | steps | ISR | mIoU | change | adapted | change | agrees with base |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, line in done.items():
        base = line["miou"][0]["before"]
        agreed = dict(zip(line["isr"], _shares(line), strict=True))
        for one in line["miou"]:
            cells = (
                name, str(line["steps"]), f"`{one['isr']}`",
                f"{one['before']:.2f}", f"{one['before'] - base:+.2f}",
                f"{one['after']:.2f}", f"{one['after'] - base:+.2f}", agreed.get(one["isr"], ""),
            )  # fmt: skip
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _shares(line: dict[str, Any]) -> list[str]:
    pairs = zip(line["agreement_before"], line["agreement_after"], strict=True)
    return [f"{before:.2%} → {after:.2%}" for before, after in pairs]


def picture(done: Mapping[str, dict[str, Any]]) -> bytes:
    """What a setting saves at 1024x2048, and mIoU: as it is, adapted to it alone, and together."""
    import io

    from matplotlib.figure import Figure

    from edaformer.families.edaformer.sizes import get_variant
    from edaformer.families.table import count
    from edaformer.isr import ISR

    def saved(text: str) -> float:
        size, variant = (1024, 2048), get_variant("T")
        whole = count(variant, 19, size).macs
        return 100 * (1 - count(variant, 19, size, ISR.parse(text)).macs / whole)

    alone = [done[name] for name in ("16,8,4,1", "paper", "headline", "hard") if name in done]
    together = done["together"]["miou"] if "together" in done else []
    lines = (
        ("as it is", BEFORE, together or [one["miou"][-1] for one in alone], "before"),
        ("adapted to it alone", AFTER, [one["miou"][-1] for one in alone], "after"),
        ("one checkpoint, adapted to all", TOGETHER, together, "after"),
    )
    figure = Figure(figsize=(7.2, 4.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    for label, colour, points, when in lines:
        if placed := sorted((saved(one["isr"]), one[when]) for one in points):
            axes.plot(*zip(*placed, strict=True), "o-", color=colour, label=label)
    axes.set_xlabel("multiply-adds saved at 1024x2048, %")
    axes.set_ylabel("mIoU on CamVid, points")
    axes.grid(visible=True, color="#e6e8eb")
    axes.legend()
    file = io.BytesIO()
    figure.savefig(file, format="png", backend="agg")
    return file.getvalue()


if __name__ == "__main__":
    main()
