"""Write docs/performance.md from the records in benchmarks/records; a test checks it is up to date.

    python benchmarks/performance.py

A record is what ``edaformer-bench -o`` or benchmarks/gpu.py wrote. Nothing on the page is typed by
hand: no record, no figure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edaformer.engines.runtime.kernels import Resizing
from edaformer.families.edaformer.sizes import get_variant
from edaformer.families.table import count
from edaformer.isr import ISR
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
    dry = [name for name, record in of_gpu if record["dry_run"]]
    if dry:
        raise SystemExit(f"{', '.join(dry)}: a dry run's figures mean nothing; take it out")
    parts = [HEAD, "## On a GPU\n"]
    parts += [gpu_section(name, record) for name, record in of_gpu] or [NO_GPU]
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


def gpu_section(name: str, record: dict[str, Any]) -> str:
    """One record of benchmarks/gpu.py; what did not run is listed with its reason."""
    sections = record["sections"]
    known = {key: made["result"] for key, made in sections.items() if made["status"] == "ok"}
    lines = [f"### {_machine(known['machine']['machine'])} (`{name}`)\n"]
    if "kernels" in known:
        lines.append(_kernels(known["kernels"]))
    if "soak" in known:
        lines.append(_soak(known["soak"]))
    if "torch_frames" in known:
        lines.append(_torch(known["torch_frames"]))
    if "agreement" in known:
        lines.append(_agreement(known["agreement"]["validation"]))
    if "engines" in known:
        lines.append(_engines(known))
    for made in known.get("engines", {"engines": []})["engines"]:
        if "refused" in made:
            lines.append(f"- {made['case']}: refused: {made['refused']}")
        else:
            lines.append(bench_section(made["case"], made["record"]))
    for key, made in sections.items():
        if made["status"] != "ok":
            lines.append(f"- {key} {made['status']}: {made['reason']}")
        lines += [_lacking(key, case) for case in known.get(key, {}).get("missing", [])]
    return "\n".join(lines) + "\n"


def _lacking(section: str, case: dict[str, Any]) -> str:
    how = "failed" if "failed" in case else "skipped"
    return f"- {section}, {case['case']} {how}: {case[how]}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its first two columns left."""
    rules = ["---" if number < 2 else "---:" for number in range(len(columns))]
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, rules, *rows)]
    return "\n".join(lines) + "\n"


def _result_row(result: dict[str, Any]) -> tuple[str, ...]:
    subject, latency, start = result["subject"], result["latency"], result["starts"][-1]
    pipelined = result["images_per_second_pipelined"]
    return (
        f"`{subject['name']}`",
        subject["description"],
        *(_ms(latency[key]) for key in ("p50", "p90", "p99")),
        _ms(result["cpu_seconds_per_image"]),
        f"{result['images_per_second']:.2f}",
        f"{pipelined:.2f}" if pipelined is not None else "",
        _ms(result["split"]["network"]),
        _ms(result["split"]["postprocess"]),
        f"{start['load_seconds']:.2f}",
        f"{start['host_bytes'] / 1e6:.0f}" if start["host_bytes"] is not None else "",
    )


def _where(name: str, record: dict[str, Any]) -> str:
    settings, packages = record["settings"], record["machine"]["packages"]
    versions = ", ".join(f"{key} {value}" for key, value in packages.items())
    threads = "1 thread" if settings["threads"] == 1 else f"{settings['threads']} threads"
    return (
        f"{_machine(record['machine'])}, {threads} each; {versions}; "
        f"{settings['rounds']} interleaved rounds, {settings['images']} images of "
        f"`{settings['data']}` rotate; {record['created'][:10]}, `{name}`.\n"
    )


def _machine(machine: dict[str, Any]) -> str:
    gpu = machine["gpu"]
    if gpu is None:
        return f"{machine['cpu']}, {machine['cores']} cores, no GPU"
    return f"{gpu['name']}, driver {machine['driver']}, {machine['cpu']}"


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
    told = ", ".join(f"{kind} {_ms(spent)}" for kind, spent in most.items())
    return f"`{result['subject']['name']}` by kind of layer, in ms: {told}."


def _kernels(found: dict[str, Any]) -> str:
    columns = ("kernel", "source, network, classes", "ms", "eager ms", "compile ms",
               "times as fast as compile", "share of bandwidth", "difference")  # fmt: skip
    rows = [
        (made["kernel"], f"{_size(made['source'])}, {_size(made['network'])}, {made['classes']}",
         *(f"{made[key] * 1e3:.4f}" for key in ("seconds", "torch_eager", "torch_compile")),
         f"{made['times_as_fast_as_compile']:.2f}", f"{made['share_of_bandwidth']:.0%}",
         ", ".join(f"{key} {value:.1e}" for key, value in made["difference"].items()))
        for made in found["kernels"]
    ]  # fmt: skip
    return f"Copy bandwidth {found['bandwidth'] / 1e9:.0f} GB/s.\n\n{table(columns, rows)}"


def _soak(found: dict[str, Any]) -> str:
    grown = {key: found["after"][key] - found["before"][key] for key in found["before"]}
    told = ", ".join(f"{key.partition('_')[0]} {value:+d} bytes" for key, value in grown.items())
    return f"{found['frames']} of {found['wanted']} frames replayed: {told}.\n"


def _torch(found: dict[str, Any]) -> str:
    rows = [
        (made["case"], made["mode"], _ms(made["eager"]["p50"]), _ms(made["compile"]["p50"]))
        for made in found["frames"]
        if "skipped" not in made
    ]
    columns = ("PyTorch, whole frame", "compile's mode", "eager p50 ms", "compile p50 ms")
    return table(columns, rows)


def _agreement(found: dict[str, Any]) -> str:
    return (
        f"On {found['data']}, {found['images']} images, the engine's labels agree with PyTorch "
        f"float32 at the same ISR on {found['agreement']:.4%} of the pixels.\n"
    )


def _engines(known: dict[str, Any]) -> str:
    """Whole frames of every engine, and what the other sections make of them."""
    walls = {
        made["case"]: made["record"]["results"] for made in known["engines"]["engines"]
        if "record" in made
    }  # fmt: skip
    compiled = {
        made["case"]: made["compile"]["p50"] for made in _frames(known, "torch_frames")
        if "compile" in made
    }  # fmt: skip
    host = {f["case"]: f["host"] for f in _frames(known, "overhead") if "host" in f}
    rows = []
    for case, results in walls.items():
        own, *others = (result["latency"]["p50"] for result in results)
        rows.append((
            case, "whole frame", _ms(own),
            f"{others[0] / own:.2f}" if others else "",
            f"{compiled[case] / own:.2f}" if case in compiled else "",
            f"{host[case] * 1e6:.0f}" if case in host else "",
            _kept_promise(case, {name: made[0]["latency"]["p50"] for name, made in walls.items()}),
        ))  # fmt: skip
    columns = ("engine", "", "p50 ms", "times a plain export", "times torch.compile",
               "host us", "time saved of multiply-adds saved")  # fmt: skip
    return table(columns, rows)


def _frames(known: dict[str, Any], section: str) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = known.get(section, {"frames": []})["frames"]
    return frames


def _kept_promise(case: str, walls: dict[str, float]) -> str:
    """What ISR saves of the time, as a share of what it saves of the multiply-adds."""
    stem, _, isr = case.rpartition("_")
    base = f"{stem}_base"
    if isr == "base" or base not in walls:
        return ""
    variant, classes, size = stem.split("_")
    height, _, width = size.partition("x")
    network = (get_variant(variant), int(classes), (int(height), int(width)))
    promised = 1 - count(*network, ISR.parse(isr)).macs / count(*network).macs
    return f"{(1 - walls[case] / walls[base]) / promised:.0%}"


def _size(size: Sequence[int]) -> str:
    return f"{size[0]}x{size[1]}"


def _ms(seconds: float | None) -> str:
    return f"{seconds * 1e3:.2f}" if seconds is not None else ""


def main() -> None:
    """Read every record, write the page."""
    records = [(path.name, json.loads(path.read_text())) for path in sorted(RECORDS.glob("*.json"))]
    TARGET.write_text(render(records))


if __name__ == "__main__":
    main()
