"""Exact rewrites: they change how the network is computed, never what it computes.

One idea a file; each says why it is exact and is tested alone and on the whole model. They act on
a copy of the PyTorch deployment, where the algebra is visible and float64 can prove it. What is not
exact (FP16, ISR) is never called a rewrite. What each does to real engines is measured by
benchmarks/rewrites.py, and docs/rewrites.md shows it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

from edaformer.errors import InputError
from edaformer.export.rewrites.fold_batchnorm import fold_batchnorm
from edaformer.export.rewrites.fuse_argmax import fuse_argmax
from edaformer.export.rewrites.fuse_per_branch import fuse_per_branch
from edaformer.export.rewrites.group_queries import group_queries
from edaformer.export.rewrites.map_mlp import map_mlp
from edaformer.export.rewrites.pad_classes import pad_classes
from edaformer.export.rewrites.pad_hidden import pad_hidden
from edaformer.export.rewrites.pad_image import pad_image
from edaformer.export.rewrites.project_values import project_values
from edaformer.export.rewrites.scale_query import scale_query
from edaformer.export.rewrites.unfuse_attention import unfuse_attention
from edaformer.export.wrapper import Deployment
from edaformer.manifest import AttentionForm


@dataclass(frozen=True)
class Rewrite:
    """One rewrite: changes a deployment in place and returns in how many places."""

    apply: Callable[[Deployment], int]
    precisions: tuple[str, ...] = ("fp16", "fp32")  # that have it without being asked
    not_by_default: tuple[str, ...] = ()  # variants that have to ask for it
    fuses: bool = False  # its only use is that attention gets fused


REWRITES: dict[str, Rewrite] = {  # in this order
    "fold-batchnorm": Rewrite(fold_batchnorm),
    "fuse-per-branch": Rewrite(fuse_per_branch),
    "scale-query": Rewrite(scale_query),
    # T: 2 % less traffic and up to 14 % less scratch memory; B: 17 % more scratch at 1024x2048
    "project-values": Rewrite(project_values, not_by_default=("B",)),
    # TensorRT fuses no FP32 attention; ONNX Runtime takes 1 % longer, and 1 % for pad-image
    "group-queries": Rewrite(group_queries, precisions=("fp16",), fuses=True),
    "pad-hidden": Rewrite(pad_hidden),
    "map-mlp": Rewrite(map_mlp),
    "pad-image": Rewrite(pad_image, precisions=("fp16",)),
    "pad-classes": Rewrite(pad_classes, precisions=()),  # no kernel fewer, 1 % more scratch memory
    # ONNX Runtime, which runs FP32 graphs, fuses nothing here: twice the time on a CPU
    "fuse-argmax": Rewrite(fuse_argmax, precisions=("fp16",)),
}


def defaults(precision: str, variant: str, attention: AttentionForm = "fused") -> tuple[str, ...]:
    """What is applied without being asked, in order.

    FP16 graphs are made for TensorRT, FP32 graphs for ONNX Runtime on a CPU. Eight bits stand in an
    FP16 graph.
    """
    precision = "fp32" if precision == "fp32" else "fp16"
    return tuple(
        name
        for name, rewrite in REWRITES.items()
        if precision in rewrite.precisions
        and variant not in rewrite.not_by_default
        and (attention == "fused" or not rewrite.fuses)
    )


def choose(
    text: str,
    without: tuple[str, ...],
    *,
    precision: str,
    variant: str,
    attention: AttentionForm = "fused",
) -> tuple[str, ...]:
    """Read ``default``, ``all``, ``none`` or a list of names, less those in ``without``.

    Raises:
        InputError: for an unknown name, or one to leave out that is not in.
    """
    default = defaults(precision, variant, attention)
    groups = {"default": default, "all": tuple(REWRITES), "none": ()}
    names = groups.get(text, tuple(part.strip() for part in text.split(",")))
    for name in (*names, *without):
        if name not in REWRITES:
            raise InputError(
                f"expected rewrites out of {', '.join(REWRITES)}, or default, all or none, "
                f"got '{name}'"
            )
    for name in without:
        if name not in names:
            raise InputError(f"--no-rewrite {name} has no effect: it is off already; leave it out")
    return tuple(name for name in REWRITES if name in names and name not in without)


def apply_rewrites(
    deployment: Deployment, names: tuple[str, ...], attention: AttentionForm = "fused"
) -> tuple[Deployment, tuple[str, ...]]:
    """A rewritten copy of ``deployment``, and those of ``names`` that found something to do."""
    rewritten = copy.deepcopy(deployment)
    applied = [name for name in REWRITES if name in names and REWRITES[name].apply(rewritten)]
    if attention == "unfused":
        unfuse_attention(rewritten)
    return rewritten, tuple(applied)
