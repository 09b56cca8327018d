"""docs/performance.md says what the records say, whatever is missing in one."""

from __future__ import annotations

import copy
import json
import runpy
from collections.abc import Iterator
from typing import Any

import pytest
from on_gpu import page

from edaformer.families.edaformer.sizes import get_variant
from edaformer.families.table import count
from edaformer.isr import ISR
from tests.conftest import ROOT

PAGE = runpy.run_path(str(ROOT / "benchmarks" / "performance.py"))
Record = dict[str, Any]


def test_the_page_is_up_to_date() -> None:
    records = [(path.name, json.loads(path.read_text()))
               for path in sorted((ROOT / "benchmarks" / "records").glob("*.json"))]  # fmt: skip
    assert records
    assert PAGE["render"](records) == (ROOT / "docs" / "performance.md").read_text()


def test_layers_are_summed_by_kind() -> None:
    record = json.loads((ROOT / "benchmarks/records/cpu_demo_360x480_threads1.json").read_text())
    kinds = [f"K{number}" for number in range(12)]
    record["results"][0]["layers"] = [
        {"name": f"{kind}.{part}", "kind": kind, "seconds": (12 - number) / 2e3}
        for number, kind in enumerate(kinds) for part in range(2)
    ]  # fmt: skip
    page = PAGE["render"]([("record.json", record)])
    named = ", ".join(f"K{number} {12 - number}.00" for number in range(9))
    assert f"by kind of layer, in ms: {named}, others 6.00." in page


def spread(p50: float) -> Record:
    return {"p10": 0.9 * p50, "p50": p50, "p90": 1.1 * p50, "count": 50}


def bench_record(*walls: float) -> Record:
    """A real record with the first results' medians as given."""
    made: Record = json.loads(
        (ROOT / "benchmarks" / "records" / "cpu_demo_360x480_threads1.json").read_text()
    )
    made["results"] = made["results"][: len(walls)]
    for result, wall in zip(made["results"], walls, strict=True):
        result["latency"]["p50"] = wall
    return made


def in_eight_bits(half: float, eight: float) -> Record:
    """FP16 first, as the benchmark has it."""
    made = bench_record(half, eight)
    for result, kernels, traffic in zip(made["results"], (270, 300), (4.5e6, 3.5e6), strict=True):
        result["subject"]["recorded"] = {"kernels": kernels, "traffic_bytes": traffic}
    return made


def section(*cases: Record, missing: tuple[Record, ...] = (), status: str = "ok") -> Record:
    return {"status": status, "reason": None, "seconds": 1.0, "cases": list(cases),
            "missing": list(missing)}  # fmt: skip


def gpu_record() -> Record:
    """Everything there may be, done and not done."""
    state = {"gpu_mhz": 1980.0, "memory_mhz": 2619.0, "power": 350.0, "temperature": 41.0,
             "throttling": ["power cap"]}  # fmt: skip
    described = {"gpu": {"name": "H100"}, "driver": "580.1", "cpu": "Xeon", "cores": 16}
    kernel = {
        "case": "labels_noise", "kernel": "labels", "logits": "noise", "classes": 150,
        "source": [512, 512], "network": [512, 512], "moved_bytes": 3e6, "seconds": spread(1e-6),
        "torch_eager": spread(4e-6), "torch_compile": spread(2e-6), "state": state,
        "definition": {"differ": 0, "of": 262144}, "pytorch": {"share": 1e-5},
    }  # fmt: skip
    frame = {
        "case": "T_19_1024x2048_base", "eager": spread(0.05), "attentions": 22,
        "compile": {**spread(0.03), "attentions_fused": 0, "attention_kernels": {"flash_fwd": 22}},
        "together": {"hybrid": spread(0.02), "compile": spread(0.032)}, "state": state,
    }  # fmt: skip
    paper = {
        "case": "T_19_1024x2048_paper", "eager": spread(0.04), "hybrid": spread(0.016),
        "compile": {"failed": "RuntimeError: Triton found no compiler"},
        "failed": "took longer than its 60 s and was killed; it said last: nothing",
    }  # fmt: skip
    walls = {"T_19_1024x2048_base": (0.010, 0.016), "T_19_1024x2048_paper": (0.008, 0.015)}
    refused = {"case": "B_150_512x512_base", "refused": "Target GPU SM 90 is not supported",
               "validity": "INVALID",
               "diagnostics": ["compute capability not supported"]}  # fmt: skip
    probe = {"case": "default", "version": "1.7.1", "built": True, "validity": "INVALID",
             "diagnostics": ["compute capability not supported"], "deserialised": False,
             "log": ["ERROR: Target GPU SM 90 is not supported"]}  # fmt: skip
    return {
        "schema_version": 2, "kind": "gpu", "dry_run": False,
        "sections": {
            "machine": section({"case": "machine", "machine": described, "state": state}),
            "bandwidth": section({"case": "copy", "bytes_per_second": 3e12,
                                  "empty_kernel": spread(2e-6)}),
            "rtx_probe": section(probe, missing=({"case": "CURRENT", "failed": "died of SIGABRT",
                                                  "log": ["ERROR: so it is"]},)),
            "kernels": section(kernel, status="unfinished"),
            "soak": section({"case": "replay", "frames": 70, "wanted": 100, "before":
                             {"host_bytes": 5}, "after": {"host_bytes": 9}}),
            "engines": section(*({"case": c, "record": bench_record(*w)}
                                 for c, w in walls.items()), refused),
            "eight_bits": section(
                {"case": "T_19_1024x2048_paper.fp8", "record": in_eight_bits(0.008, 0.004)},
                {"case": "B_150_512x512_base.fp8", "refused": "FP8 runs on compute capability 8.9"},
            ),
            "overhead": section({"case": "T_19_1024x2048_base", "host": 7e-5}),
            "torch_frames": section(frame, missing=(paper,), status="partly"),
            "agreement": section({"case": "trained", "validation": {
                "data": "camvid", "images": 9, "agreement": 0.999}},
                {"case": "trained.fp8", "validation": {
                "data": "camvid", "images": 9, "agreement": 0.99}}),
        },
    }  # fmt: skip


def test_everything_is_published_with_what_is_missing() -> None:
    page = PAGE["render"]([("gpu.json", gpu_record())])
    for text in (
        "### H100, driver 580.1, Xeon (`gpu.json`)",
        "Copy bandwidth 3000 GB/s. An empty kernel takes 0.0020 (0.0018 to 0.0022) ms.",
        "validity INVALID (compute capability not supported), not deserialised: ERROR: Target GPU",
        "| labels noise | 512x512, 512x512, 150 | 0.0010 (0.0009 to 0.0011) |",
        "| 2.00 | 100% | 0 | 1.0e-05 |",
        "70 of 100 frames replayed: host +4 bytes.",
        "T_19_1024x2048_base, compile: Inductor's pattern matched 0 of 22 attentions; fused kernels"
        " launched: flash_fwd (22)",
        "B_150_512x512_base: refused: Target GPU SM 90 is not supported (validity INVALID: compute",
        "the engine's labels agree with PyTorch float32 at the same ISR on 99.9000% of the pixels",
        "the fp8 engine's labels agree with PyTorch float32 at the same ISR on 99.0000%",
        "| T_19_1024x2048_paper.fp8 | whole frame | 4.00 / 8.00 | 2.00 | 300 / 270 | 3.5 / 4.5 |",
        "B_150_512x512_base.fp8: refused: FP8 runs on compute capability 8.9",
        "gpu mhz 1980 to 1980 MHz",
        "kernels, labels_noise: power cap",
        "- kernels unfinished",
        "- rtx_probe, CURRENT failed: died of SIGABRT",
        "- torch_frames, T_19_1024x2048_paper failed: took longer than its 60 s",
        "- torch_frames, T_19_1024x2048_paper: compile failed: RuntimeError: Triton found",
    ):
        assert text in page, text
    assert "No record of a GPU" not in page


def test_isr_s_saving_is_told_from_hybrid_frames() -> None:
    (row,) = [
        line for line in PAGE["render"]([("gpu.json", gpu_record())]).splitlines()
        if line.startswith("| T_19_1024x2048_paper | whole frame, ms |")
    ]  # fmt: skip
    assert row.split("|")[-2].strip() == f"{0.2 / promised():.0%}"  # 16 for 20 ms


def test_engines_are_held_against_what_was_promised() -> None:
    lines = PAGE["render"]([("gpu.json", gpu_record())]).splitlines()
    base, paper = (
        next(line for line in lines if line.startswith(f"| T_19_1024x2048_{isr} | whole frame |"))
        for isr in ("base", "paper")
    )
    assert base.split("|")[3:-1] == [" 10.00 ", " 1.60 ", " 3.20 ", " 70 ", "  "]
    assert paper.split("|")[-2].strip() == f"{0.2 / promised():.0%}"


def promised() -> float:
    network = (get_variant("T"), 19, (1024, 2048))
    return 1 - count(*network, ISR.parse("paper")).macs / count(*network).macs


def without(record: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something lies that a run cut short may not have written."""
    items = record.items() if isinstance(record, dict) else enumerate(record)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list) and key not in {"record", "validation"}:
            yield from without(value, (*path, key))


def test_whatever_is_missing_in_a_record_the_rest_is_published() -> None:
    record = gpu_record()
    paths = [("sections", *path) for path in without(record["sections"])]
    assert len(paths) > 150
    for path in paths:
        for cut in ("gone", "null"):
            made = copy.deepcopy(record)
            holder = made
            for key in path[:-1]:
                holder = holder[key]
            if cut == "null" and isinstance(holder, dict):
                holder[path[-1]] = None
            else:
                del holder[path[-1]]
            told = page.gpu_section("gpu.json", made, lambda name, _: name)
            assert "`gpu.json`" in told


def test_a_dry_run_is_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    record = {**gpu_record(), "dry_run": True}
    assert "A dry run on a CPU: its figures mean nothing." in PAGE["render"]([("dry.json", record)])
