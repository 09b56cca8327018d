"""Eight bits, as the exporter goes about it: choose and measure in float32, place in half.

Ranges are measured on the graph that is exported: at its ISR, with its rewrites, from pixels on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edaformer.errors import InputError
from edaformer.export.fp16 import Kept
from edaformer.export.quantise.calibrate import METHOD, Calibration, measure
from edaformer.export.quantise.parts import EightBits, LeftOut, Part, Site, find_sites
from edaformer.export.quantise.place import Scales, place
from edaformer.manifest import CalibrationImage, LeftInHalf, Quantised, WeightScales


@dataclass(frozen=True)
class Prepared:
    """What is to compute in eight bits, and the ranges there."""

    precision: EightBits
    parts: tuple[Part, ...]
    sites: tuple[Site, ...]
    left_out: tuple[LeftOut, ...]
    ranges: dict[str, float]
    calibration: Calibration


def prepare(
    graph: ir.Model,
    precision: EightBits,
    parts: tuple[Part, ...],
    calibration: Calibration,
    batches: Sequence[NDArray[np.generic]],
    *,
    name: str,
) -> Prepared:
    """Choose the nodes and measure their tensors.

    Args:
        graph: as traced, in float32; it is left as it is.
        precision: int8 or fp8.
        parts: of the network.
        calibration: the images.
        batches: the same as the input called ``name`` takes them.
        name: the input's name.

    Raises:
        InputError: if nothing of these parts is left, or a tensor has no range.
    """
    sites, left_out = find_sites(graph.graph, parts, precision)
    if not sites:
        reasons = "; ".join(f"{one.reason}: {one.why}" for one in left_out) or "there is none here"
        raise InputError(
            f"nothing of {', '.join(parts)} can compute in {precision} ({reasons}); choose other "
            "parts with --quantise, or --precision fp16"
        )
    nodes = {node.name: node for node in graph.graph}
    values = [nodes[site.node].inputs[at] for site in sites for at in site.inputs]
    values += [nodes[site.node].outputs[0] for site in sites if site.output]
    names = {value.name for value in values if value is not None and value.name is not None}
    ranges = measure(graph, names, batches, name=name)
    return Prepared(precision, parts, sites, left_out, ranges, calibration)


def quantise(graph: ir.Model, prepared: Prepared, kept: tuple[Kept, ...]) -> Quantised:
    """Place the pairs in a graph typed in half precision, in place; returns what was done.

    Args:
        graph: as fp16.convert_to_fp16 leaves it.
        prepared: for the same graph.
        kept: what that left in FP32, which stays there.
    """
    floats = {name for reason in kept for name in reason.nodes}
    sites = tuple(site for site in prepared.sites if site.node not in floats)
    left_out = prepared.left_out
    still = tuple(site.node for site in prepared.sites if site.node in floats)
    if still:
        left_out += (LeftOut("FP32", "it is kept in FP32 (see kept_fp32)", still),)
    scales = place(graph, sites, prepared.ranges, prepared.precision)
    return _record(prepared, sites, left_out, scales)


def _record(
    prepared: Prepared, sites: tuple[Site, ...], left_out: tuple[LeftOut, ...], scales: Scales
) -> Quantised:
    calibration = prepared.calibration
    images = zip(calibration.names, calibration.hashes, strict=True)
    return Quantised(
        parts=prepared.parts,
        nodes=tuple(site.node for site in sites),
        left_out=tuple(LeftInHalf(reason=o.reason, why=o.why, nodes=o.nodes) for o in left_out),
        method=METHOD,
        source=calibration.source,
        images=tuple(CalibrationImage(name=name, sha256=digest) for name, digest in images),
        activations=dict(sorted(scales.activations.items())),
        weights={
            name: WeightScales(
                channels=steps.size, least=float(steps.min()), largest=float(steps.max())
            )
            for name, steps in sorted(scales.weights.items())
        },
    )
