"""A validation that ran elsewhere, out of its own JSON: figures and verdict, no pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edaformer.engines.validate.truth import Finding
from edaformer.engines.validate.validation import (
    Agreement,
    Flips,
    Frames,
    GateResult,
    Row,
    Shown,
    Validation,
)
from edaformer.errors import InputError
from edaformer.evaluation.bootstrap import Interval
from edaformer.evaluation.metrics import Score
from edaformer.manifest import Manifest
from edaformer.preprocess import parse_size

Told = Mapping[str, Any]
_NO_PICTURE = np.zeros((0, 0), np.uint8)


def read_validation(told: Told, manifest: Manifest) -> Validation:
    """What ``Validation.to_json`` gave; null is NaN, and a bisection is left out.

    Args:
        told: the JSON.
        manifest: of the artifact that was validated.

    Raises:
        InputError: if it is none.
    """
    try:
        return _validation(told, manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"expected a validation as edaformer-validate --json prints it; {error!r} is missing "
            "or of another kind: use the same version on both machines"
        ) from error


def _validation(told: Told, manifest: Manifest) -> Validation:
    frames, original, finding = told.get("frames"), told.get("original"), told["labels"]
    adapted = told.get("agreement_adapted")
    intervals, by_class = _intervals(told["intervals"])
    return Validation(
        data=str(told["data"]),
        notes=tuple(map(str, told["notes"])),
        images=int(told["images"]),
        classes=tuple(told["candidate"]["iou"]),
        palette=None,
        size=parse_size(told["size"]),
        align=told["align"],
        protocol=str(told["protocol"]),
        fit=str(told["fit"]),
        fitted=int(told["fitted"]),
        reference_base=_row(told["reference_base"]),
        reference=_row(told["reference"]),
        candidate=_row(told["candidate"]),
        letter=None if told["to_the_letter"] is None else _row(told["to_the_letter"]),
        agreement=_agreement(told, "agreement"),
        agreement_isr=_agreement(told, "agreement_isr"),
        flips=Flips(**told["flips"]),
        intervals=intervals,
        intervals_iou=by_class,
        gates=tuple(_gate(gate) for gate in told["gates"]),
        worst=tuple(_shown(at, one) for at, one in enumerate(told["worst"])),
        manifest=manifest,
        frames=None if frames is None else _frames(frames),
        original=None if original is None else _row(original),
        agreement_adapted=None if adapted is None else Agreement(float(adapted), float("nan")),
        finding=None if finding is None else _finding(finding),
        trusted=bool(told["trust_labels"]),
    )


def _row(told: Told) -> Row:
    miou, macc, aacc = (_number(told[name]) for name in ("miou", "macc", "aacc"))
    iou = tuple(map(_number, told["iou"].values()))
    return Row(str(told["description"]), str(told["isr"]), Score(miou, macc, aacc, iou))


def _agreement(told: Told, name: str) -> Agreement:
    boundary = told.get(f"{name}_boundary")
    return Agreement(_number(told[name]), _number(told[f"{name}_worst"]), boundary)


def _frames(told: Told) -> Frames:
    return Frames(_row(told["reference"]), _row(told["candidate"]), _agreement(told, "agreement"))


def _gate(told: Told) -> GateResult:
    failure = told["failure"]
    return GateResult(
        str(told["name"]), _number(told["measured"]), _number(told["limit"]),
        None if failure is None else str(failure),
    )  # fmt: skip


def _finding(told: Told) -> Finding:
    return Finding(**{**told, "lines": tuple(told["lines"])})


def _shown(index: int, told: Told) -> Shown:
    pictures = (_NO_PICTURE,) * 4
    return Shown(index, str(told["name"]), _number(told["agreement"]), *pictures)


def _intervals(
    told: Told,
) -> tuple[dict[str, Interval | None], dict[str, tuple[Interval | None, ...]]]:
    """Those of all classes together, and those by class."""
    named = {name: value for name, value in told.items() if name not in {"level", "replicates"}}
    by_class = {name: value for name, value in named.items() if isinstance(value, dict)}
    return (
        {name: _interval(value) for name, value in named.items() if name not in by_class},
        {name: tuple(map(_interval, value.values())) for name, value in by_class.items()},
    )


def _interval(told: Any) -> Interval | None:
    return None if told is None else (_number(told[0]), _number(told[1]))


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
