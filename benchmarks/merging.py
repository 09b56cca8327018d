"""docs/merging.md's tables: SegFormer's tokens merged, as SegFormer++ does, beside ISR.

    python benchmarks/merging.py --shared DIR                   # all cases that are missing
    python benchmarks/merging.py --shared DIR "SegFormer++ HQ"  # one
    python benchmarks/merging.py --page docs/merging.md         # writes the tables

DIR holds camvid/ and checkpoints/segformer_b0_camvid. Nothing is trained. mIoU is PyTorch
float32's; agreement is of the exported FP16 graph with it, float16 rounding emulated on the CPU.
Engines are built without a GPU and never run, by the default rewrites and FP16 typing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cases
from token_merging import FAST, HQ, NOTHING, QUARTER, QUARTER_FROM_SECOND, Size, Where

if TYPE_CHECKING:
    from edaformer.families.checkpoint import Checkpoint
    from edaformer.families.network import Network

RECORDS = Path(__file__).parent / "records" / "merging.jsonl"
SIZE = (360, 480)
SIZES = {"360x480": SIZE, "1024x2048": (1024, 2048)}
COLUMNS = ("GMACs", "merging", "computed", "kernels", "unfused", "padding", "scratch, MB",
           "traffic, MB")  # fmt: skip
ANY_ERROR = 50.0  # of logits: what the export refuses is judged all the same


@dataclass(frozen=True)
class Case:
    """How many tokens attend and are attended to."""

    isr: str = "base"
    where: Where = NOTHING
    how: Literal["pooled", "stepped", "merged"] = "pooled"
    first: int = 0  # row and column of the first key that steps take


CASES = {  # one beside the other at about equal multiply-adds
    "base": Case(),
    "ISR `16,8,2,1`": Case("16,8,2,1"),
    "ISR `16,8,4,1`": Case("16,8,4,1"),
    "SegFormer++ HQ": Case(where=HQ, how="merged"),
    "ISR `16,8,4,2`": Case("16,8,4,2"),
    "keys merged to a quarter": Case(where=QUARTER, how="merged"),
    "every second key": Case("16,8,4,2", how="stepped"),
    "keys merged to a quarter, from the second on": Case(where=QUARTER_FROM_SECOND, how="merged"),
    "every second key, from the second on": Case("16,8,4,2", how="stepped", first=1),
    "ISR `32,16,4,2`": Case("32,16,4,2"),
    "SegFormer++ fast": Case(where=FAST, how="merged"),
    "every second or fourth key": Case("32,16,4,2", how="stepped"),
}

OPERATORS = "operators"  # the case that asks for each of these alone: inputs, output, nodes
PROBES = {
    "TopK, K = 3840": (
        "float16[1,7680] x", "int64[1,3840] y",
        "k = Constant<value_ints = [3840]>() v, y = TopK(x, k)",
    ),
    "TopK, K = 3841": (
        "float16[1,7680] x", "int64[1,3841] y",
        "k = Constant<value_ints = [3841]>() v, y = TopK(x, k)",
    ),
    "ScatterElements": (
        "int64[1,64] x, int64[1,8] i, int64[1,8] u", "int64[1,64] y",
        "y = ScatterElements<axis = 1>(x, i, u)",
    ),
    "ScatterElements, reduction add": (
        "float16[1,16,8] x, int64[1,16,8] i, float16[1,16,8] u", "float16[1,16,8] y",
        'y = ScatterElements<axis = 1, reduction = "add">(x, i, u)',
    ),
    "ScatterND": (
        "float16[16,8] x, int64[64,1] i, float16[64,8] u", "float16[16,8] y",
        "y = ScatterND(x, i, u)",
    ),
    "ScatterND, reduction add": (
        "float16[16,8] x, int64[64,1] i, float16[64,8] u", "float16[16,8] y",
        'y = ScatterND<reduction = "add">(x, i, u)',
    ),
}  # fmt: skip


def main() -> None:
    """Measure what is missing, or write the page's tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = (*CASES, OPERATORS)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(known)}; default: all")
    parser.add_argument("--shared", type=Path, help="the folder with the data")
    parser.add_argument("--out", type=Path, default=RECORDS, help="JSON lines, added to")
    parser.add_argument("--page", type=Path, help="write the tables between this page's markers")
    args = parser.parse_args()
    done = read(args.out)
    if args.page is not None:
        from rewrites import write_page

        write_page(args.page, tables(done))
        return
    if args.shared is None:
        parser.error("name the folder with the data: --shared DIR")
    cases.add_missing(
        args.out, done, args.cases or known,
        lambda name: operators() if name == OPERATORS else measure(CASES[name], args.shared),
    )  # fmt: skip


def read(path: Path) -> cases.Records:
    """What is recorded, by case."""
    return cases.read(path, (*CASES, OPERATORS))


def measure(case: Case, shared: Path) -> dict[str, Any]:
    """Judge it on CamVid, and build it at both sizes."""
    import edaformer

    checkpoint = changed(
        edaformer.load_checkpoint(shared / "checkpoints" / "segformer_b0_camvid"), case
    )
    isr = edaformer.ISR.parse(case.isr, checkpoint.places)
    built = {name: engine(checkpoint.model(isr), size, case.where) for name, size in SIZES.items()}
    return {"isr": case.isr, **judged(checkpoint, isr, shared), **built}


def changed(checkpoint: Checkpoint, case: Case) -> Checkpoint:
    """One that makes networks whose attention is the case's."""
    return replace(checkpoint, network=lambda *given: attending(checkpoint.network(*given), case))


def attending(own: Network, case: Case) -> Network:
    """``own``, attending as the case says."""
    from token_merging.attention import merged, stepped

    if case.how == "pooled":
        return own
    return merged(own, case.where) if case.how == "merged" else stepped(own, case.first)


def judged(checkpoint: Checkpoint, isr: Any, shared: Path) -> dict[str, Any]:
    """MIoU of PyTorch and of the FP16 graph, and whether the export would have been written."""
    import numpy as np

    import edaformer
    from edaformer.engines.validate.validate import validate
    from edaformer.errors import GateError
    from edaformer.export.exporter import export_model
    from edaformer.export.options import ExportOptions
    from edaformer.export.verify import Images

    data: Any = edaformer.open_dataset(f"camvid:{shared / 'camvid'}", SIZE)
    pictures = Images(np.stack([data.load(at).image for at in range(2)]), "CamVid")
    options, refused = ExportOptions(isr, SIZE), None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            export_model(checkpoint, options, path, images=pictures)
        except GateError as error:
            refused = str(error)
            export_model(checkpoint, replace(options, tolerance=ANY_ERROR), path, images=pictures)
        made = validate(path, checkpoint, data)
    return {
        "images": made.images, "export_refused": refused,
        "miou": made.reference.score.miou, "fp16_miou": made.candidate.score.miou,
        "agreement": made.agreement.overall, "worst": made.agreement.worst,
    }  # fmt: skip


def engine(model: Network, size: Size, where: Where) -> dict[str, Any]:
    """Multiply-adds of the network as it is and as rewritten, and what TensorRT-RTX makes of it."""
    from rewrites import build, traced
    from segformer import multiply_adds

    from edaformer.export.exporter import deployment
    from edaformer.export.options import ExportOptions
    from edaformer.export.rewrites import apply_rewrites, defaults

    options = ExportOptions(model.isr, size, rewrites=defaults("fp16", model.variant.name))
    padded = options.geometry.padded
    rewritten, _ = apply_rewrites(deployment(model, options), options.rewrites or ())
    return {
        "macs": multiply_adds(model, padded), "merging": merging_macs(model.variant, padded, where),
        "computed": multiply_adds(rewritten.model, padded), **build(traced(model, options), model),
    }  # fmt: skip


def merging_macs(sizes: Any, size: Size, where: Where) -> int:
    """How many of a MiT's multiply-adds on an image of ``size`` the merging itself takes."""
    total = 0
    for stage, depth in enumerate(sizes.depths):
        own = (size[0] // sizes.map_strides[stage], size[1] // sizes.map_strides[stage])
        reduced = (own[0] // sizes.ratios[stage], own[1] // sizes.ratios[stage])
        for merging, on in ((where.keys[stage], reduced), (where.queries[stage], own)):
            if merging is not None:
                total += depth * merging.macs(on, sizes.widths[stage])
    return total


def operators() -> dict[str, Any]:
    """What TensorRT-RTX says to each operator; null where it builds."""
    return {name: asked(*probe) for name, probe in PROBES.items()}


def asked(inputs: str, output: str, nodes: str) -> str | None:
    """The builder's words where it refuses a graph, None where it takes it."""
    import onnx.parser

    from edaformer.engines.build.compiler import BuildOptions, compile_network
    from edaformer.errors import BuildError
    from edaformer.machine import backend
    from edaformer.manifest import Manifest

    chosen = backend.use("tensorrt-rtx")
    manifest = Manifest.model_construct(
        variant="T", isr="base", num_classes=1, precision="fp16", kept_fp32=()
    )
    text = f'<ir_version: 10, opset_import: ["": 18]> probe ({inputs}) => ({output}) {{ {nodes} }}'
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.onnx"
        path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
        try:
            compile_network(path, chosen, BuildOptions(), manifest)
        except BuildError as error:
            return _said(error)
    return None


def _said(error: Exception) -> str:
    """Without the file's name, and without the lines of TensorRT's own source."""
    return str(error).partition(".onnx: ")[2].partition(" In ")[0]


def tables(done: cases.Records) -> str:
    """All of them."""
    made = {name: done[name] for name in CASES if name in done}
    parts = [f"TensorRT-RTX {made['base']['360x480']['version']}.\n", accuracy(made)]
    parts += [engines(made, size) for size in SIZES]
    return "\n".join([*parts, answers(done[OPERATORS])])


def accuracy(made: cases.Records) -> str:
    """What each costs on CamVid."""
    base = made["base"]["miou"]
    rows = [
        (
            name, f"{line['360x480']['macs'] / 1e9:.2f}", f"{line['miou']:.2f}",
            "" if name == "base" else f"{line['miou'] - base:+.2f}",
            f"{line['agreement']:.2%}", f"{line['worst']:.2%}",
            "no" if line["export_refused"] else "yes",
        )
        for name, line in made.items()
    ]  # fmt: skip
    heads = ("CamVid", "GMACs", "mIoU", "change", "FP16 agrees", "worst image", "export passes")
    return _table(heads, rows)


def engines(made: cases.Records, size: str) -> str:
    """What TensorRT-RTX makes of each."""
    return _table((size, *COLUMNS), [(name, *cells(line[size])) for name, line in made.items()])


def cells(built: Mapping[str, Any]) -> tuple[str, ...]:
    """A row of an engine, by column."""
    return (
        *(f"{built[name] / 1e9:.2f}" for name in ("macs", "merging", "computed")),
        *(str(built[name]) for name in ("kernels", "unfused", "padding")),
        *(f"{built[name] / 1e6:.1f}" for name in ("scratch", "traffic")),
    )


def answers(given: Mapping[str, str | None]) -> str:
    """What TensorRT-RTX says to each operator."""
    rows = [(name, f"`{given[name]}`" if given[name] else "builds") for name in PROBES]
    return _table(("operator", "TensorRT-RTX"), rows, numbers=False)


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]], *, numbers: bool = True) -> str:
    rule = ("---", *["---:" if numbers else "---"] * (len(heads) - 1))
    return "".join(f"| {' | '.join(row)} |\n" for row in (heads, rule, *rows))


if __name__ == "__main__":
    main()
