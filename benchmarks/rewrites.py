"""What each exact rewrite does to a real engine: docs/rewrites.md is made from this.

    python benchmarks/rewrites.py                            # one line a measurement; resumes
    python benchmarks/rewrites.py --page docs/rewrites.md    # the tables, of what is in the record

For each model, size and ISR: no rewrite, each one alone, the defaults. Engines are TensorRT-RTX
plans built on the spot, without a GPU, from an FP16 graph of random weights; what is counted comes
from the builder's own layer table. ONNX Runtime runs the float32 graph on one thread of the CPU, in
CPU seconds, the fastest of three (of one or two where those take 20 s together); its column is the
ratio to no rewrite. With --gpu the engines are also run, and the median time of the network of 50
frames is given; exports are verified then, which takes longer.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch

from edaformer.engines.artifact.proof import summarise
from edaformer.engines.build.build import build_engine
from edaformer.engines.build.compiler import BuildOptions, compile_network
from edaformer.engines.runtime import Engine
from edaformer.export import exporter
from edaformer.export.exporter import export_model
from edaformer.export.fp16 import convert_to_fp16
from edaformer.export.options import ExportOptions
from edaformer.export.rewrites import REWRITES, apply_rewrites, defaults
from edaformer.families.architecture import Architecture
from edaformer.families.edaformer.loader import save_checkpoint
from edaformer.families.edaformer.network import EDAFormer
from edaformer.families.edaformer.sizes import get_variant
from edaformer.families.network import Network
from edaformer.families.table import FAMILIES, RecordedSizes, load_checkpoint
from edaformer.isr import ISR
from edaformer.machine import backend
from edaformer.manifest import Manifest
from edaformer.preprocess import format_size

VARIANTS = ("T", "B")
INPUTS = (((512, 512), 150), ((1024, 2048), 19))
RATIOS = ("base", "paper", "16,8,4,1")
RUNS, ENOUGH_S = 3, 20.0  # of ONNX Runtime
RECORDS = Path(__file__).parent / "records" / "rewrites.jsonl"
_TIMED = {"onnxruntime_cpu_s": "CPU", "gpu_s": "GPU, ms"}
CASES: dict[str, tuple[str, ...]] = {
    "none": (),
    **{name: (name,) for name in REWRITES},
    "defaults": (),  # the variant's, below
}


def main() -> None:
    """Measure what is missing, then write the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RECORDS)
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    parser.add_argument("--sizes", nargs="+", default=[format_size(size) for size, _ in INPUTS])
    parser.add_argument("--isr", nargs="+", default=RATIOS)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--no-runtime", action="store_true", help="leave ONNX Runtime out")
    parser.add_argument("--gpu", action="store_true", help="run the engines as well")
    parser.add_argument("--page", type=Path, help="write the tables between this page's markers")
    args = parser.parse_args()
    done = read(args.out)
    if args.page:
        write_page(args.page, tables(done))
        return
    for variant in args.variants:
        for size, classes in INPUTS:
            if format_size(size) in args.sizes:
                for isr in args.isr:
                    _measure_all(args, done, (variant, size, classes, isr))


def _measure_all(
    args: argparse.Namespace,
    done: list[dict[str, Any]],
    configuration: tuple[str, tuple[int, int], int, str],
) -> None:
    variant, size, classes, isr = configuration
    for case in args.cases:
        names = defaults("fp16", variant) if case == "defaults" else CASES[case]
        key = {"variant": variant, "size": format_size(size), "isr": isr, "case": case}
        if any(key.items() <= row.items() for row in done):
            continue
        start = time.perf_counter()
        row = key | measure(
            get_variant(variant), size, classes, isr, names, run=not args.no_runtime, gpu=args.gpu
        )
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{json.dumps(row)}  ({time.perf_counter() - start:.0f} s)", file=sys.stderr)


def measure(
    architecture: Architecture,
    size: tuple[int, int],
    classes: int,
    isr: str,
    names: tuple[str, ...],
    *,
    run: bool,
    gpu: bool = False,
) -> dict[str, Any]:
    """One engine, of random weights; ``run`` times ONNX Runtime too, ``gpu`` an EDAFormer on it."""
    torch.manual_seed(0)
    ratios = ISR.parse(isr, architecture.places)
    network = FAMILIES[architecture.family].network
    model = network(architecture, classes, ratios).eval().requires_grad_(False)
    options = ExportOptions(isr=ratios, size=size, rewrites=names)
    graph = traced(model, options)
    seconds = _runtime_seconds(graph, size) if run else None
    own = {"onnxruntime_cpu_s": seconds, "gpu_s": None, "classes": classes}
    if gpu:
        own["gpu_s"] = _gpu_seconds(model, options)
    return build(graph, model) | own


def traced(model: Network, options: ExportOptions) -> ir.Model:
    """Its float32 graph, by the rewrites that ``options`` name."""
    rewritten, _ = apply_rewrites(exporter.deployment(model, options), options.rewrites or ())
    graph = exporter.trace_deployment(rewritten, options)
    exporter.select_outputs(graph, options.outputs)
    return graph


def _runtime_seconds(graph: ir.Model, size: tuple[int, int]) -> float:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    data = ir.to_proto(graph).SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    times: list[float] = []
    session.run(None, {"image": image})  # warms up
    while len(times) < RUNS and sum(times) < ENOUGH_S:
        start = time.process_time()
        session.run(None, {"image": image})
        times.append(time.process_time() - start)
    return min(times)


def build(graph: ir.Model, model: Network) -> dict[str, Any]:
    """What TensorRT-RTX makes of the float32 ``graph`` of ``model``, typed FP16 here."""
    convert_to_fp16(graph, {})
    exporter.drop_unused(graph)
    manifest = Manifest.model_construct(
        variant=model.variant.name,
        sizes=model.variant if isinstance(model.variant, RecordedSizes) else None,
        isr=str(model.isr),
        num_classes=model.num_classes,
        precision="fp16",
        kept_fp32=(),
    )
    chosen = backend.use("tensorrt-rtx")
    with tempfile.TemporaryDirectory() as folder:
        onnx = Path(folder, "model.onnx")
        onnx.write_bytes(ir.to_proto(graph).SerializeToString())
        compiled = compile_network(onnx, chosen, BuildOptions(), manifest)
    figures = summarise(compiled.proof, manifest.architecture)
    return {
        "version": str(chosen.version),
        "onnxruntime": onnxruntime.__version__,
        "processor": _processor(),
        "kernels": figures["kernels"]["total"],
        "unfused": len(figures["attention"]["unfused"]),
        "padding": figures["kernels"]["padding"],
        "scratch": figures["memory"]["scratch_bytes"],
        "traffic": figures["memory"]["traffic_bytes"],
        "plan": len(compiled.plan),
    }


def _gpu_seconds(model: EDAFormer, options: ExportOptions) -> float:
    with tempfile.TemporaryDirectory() as folder:
        weights, onnx, plan = (
            Path(folder, f"model.{end}") for end in ("safetensors", "onnx", "plan")
        )
        save_checkpoint(weights, model)
        export_model(load_checkpoint(weights), options, onnx)
        build_engine(onnx, plan, BuildOptions(allow_unfused=True))
        image = np.random.default_rng(0).integers(0, 256, (*options.size, 3), np.uint8)
        with Engine.load(plan) as engine:
            engine.warmup()
            return statistics.median(engine.timed(image)[1].network for _ in range(50))


def read(path: Path) -> list[dict[str, Any]]:
    """A record's rows."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def show(page: Path | None, tables: str) -> None:
    """Print them, or write them between a page's markers."""
    if page is None:
        print(tables, end="")
    else:
        write_page(page, tables)


def write_page(page: Path, tables: str) -> None:
    """Replace what stands between the page's two markers."""
    head, _, tail = between(page)
    page.write_text(head + tables + tail)


def between(page: Path) -> tuple[str, str, str]:
    """A page up to its first marker, what is between the two, and the rest."""
    begin, end = "<!-- begin tables -->\n", "<!-- end tables -->"
    head, rest = page.read_text().split(begin)
    made, tail = rest.split(end)
    return head + begin, made, end + tail


def tables(rows: list[dict[str, Any]]) -> str:
    """What stands between the markers of docs/rewrites.md."""
    first = rows[0]
    lines = [f"TensorRT-RTX {first['version']}; ONNX Runtime {first['onnxruntime']} on "
             f"{first['processor']}.\n"]  # fmt: skip
    for variant, size, isr in dict.fromkeys((r["variant"], r["size"], r["isr"]) for r in rows):
        own = [r for r in rows if (r["variant"], r["size"], r["isr"]) == (variant, size, isr)]
        plain = next((row for row in own if row["case"] == "none"), None)
        if plain is not None:
            lines.append(f"\n### EDAFormer-{variant}, {size}, {own[0]['classes']} classes, {isr}\n")
            lines += _table(own, plain)
    return "\n".join(lines) + "\n"


def _table(rows: list[dict[str, Any]], plain: dict[str, Any]) -> list[str]:
    """Without the columns that nobody measured."""
    timed = [name for name in _TIMED if any(row.get(name) for row in rows)]
    heads = ["rewrites", "kernels", "unfused", "padding", "scratch, MB", "traffic, MB"]
    heads += [_TIMED[name] for name in timed]
    lines = [_line(heads), _line(["---", *["---:"] * (len(heads) - 1)])]
    return lines + [_line([*cells(row), *(_time(row, plain, name) for name in timed)])
                    for row in rows]  # fmt: skip


def cells(row: dict[str, Any]) -> list[str]:
    """What the builder's layer table says, as the page has it."""
    counts = (str(row[name]) for name in ("case", "kernels", "unfused", "padding"))
    return [*counts, *(f"{row[name] / 1e6:.1f}" for name in ("scratch", "traffic"))]


def _time(row: dict[str, Any], plain: dict[str, Any], name: str) -> str:
    own, base = row.get(name), plain.get(name)
    if not own:
        return "-"
    if name == "gpu_s":
        return f"{own * 1e3:.3f}"
    return f"{own / base:.2f}" if base else "-"


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.is_file() else ())
        if line.startswith("model name")
    ]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
