"""``edaformer-info``: what a checkpoint, an ONNX file or a plan is, and what it costs."""

from __future__ import annotations

from typing import Annotated

import typer

from edaformer.cli.common import DEBUG, JSON, guarded, print_json, print_pairs, print_table, run


@guarded
def info(
    subject: Annotated[
        str, typer.Argument(metavar="FILE|VARIANT", help="A checkpoint, .onnx, .plan, or T or B.")
    ],
    isr: Annotated[
        str | None, typer.Option(help="Count at these pooling ratios. Default: base.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Count at this HxW. Default: the file's own, else 512x512."),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Class count of a bare variant. Default: 150.")
    ] = None,
    as_json: Annotated[bool, JSON] = False,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Show a file's manifest, and parameters and multiply-adds per part.

    Example: edaformer-info T --classes 150 --isr paper --size 512x512
    """
    from edaformer.engines.inspect import describe
    from edaformer.isr import ISR
    from edaformer.preprocess import parse_size

    description = describe(
        subject,
        isr=ISR.parse(isr) if isr is not None else None,
        size=parse_size(size) if size is not None else None,
        num_classes=classes,
    )
    if as_json:
        print_json(description.to_json())
        return
    print_pairs(subject, description.facts)
    typer.echo("")
    cost, base = description.cost, description.cost_base
    print_table(
        ("part", "GMACs", "base", "attention"),
        [
            (part.name, f"{part.macs / 1e9:.3f}", f"{before.macs / 1e9:.3f}",
             f"{part.attention_macs / part.macs:.1%}")
            for part, before in zip(cost.parts, base.parts, strict=True)
        ]
        + [("all", f"{cost.gmacs:.3f}", f"{base.gmacs:.3f}", f"{cost.attention_share:.1%}")],
    )  # fmt: skip
    typer.echo(f"\n{description.saving:.1%} of the multiply-adds at base ISR saved")


def main() -> None:
    """The console script ``edaformer-info``."""
    run(info)
