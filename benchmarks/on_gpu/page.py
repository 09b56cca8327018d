"""docs/performance.md's part on one record of benchmarks/gpu.py.

Whatever is there is published, from sections that were cut short and from cases that failed, with
what is missing beside it: nothing here expects a key to be in the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from on_gpu.run import AGAIN

Entry = dict[str, Any]
WAYS = ("eager", "tuned", "hybrid", "compile", "hybrid_compile", "compile_plain")


def gpu_section(name: str, record: Entry, bench_section: Callable[[str, Entry], str]) -> str:
    """One record; ``bench_section`` renders one of edaformer-bench."""
    told = _Record(record)
    described = next((entry.get("machine") for entry in told.entries("machine")), None)
    what = _machine_of(described) if described else "A GPU that did not say what it is"
    parts = [f"### {what} (`{name}`)\n"]
    if record.get("dry_run"):
        parts.append("A dry run on a CPU: its figures mean nothing.\n")
    parts += [_bandwidth(told), _probe(told), _kernels(told), _soak(told), _frames(told),
              _engines(told), _eight_bits(told), _agreement(told), _states(told)]  # fmt: skip
    parts += [
        bench_section(str(made.get("case")), made["record"])
        for made in told.entries("engines") if made.get("record")
    ]  # fmt: skip
    missing = "\n".join(_missing(told))
    return "\n".join(part for part in (*parts, missing) if part) + "\n"


class _Record:
    """A record's sections, of which any may be missing."""

    def __init__(self, record: Entry) -> None:
        self.sections: dict[str, Entry] = _known(record.get("sections") or {})

    def entries(self, section: str) -> list[Entry]:
        """Those that were done, then what there is of those that were not."""
        made = self.sections.get(section) or {}
        return [*(made.get("cases") or []), *(made.get("missing") or [])]

    def first(self, section: str, *path: str) -> Any:
        """A fact of the first entry that has it."""
        return next((x for e in self.entries(section) if (x := _get(e, *path)) is not None), None)


def _known(value: Any) -> Any:
    """Without what is null, so that there is one way of not being there."""
    if isinstance(value, dict):
        return {
            key: made if key == "record" else _known(made)  # edaformer-bench's has its own reader
            for key, made in value.items() if made is not None
        }  # fmt: skip
    return (
        [_known(made) for made in value if made is not None] if isinstance(value, list) else value
    )


def _get(entry: Any, *path: str) -> Any:
    """What lies there, or None."""
    for key in path:
        entry = entry.get(key) if isinstance(entry, dict) else None
    return entry


def _missing(told: _Record) -> Iterable[str]:
    """What did not run, and why; cases of one section that share a reason, in one line."""
    for name, made in told.sections.items():
        reasons: dict[str, list[str]] = {}
        for case in made.get("missing") or []:
            reasons.setdefault(_lacking(case), []).append(str(case.get("case")))
        if made.get("status") not in {"ok", "partly"}:
            yield f"- {name} {made.get('status')}" + (
                "." if reasons else f": {_one_line(made.get('reason'))}"
            )
        for reason, cases in reasons.items():
            yield f"- {name}, {', '.join(cases)} {reason}"
        for case in told.entries(name):
            yield from (
                f"- {name}, {case.get('case')}: {key} {_lacking(fact)}"
                for key, fact in case.items()
                if isinstance(fact, dict) and ("failed" in fact or "skipped" in fact)
            )


def _lacking(case: Entry) -> str:
    how = "failed" if "failed" in case else "skipped"
    return f"{how}: {_one_line(case.get(how))}"


def _one_line(text: Any) -> str:
    """Safe in a table and in a list."""
    return " ".join(str(text).replace("|", "\\|").split())


# --- tables -------------------------------------------------------------------------------------


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its first two columns left."""
    rules = ["---" if number < 2 else "---:" for number in range(len(columns))]
    lines = [f"| {' | '.join(cells)} |" for cells in (columns, rules, *rows)]
    return "\n".join(lines) + "\n"


def ms(seconds: float | None, digits: int = 2) -> str:
    """Milliseconds; nothing for nothing."""
    return f"{seconds * 1e3:.{digits}f}" if seconds is not None else ""


def machine(described: Entry) -> str:
    """GPU, driver and CPU in a line."""
    gpu = described["gpu"]
    if gpu is None:
        return f"{described['cpu']}, {described['cores']} cores, no GPU"
    return f"{gpu['name']}, driver {described['driver']}, {described['cpu']}"


def _machine_of(described: Entry) -> str:
    try:
        return machine(described)
    except (KeyError, TypeError):
        return f"A GPU of which this is known: {_one_line(described)}"


def _spread(fact: Any, digits: int) -> str:
    """``p50 (p10 to p90)`` in ms."""
    p10, p50, p90 = (_get(fact, key) for key in ("p10", "p50", "p90"))
    if p50 is None:
        return ""
    beside = f" ({ms(p10, digits)} to {ms(p90, digits)})" if None not in (p10, p90) else ""
    return f"{ms(p50, digits)}{beside}"


def _ratio(one: float | None, other: float | None) -> str:
    return f"{one / other:.2f}" if one and other else ""


def _bandwidth(told: _Record) -> str:
    copies = [_get(entry, "bytes_per_second") for entry in told.entries("bandwidth")]
    empty = [_get(entry, "empty_kernel") for entry in told.entries("bandwidth")]
    lines = [f"{value / 1e9:.0f} GB/s" for value in copies if value]
    floors = [f"{_spread(value, 4)} ms" for value in empty if value]
    told_of = [f"Copy bandwidth {', again '.join(lines)}."] if lines else []
    told_of += [f"An empty kernel takes {', again '.join(floors)}."] if floors else []
    return " ".join(told_of) + "\n" if told_of else ""


def _probe(told: _Record) -> str:
    lines = []
    for made in told.entries("rtx_probe"):
        answers = [
            f"TensorRT-RTX {made.get('version')}, target `{made.get('case')}`:",
            "built," if made.get("built") else "not built,",
            f"validity {made.get('validity')} ({', '.join(made.get('diagnostics') or ['-'])}),"
            if "validity" in made else "",
            "deserialised" if made.get("deserialised") else "not deserialised",
        ]  # fmt: skip
        said = "; ".join(_one_line(line) for line in made.get("log") or [])
        lines.append(f"- {' '.join(filter(None, answers))}{': ' + said if said else ''}")
    return "\n".join(lines) + "\n" if lines else ""


def _kernels(told: _Record) -> str:
    entries = [entry for entry in told.entries("kernels") if _get(entry, "seconds", "p50")]
    if not entries:
        return ""
    copied = told.first("bandwidth", "bytes_per_second")
    columns = ("kernel", "source, network, classes", "ms", "eager ms", "compile ms",
               "times as fast as compile", "share of bandwidth", "not as defined",
               "not as PyTorch")  # fmt: skip
    return table(columns, [_kernel_row(entry, copied) for entry in entries])


def _kernel_row(entry: Entry, copied: float | None) -> tuple[str, ...]:
    seconds, moved = entry["seconds"]["p50"], entry.get("moved_bytes")
    again = ", again" if str(entry.get("case")).endswith(AGAIN) else ""
    differ, share = _get(entry, "definition", "differ"), _get(entry, "pytorch", "share")
    largest = _get(entry, "pytorch", "largest")
    return (
        f"{entry.get('kernel')} {entry.get('logits') or ''}".strip() + again,
        f"{_size(entry.get('source'))}, {_size(entry.get('network'))}, {entry.get('classes')}",
        _spread(entry["seconds"], 4), _spread(entry.get("torch_eager"), 4),
        _spread(entry.get("torch_compile"), 4),
        _ratio(_get(entry, "torch_compile", "p50"), seconds),
        f"{moved / seconds / copied:.0%}" if moved and copied else "",
        f"{differ}" if differ is not None else "",
        (f"{share:.1e}" if share is not None else "")
        + (f", by {largest:.1e}" if largest is not None else ""),
    )  # fmt: skip


def _soak(told: _Record) -> str:
    lines = []
    for made in told.entries("soak"):
        if "frames" not in made:
            continue
        before, after = made.get("before") or {}, made.get("after") or {}
        grown = [f"{key.partition('_')[0]} {after[key] - before[key]:+d} bytes"
                 for key in before if key in after]  # fmt: skip
        lines.append(f"{made['frames']} of {made.get('wanted')} frames replayed"
                     f"{': ' + ', '.join(grown) if grown else ''}.")  # fmt: skip
    return "\n".join(lines) + "\n" if lines else ""


def _frames(told: _Record) -> str:
    """PyTorch's whole frames; times in turns where there were turns."""
    rows, fused = [], []
    entries = told.entries("torch_frames")
    for made in entries:
        times = {way: _frame_time(made, way) for way in WAYS}
        if any(times.values()):
            rows.append((
                str(made.get("case")), "whole frame, ms", *(_spread(times[way], 2) for way in WAYS),
                _ratio(_get(times["compile"], "p50"), _get(times["hybrid"], "p50")),
                _kept(str(made.get("case")), entries),
            ))  # fmt: skip
            fused += _fused(made)
    if not rows:
        return ""
    columns = ("PyTorch, FP16", "", *(way.replace("_", ", ") for way in WAYS),
               "hybrid, times compile", "hybrid: time saved of multiply-adds saved")  # fmt: skip
    return table(columns, rows) + "\n" + "\n".join(fused) + "\n"


def _frame_time(made: Entry, way: str) -> Any:
    """In turns with the others where it had turns."""
    return _get(made, "together", way) or (made[way] if _get(made, way, "p50") else None)


def _fused(made: Entry) -> Iterable[str]:
    """What torch.compile did with the attention."""
    for way in ("compile", "compile_plain"):
        if _get(made, way, "p50") is None:
            continue
        launched = _get(made, way, "attention_kernels")
        names = (
            ", ".join(f"{_one_line(name)} ({count})" for name, count in launched.items()) or "none"
            if isinstance(launched, dict) else _one_line(launched)
        )  # fmt: skip
        yield (
            f"- {made.get('case')}, {way}: Inductor's pattern matched "
            f"{_get(made, way, 'attentions_fused')} of {made.get('attentions')} attentions; fused "
            f"kernels launched: {names}"
        )


def _kept(case: str, entries: list[Entry]) -> str:
    walls = {
        str(entry.get("case")): seconds for entry in entries
        if (seconds := _get(_frame_time(entry, "hybrid"), "p50")) is not None
    }  # fmt: skip
    return kept_promise(case, walls)


def kept_promise(case: str, walls: dict[str, float]) -> str:
    """What ISR saves of the time, as a share of what it saves of the multiply-adds."""
    from edaformer.families.edaformer.sizes import get_variant
    from edaformer.families.table import count
    from edaformer.isr import ISR

    again = AGAIN if case.endswith(AGAIN) else ""
    stem, _, isr = case.removesuffix(AGAIN).rpartition("_")
    base = f"{stem}_base{again}"
    if isr == "base" or case not in walls or base not in walls:
        return ""
    variant, classes, size = stem.split("_")
    height, _, width = size.partition("x")
    network = (get_variant(variant), int(classes), (int(height), int(width)))
    promised = 1 - count(*network, ISR.parse(isr)).macs / count(*network).macs
    return f"{(1 - walls[case] / walls[base]) / promised:.0%}"


def _engines(told: _Record) -> str:
    """Whole frames of every engine, and what the other sections make of them."""
    results = {
        str(made.get("case")): made["record"]["results"] for made in told.entries("engines")
        if _get(made, "record", "results")
    }  # fmt: skip
    refused = [
        f"- {made.get('case')}: refused: {_one_line(made['refused'])}"
        + (f" (validity {made['validity']}: {', '.join(made.get('diagnostics') or ['-'])})"
           if "validity" in made else "")
        for section in ("engines", "eight_bits", "overhead")
        for made in told.entries(section) if "refused" in made
    ]  # fmt: skip
    rows = [_engine_row(case, results, told) for case in results]
    columns = ("engine", "", "p50 ms", "times a plain export", "times torch.compile",
               "host us", "time saved of multiply-adds saved")  # fmt: skip
    parts = [table(columns, rows)] if rows else []
    return "\n".join(parts + [line + "\n" for line in refused])


def _engine_row(case: str, results: dict[str, Any], told: _Record) -> tuple[str, ...]:
    own, *others = (_get(result, "latency", "p50") for result in results[case])
    compiled = [_get(_frame_time(made, "compile"), "p50")
                for made in told.entries("torch_frames") if made.get("case") == case]  # fmt: skip
    host = [made["host"] for made in told.entries("overhead")
            if made.get("case") == case and "host" in made]  # fmt: skip
    walls = {name: _get(made[0], "latency", "p50") for name, made in results.items()}
    return (
        case, "whole frame", ms(own), _ratio(others[0], own) if others else "",
        _ratio(compiled[0], own) if compiled else "",
        f"{host[0] * 1e6:.0f}" if host else "",
        kept_promise(case, {name: wall for name, wall in walls.items() if wall}),
    )  # fmt: skip


def _eight_bits(told: _Record) -> str:
    """Frames in eight bits, FP16's figures of the same network behind the stroke."""
    rows = [
        _eight_row(str(made.get("case")), *pair) for made in told.entries("eight_bits")
        if len(pair := _get(made, "record", "results") or []) == 2
    ]  # fmt: skip
    columns = ("in eight bits", "", "p50 ms", "times FP16", "kernels", "traffic, MB")
    return table(columns, rows) if rows else ""


def _eight_row(case: str, half: Entry, eight: Entry) -> tuple[str, ...]:
    times = [_get(one, "latency", "p50") for one in (eight, half)]
    kernels, traffic = (
        [_get(one, "subject", "recorded", name) for one in (eight, half)]
        for name in ("kernels", "traffic_bytes")
    )
    return (
        case, "whole frame", " / ".join(map(ms, times)), _ratio(times[1], times[0]),
        " / ".join(str(one) for one in kernels if one is not None),
        " / ".join(f"{one / 1e6:.1f}" for one in traffic if one is not None),
    )  # fmt: skip


def _agreement(told: _Record) -> str:
    return "".join(
        f"On {found.get('data')}, {found.get('images')} images, {_whose(made)} labels agree with "
        f"PyTorch float32 at the same ISR on {found['agreement']:.4%} of the pixels.\n"
        for made in told.entries("agreement")
        if (found := made.get("validation")) and _get(found, "agreement") is not None
    )


def _whose(made: Entry) -> str:
    precision = str(made.get("case")).partition(".")[2]
    return f"the {precision} engine's" if precision else "the engine's"


def _states(told: _Record) -> str:
    """The range of clocks and power over all cases, and those in which the GPU was throttled."""
    states = [
        (f"{name}, {entry.get('case')}", entry["state"])
        for name in told.sections for entry in told.entries(name)
        if isinstance(entry.get("state"), dict)
    ]  # fmt: skip
    if not states:
        return ""
    ranges = []
    for key, unit in (("gpu_mhz", "MHz"), ("memory_mhz", "MHz"), ("power", "W"),
                      ("temperature", "degrees")):  # fmt: skip
        values = [made[key] for _, made in states if made.get(key) is not None]
        ranges.append(f"{key.replace('_', ' ')} {min(values):.0f} to {max(values):.0f} {unit}"
                      if values else f"{key.replace('_', ' ')} not known")  # fmt: skip
    slow = [f"{where}: {', '.join(made['throttling'])}" for where, made in states
            if made.get("throttling")]  # fmt: skip
    known = any(made.get("throttling") is not None for _, made in states)
    throttled = "; ".join(slow) or ("never throttled" if known else "throttling not known")
    return f"After {len(states)} cases: {', '.join(ranges)}; {throttled}.\n"


def _size(size: Any) -> str:
    return "x".join(map(str, size or ()))
