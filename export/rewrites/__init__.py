"""Exact rewrites: they change how the network is computed, never what it computes.

One idea a file; each says why it is exact and is tested alone and on the whole model. They act on
a copy of the PyTorch model, where the algebra is visible and float64 can prove it. What is not
exact (FP16, ISR) is never called a rewrite.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

from edaformer.export.rewrites.fold_batchnorm import fold_batchnorm
from edaformer.export.rewrites.scale_query import scale_query
from edaformer.model import EDAFormer

REWRITES: dict[str, Callable[[EDAFormer], int]] = {
    "scale-query": scale_query,
    "fold-batchnorm": fold_batchnorm,
}


def apply_rewrites(model: EDAFormer) -> tuple[EDAFormer, tuple[str, ...]]:
    """A rewritten copy of ``model`` and the names of the rewrites that found something to do."""
    model = copy.deepcopy(model)
    return model, tuple(name for name, rewrite in REWRITES.items() if rewrite(model))
