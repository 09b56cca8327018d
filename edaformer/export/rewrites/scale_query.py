"""Scale the query before the product: (q s) k^T instead of (q k^T) s.

Exact: s = 1 / sqrt(d) is a scalar, and scalar factors move freely through a bilinear product. It
is the form NVIDIA documents for fused attention, it multiplies N d numbers instead of N M, and it
keeps the products of a half-precision graph smaller by s before they can overflow.
"""

from __future__ import annotations

from torch import Tensor

from edaformer.export.rewrites.replace import replace
from edaformer.export.wrapper import Deployment
from edaformer.families.attention import DotProductAttention


class ScaledQueryAttention(DotProductAttention):
    """softmax((q / sqrt(d)) k^T) v."""

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        """(B, h, N, d), (B, h, M, d) -> (B, h, N, M)."""
        return (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)


def scale_query(deployment: Deployment) -> int:
    """Rewrite every attention in place; returns how many."""
    return replace(deployment, DotProductAttention, lambda _: ScaledQueryAttention())
