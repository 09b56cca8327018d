"""Write docs/performance.md from the records in benchmarks/records; a test checks it is up to date.

    python benchmarks/performance.py
    python benchmarks/performance.py gpu.json -o page.md     # of these records alone

A record is what ``edaformer-bench -o`` or benchmarks/gpu.py wrote. Nothing on the page is typed by
hand: no record, no figure.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from on_gpu.page import gpu_section, machine, ms, table

from edaformer.engines.runtime.kernels import Resizing
from edaformer.labels.geometry import Geometry, Size
from edaformer.labels.resize import tables
from edaformer.preprocess import RESIZES, Resize, format_size

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "benchmarks" / "records"
KINDS = 9  # of layers that are told apart
TARGET = ROOT / "docs" / "performance.md"
HEAD = """# Performance

Written by `benchmarks/performance.py` from the records in `benchmarks/records`. A frame goes from a
uint8 image in host memory to a uint8 label map in host memory. How it is measured:
[benchmark.md](benchmark.md).
"""
FRAMES = """## A frame to the network's input

One kernel, whatever the rule ([resizing.md](resizing.md)): it reads the frame's rows that have a
weight and a table for each side, and writes the input, padding included. Nothing is held in
between: rows that several outputs need are read again, out of the cache. *Products* are the
multiply-adds of a channel of one output pixel, at most. Bytes are counted from the tables, in MB;
no GPU has timed it.
"""
NETWORKS = ((512, 512), (360, 480))
SOURCES = ((480, 640), (720, 1280), (1080, 1920))
NO_GPU = """No record of a GPU yet, hence no figure of an engine; `benchmarks/gpu.py` makes one.
"""


def render(records: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """The page of these records, by their names."""
    of_gpu = [(name, record) for name, record in records if record.get("kind") == "gpu"]
    of_bench = [(name, record) for name, record in records if "results" in record]
    parts = [HEAD, "## On a GPU\n"]
    parts += [gpu_section(name, record, bench_section) for name, record in of_gpu] or [NO_GPU]
    parts.append(frames_section())
    parts += ["## edaformer-bench\n", *(bench_section(name, record) for name, record in of_bench)]
    return "\n".join(parts)


def frames_section() -> str:
    """What the frame kernel reads, computes and writes."""
    columns = ("frame", "rule", "network", "frame read", "tables", "image written",
               "tensor written", "products")  # fmt: skip
    rows = [
        _frame_row(source, size, rule)
        for source in SOURCES for size in NETWORKS for rule in RESIZES
    ]  # fmt: skip
    return f"{FRAMES}\n{table(columns, rows)}"


def _frame_row(source: Size, size: Size, rule: Resize) -> tuple[str, ...]:
    rows, _ = tables(rule, source, size)
    made = Resizing.of(rule, Geometry(source, size, size))
    read = {
        min(max(int(first) + step, 0), source[0] - 1)
        for step, weights in enumerate(rows[1:])
        for first in rows[0][weights > 0]
    }
    pixels = 3 * size[0] * size[1]
    parts = (len(read) * 3 * source[1], made.tables.nbytes, pixels, 4 * pixels)
    return (
        format_size(source), f"`{rule}`", format_size(size),
        *(f"{part / 1e6:.3f}" for part in parts), str(made.row_taps * made.column_taps),
    )  # fmt: skip


def bench_section(name: str, record: dict[str, Any]) -> str:
    """One record of edaformer-bench."""
    results, subject = record["results"], record["results"][0]["subject"]
    title = f"### EDAFormer-{subject['variant']}, ISR {subject['isr']}, {subject['size']}\n"
    rows = [_result_row(result) for result in results]
    columns = ("", "what", "p50 ms", "p90 ms", "p99 ms", "CPU ms", "images/s", "pipelined",
               "network ms", "resize+argmax ms", "load s", "host MB")  # fmt: skip
    lines = [title, _where(name, record), table(columns, rows)]
    lines += [f"- {_comparison(made)}" for made in record["comparisons"]]
    lines += [f"- {_kinds(result)}" for result in results if result["layers"]]
    lines += [f"- Marked: {mark}." for mark in record["marks"]]
    return "\n".join(lines) + "\n"


def _result_row(result: dict[str, Any]) -> tuple[str, ...]:
    subject, latency, start = result["subject"], result["latency"], result["starts"][-1]
    pipelined = result["images_per_second_pipelined"]
    return (
        f"`{subject['name']}`",
        subject["description"],
        *(ms(latency[key]) for key in ("p50", "p90", "p99")),
        ms(result["cpu_seconds_per_image"]),
        f"{result['images_per_second']:.2f}",
        f"{pipelined:.2f}" if pipelined is not None else "",
        ms(result["split"]["network"]),
        ms(result["split"]["postprocess"]),
        f"{start['load_seconds']:.2f}",
        f"{start['host_bytes'] / 1e6:.0f}" if start["host_bytes"] is not None else "",
    )


def _where(name: str, record: dict[str, Any]) -> str:
    settings, packages = record["settings"], record["machine"]["packages"]
    versions = ", ".join(f"{key} {value}" for key, value in packages.items())
    threads = "1 thread" if settings["threads"] == 1 else f"{settings['threads']} threads"
    return (
        f"{machine(record['machine'])}, {threads} each; {versions}; "
        f"{settings['rounds']} interleaved rounds, {settings['images']} images of "
        f"`{settings['data']}` rotate; {record['created'][:10]}, `{name}`.\n"
    )


def _comparison(made: dict[str, Any]) -> str:
    text = (
        f"`{made['first']}` is {made['ratio']:.2f} times as fast as `{made['name']}` (median of "
        f"{len(made['ratios'])} rounds, {min(made['ratios']):.2f} to {max(made['ratios']):.2f})"
    )
    if made["agreement"] is not None:
        text += f"; labels agree on {made['agreement']:.5%}"
    if made["worst_margin"]:
        text += f", largest top-2 margin where they differ {made['worst_margin']:.1e}"
    return f"{text}."


def _kinds(result: dict[str, Any]) -> str:
    """Where the network's time goes, by kind of layer, as the runtime's profile has it."""
    seconds: Counter[str] = Counter()
    for layer in result["layers"]:
        seconds[layer["kind"]] += layer["seconds"]
    most = dict(seconds.most_common(KINDS))
    most["others"] = seconds.total() - sum(most.values())
    told = ", ".join(f"{kind} {ms(spent)}" for kind, spent in most.items())
    return f"`{result['subject']['name']}` by kind of layer, in ms: {told}."


def main() -> None:
    """Read the records, write the page."""
    summary, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("records", type=Path, nargs="*", help="instead of benchmarks/records")
    parser.add_argument("-o", "--output", type=Path, metavar="PAGE",
                        help="of these records; default: on stdout")  # fmt: skip
    given = parser.parse_args()
    if given.output is not None and not given.records:
        parser.error(
            "-o is for records that are named; without any, docs/performance.md is written"
        )
    if given.records:
        page = render([_read(path) for path in given.records])
        given.output.write_text(page) if given.output else sys.stdout.write(page)
        return
    records = [_read(path) for path in sorted(RECORDS.glob("*.json"))]
    if dry := [name for name, record in records if record.get("dry_run")]:
        raise SystemExit(f"{', '.join(dry)}: a dry run's figures mean nothing; take it out")
    TARGET.write_text(render(records))


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path} is not a record: {error}") from error
    if not isinstance(record, dict):
        raise SystemExit(f"{path} is not a record: expected an object, got {type(record).__name__}")
    return path.name, record


if __name__ == "__main__":
    main()
