"""``edaformer-info``: what a checkpoint, an ONNX file or a plan is, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edaformer.cli.common import (
    ALIGN_CORNERS,
    DEBUG,
    HEADS,
    JSON,
    VERSION,
    echo,
    guarded,
    print_json,
    print_pairs,
    print_table,
    print_values,
    run,
)
from edaformer.cli.options.checkpoints import HUB
from edaformer.cli.progress import steps
from edaformer.errors import InputError

if TYPE_CHECKING:
    from edaformer.engines.artifact.inspect import Description
    from edaformer.families.given import Given


@guarded
def info(
    subjects: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE|VARIANT|ID...",
            help="A checkpoint, .onnx, .plan, or a variant: T, B, segformer-b0 to -b5, "
            "feedformer-b0, -b2, -b0-city, -b2-city, upernet-mit-b0, upernet-pvt-v2-b0 and "
            f"so on; or {HUB}. Two are shown side by side.",
        ),
    ],
    isr: Annotated[
        str | None, typer.Option(help="Count at these pooling ratios. Default: base.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Count at this HxW, padded to multiples of 32 as an export is. Default: the "
            "file's own, else 512x512."
        ),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Class count of a bare variant. Default: 150.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Add the frame rate that published rates allow at most on a device by name, such "
            "as orin-nano or rtx-4070; an unknown name lists all."
        ),
    ] = None,
    heads: Annotated[str | None, HEADS] = None,
    align_corners: Annotated[Literal["none", "logits", "all"] | None, ALIGN_CORNERS] = None,
    as_json: Annotated[bool, JSON] = False,
    debug: Annotated[bool, DEBUG] = False,
    version: Annotated[bool, VERSION] = False,
) -> None:
    """Show a file's manifest, proof, parameters and multiply-adds; of two, the differences.

    Example: edaformer-info T --classes 150 --isr paper --size 512x512
    """
    from edaformer.engines.artifact.inspect import differences
    from edaformer.families.given import given
    from edaformer.preprocess import parse_size

    said = given(heads=heads, align_corners=align_corners)
    if len(subjects) > 2:
        raise InputError(f"expected one or two files, got {len(subjects)}; compare two at a time")
    described = [
        _described(
            subject,
            isr=isr,
            size=parse_size(size) if size is not None else None,
            num_classes=classes,
            given=said,
        )
        for subject in subjects
    ]
    if device is not None:
        described = [_modelled(one, device) for one in described]
    if len(described) == 1:
        _print_one(subjects[0], described[0], as_json=as_json)
    elif as_json:
        first, second = described
        print_json(
            {
                "first": first.to_json(),
                "second": second.to_json(),
                "differences": differences(first, second),
            }
        )
    else:
        _print_two(subjects, described[0], described[1])


def _described(
    subject: str,
    *,
    isr: str | None,
    size: tuple[int, int] | None,
    num_classes: int | None,
    given: Given,
) -> Description:
    """With the steps of fetching, where it is on the Hub."""
    from edaformer.engines.artifact.inspect import describe

    with steps("reading") as on_step:
        return describe(
            subject, isr=isr, size=size, num_classes=num_classes, given=given, tell=on_step
        )


def _modelled(description: Description, device: str) -> Description:
    """The same, with what a frame takes there."""
    from edaformer.engines.tune.device.modelled import model_frame

    made = model_frame(
        description.architecture, description.num_classes, description.size, description.isr, device
    )
    return replace(
        description,
        facts=[*description.facts, *made.facts],
        extra={**description.extra, "modelled": made.to_json()},
    )


def _print_one(subject: str, description: Description, *, as_json: bool) -> None:
    if as_json:
        print_json(description.to_json())
        return
    print_pairs(subject, description.facts)
    echo()
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
    echo(f"\n{description.saving:.1%} of the multiply-adds at base ISR saved")


def _print_two(subjects: list[str], first: Description, second: Description) -> None:
    """Both columns of every fact, a star before what differs; long values one below the other."""
    from edaformer.engines.artifact.inspect import side_by_side

    pairs: list[tuple[str, object]] = [("  ", subjects[0]), ("  ", subjects[1])]
    for name, a, b in side_by_side(first, second):
        if a == b:
            pairs.append((f"  {name}", a))
        else:
            pairs.append((f"* {name}", "-" if a is None else a))
            pairs.append(("", "-" if b is None else b))
    print_values(pairs)


def main() -> None:
    """The console script ``edaformer-info``."""
    run(info)
