"""docs/quantisation.md's table: what eight bits cost in labels, and what TensorRT-RTX builds.

    python benchmarks/quantising.py --shared DIR                      # all cases that are missing
    python benchmarks/quantising.py --shared DIR "T base fp8"         # one
    python benchmarks/quantising.py --page docs/quantisation.md       # writes the table

DIR holds camvid/ and checkpoints/. Every fourth image of CamVid's validation split calibrates; the
case is judged on every --every-th of the rest. Engines are built for the builder's default targets,
without a GPU; nothing is executed on one.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cases

RECORDS = Path(__file__).parent / "records" / "quantising.jsonl"
SIZE = (360, 480)
NO_ATTENTION = ("projections", "mlp", "embed", "decoder")
MODELS = {
    "EDAFormer-T": "checkpoints/edaformer_t_camvid.pth",
    "SegFormer-B0": "checkpoints/segformer_b0_camvid",
}
SETTINGS = {
    "EDAFormer-T": ("base", "paper", "16,8,4,1"),
    "SegFormer-B0": ("base", "16,8,4,1"),
}


@dataclass(frozen=True)
class Case:
    """A model at an ISR, in eight bits."""

    model: str
    isr: str
    precision: str
    parts: tuple[str, ...]

    @property
    def form(self) -> str:
        """What is in eight bits, for a table."""
        return f"{self.precision.upper()}, " + (
            "attention" if self.parts == ("attention",) else "all but attention"
        )


CASES = {
    f"{model.partition('-')[2]} {isr} {name}": Case(model, isr, precision, parts)
    for name, precision, parts in (
        ("fp8", "fp8", ("attention",)),
        ("int8", "int8", NO_ATTENTION),
        ("int8 attention", "int8", ("attention",)),
    )
    for model, settings in SETTINGS.items()
    for isr in settings
}


def main() -> None:
    """Run what is missing, or write the page's table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--shared", type=Path, help="the folder with the data")
    parser.add_argument(
        "--every", type=int, default=1, help="judge on every so manieth of the rest"
    )
    parser.add_argument("--out", type=Path, default=RECORDS, help="JSON lines, added to")
    parser.add_argument("--page", type=Path, help="write the table between this page's markers")
    args = parser.parse_args()
    done = read(args.out)
    if args.page is not None:
        from rewrites import write_page

        write_page(args.page, table(done))
        return
    if args.shared is None:
        parser.error("name the folder with the data: --shared DIR")
    cases.add_missing(
        args.out, done, args.cases or CASES,
        lambda name: measure(CASES[name], args.shared, args.every),
    )  # fmt: skip


def read(path: Path) -> dict[str, dict[str, Any]]:
    """What is recorded, by case."""
    return cases.read(path, CASES)


def measure(case: Case, shared: Path, every: int) -> dict[str, Any]:
    """Calibrate, export, judge, and build both precisions."""
    import numpy as np

    import edaformer
    from edaformer.engines.validate.validate import validate
    from edaformer.export.exporter import export_model
    from edaformer.export.options import ExportOptions
    from edaformer.export.quantise.calibrate import Calibration
    from edaformer.export.verify import Images

    start, busy = time.perf_counter(), time.process_time()
    checkpoint = edaformer.load_checkpoint(shared / MODELS[case.model])
    data: Any = edaformer.open_dataset(f"camvid:{shared / 'camvid'}", SIZE)
    taken = [data.load(at) for at in range(0, len(data), 4)]
    calibration = Calibration(
        np.stack([one.image for one in taken]), tuple(one.name for one in taken), "CamVid"
    )
    rest = tuple(pair for at, pair in enumerate(data.pairs) if at % 4)
    others = replace(data, pairs=rest[::every])
    pictures = Images(np.stack([others.load(at).image for at in range(2)]), "CamVid")
    options = ExportOptions(
        edaformer.ISR.parse(case.isr, checkpoint.places), SIZE,
        precision=case.precision, quantise=case.parts,  # type: ignore[arg-type]
        min_agreement=0.0,  # what it costs is what is asked here
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_model(checkpoint, options, path, images=pictures, calibration=calibration)
        exported = time.process_time() - busy
        made = validate(path, checkpoint, others)
        eight, half = engines(path)
    return {
        "model": case.model, "isr": case.isr, "form": case.form,
        "calibrated": len(taken), "judged": len(others),
        "miou_float": made.reference.score.miou, "miou": made.candidate.score.miou,
        "agreement": made.agreement.overall, "worst": made.agreement.worst,
        "engine": eight, "fp16_engine": half, "export_cpu_seconds": exported,
        "wall": time.perf_counter() - start, "cpu_seconds": time.process_time() - busy,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }  # fmt: skip


def engines(onnx: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of the plan in eight bits and of its FP16 twin."""
    from edaformer.engines.artifact.onnx_file import read_onnx_manifest
    from edaformer.engines.artifact.proof import summarise
    from edaformer.engines.build.compiler import BuildOptions, compile_network
    from edaformer.export.quantise.strip import half_twin
    from edaformer.machine import backend

    manifest = read_onnx_manifest(onnx)
    twin = onnx.with_name("twin.onnx")
    twin.write_bytes(half_twin(onnx.read_bytes()))
    chosen = backend.use("tensorrt-rtx")
    found = []
    for path in (onnx, twin):
        made = compile_network(path, chosen, BuildOptions(), manifest)
        figures = summarise(made.proof, manifest.architecture)
        found.append(
            {
                "kernels": figures["kernels"]["total"],
                "fused": figures["attention"]["fused"],
                "attention": figures["attention"]["total"],
                "traffic_bytes": figures["memory"]["traffic_bytes"],
                "scratch_bytes": figures["memory"]["scratch_bytes"],
                "version": chosen.version,
            }
        )
    return found[0], found[1]


def table(done: Mapping[str, dict[str, Any]]) -> str:
    """A row for every case; FP16's figures behind the stroke."""
    rows = [
        "| model | ISR | eight bits | mIoU | change | agree | worst image | kernels | fused | "
        "traffic, MB |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    order = {name: at for at, name in enumerate(MODELS)}
    for line in sorted(done.values(), key=lambda one: order[one["model"]]):
        own, half = line["engine"], line["fp16_engine"]
        cells = (
            line["model"], f"`{line['isr']}`", line["form"], f"{line['miou']:.2f}",
            f"{line['miou'] - line['miou_float']:+.2f}", f"{line['agreement']:.2%}",
            f"{line['worst']:.2%}", f"{own['kernels']} / {half['kernels']}",
            f"{own['fused']} / {half['fused']}",
            f"{own['traffic_bytes'] / 1e6:.1f} / {half['traffic_bytes'] / 1e6:.1f}",
        )  # fmt: skip
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
