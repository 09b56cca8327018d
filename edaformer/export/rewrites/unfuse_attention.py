"""Attention in a form that TensorRT leaves apart: two products, a softmax of its own between them.

Not a row of REWRITES: ``edaformer-export --attention unfused`` asks for it, for GPUs whose fused
attention is wrong (docs/attention.md). Exact twice over. softmax(s) = exp(s - m) / sum exp(s - m)
for any m; m is the largest score, so that nothing overflows. And the rows of P = softmax(...) sum
to 1, so P v = (P v) / (P 1).

That second sum is what keeps the kernels apart: without it, written as Max, Sub, Exp, Sum and Div
or by the logarithm of the sum, TensorRT-RTX 1.7 still fuses EDAFormer-T's five attentions over 256
keys at 512x512. Dividing after the product alone, (exp(s - m) v) / sum, is apart as well and costs
as much, but its product grows with the keys: 2048 of them reach FLOAT16's end at values of 32.
In FLOAT16 the second sum is 1 exactly, and the division changes nothing.
"""

from __future__ import annotations

from torch import Tensor, nn

from edaformer.export.wrapper import Deployment
from edaformer.families.attention import Attention, DotProductAttention


class SummedSoftmax(nn.Module):
    """softmax(s) and the sum of its rows; a module of its own, which FP16 typing keeps in FP32."""

    def forward(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """(B, h, N, M) -> (B, h, N, M), (B, h, N, 1)."""
        weights = (scores - scores.amax(dim=-1, keepdim=True)).exp()
        weights = weights / weights.sum(dim=-1, keepdim=True)
        return weights, weights.sum(dim=-1, keepdim=True)


class UnfusedAttention(nn.Module):
    """(P v) / (P 1) with P = softmax(scores), scored as ``attend`` does."""

    def __init__(self, attend: DotProductAttention) -> None:
        super().__init__()
        self.attend = attend
        self.softmax = SummedSoftmax()

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, h, N, d), (B, h, M, d), (B, h, M, d) -> (B, h, N, d)."""
        weights, total = self.softmax(self.attend.scores(q, k))
        return (weights @ v) / total


def unfuse_attention(deployment: Deployment) -> int:
    """Rewrite every attention in place; returns how many."""
    count = 0
    for module in deployment.modules():
        if isinstance(module, Attention) and isinstance(module.attend, DotProductAttention):
            module.attend = UnfusedAttention(module.attend)
            count += 1
    return count
