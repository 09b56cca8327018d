"""Fold the output projection of single-head attention into its values.

Exact: with one head, (P V) W^T + b = P (V W^T + 1 b^T), because matrix products associate and the
rows of P = softmax(...) sum to 1, so P 1 b^T = 1 b^T. The projection then runs on the M pooled keys
instead of the N queries (64 times fewer at stage 1's base ratio), and nothing stands between the
attention kernel and the residual addition. SegFormer's values V = Y U^T + 1 u^T are projected
anyway: the two are one linear layer, V W^T + 1 b^T = Y (W U)^T + 1 (W u + b)^T.
"""

from __future__ import annotations

from torch import Tensor, nn

from edaformer.export.rewrites.replace import linear, replace
from edaformer.export.wrapper import Deployment
from edaformer.families.attention import to_map
from edaformer.families.edaformer.attention import EmbeddingFreeAttention
from edaformer.families.mit.network import ReducedAttention


class ProjectedValueAttention(EmbeddingFreeAttention):
    """softmax(q k^T / sqrt(d)) proj(k), for one head."""

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, N, C) -> (B, N, C) over a map of ``size`` (H, W)."""
        tokens = self.reduce(to_map(x, size))  # (B, M, C)
        k, v = self.split_heads(tokens), self.split_heads(self.proj(tokens))  # (B, 1, M, C)
        return self.join_heads(self.attend(self.split_heads(x), k, v))


def project_values(deployment: Deployment) -> int:
    """Rewrite the single-head attentions in place; returns how many."""
    count = replace(deployment, EmbeddingFreeAttention, _projected)
    for module in deployment.modules():
        if isinstance(module, ReducedAttention) and module.heads == 1:
            count += _merge(module)
    return count


def _projected(attention: EmbeddingFreeAttention) -> ProjectedValueAttention | None:
    if attention.heads != 1:
        return None
    channels = attention.proj.in_features
    made = ProjectedValueAttention(channels, heads=1, ratio=attention.ratio)
    made.kv, made.proj, made.attend = attention.kv, attention.proj, attention.attend
    return made


def _merge(attention: ReducedAttention) -> int:
    """Make the output projection part of the values'; returns how many were merged, 0 or 1."""
    proj, v = attention.proj, attention.v
    if not isinstance(proj, nn.Linear):
        return 0
    attention.v = linear(proj.weight @ v.weight, proj.weight @ v.bias + proj.bias)
    attention.proj = nn.Identity()
    return 1
