"""Split the queries of single-head attention into groups that stand where heads stand.

Exact: every query attends by itself, so any grouping of the rows of Q gives the same rows; keys and
values are repeated for each group. At 512x512 TensorRT-RTX 1.7 does not fuse attention of batch 1
and one head (it runs two products around a stand-alone softmax, through N M numbers in memory; at
1024x2048 it does); with four groups it fuses. The repetition has to be an Expand: a product that
broadcasts is not recognised.
"""

from __future__ import annotations

from torch import Tensor, nn

from edaformer.export.wrapper import Deployment
from edaformer.families.attention import Attention

GROUPS = (4, 8, 2, 16, 3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15)  # the first that divides N


class GroupedQueryAttention(nn.Module):
    """``attend`` on groups of queries; with no usable divisor of N, on all at once."""

    def __init__(self, attend: nn.Module) -> None:
        super().__init__()
        self.attend = attend

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, 1, N, d), (B, 1, M, d), (B, 1, M, d) -> (B, 1, N, d)."""
        batch, _, count, width = q.shape
        groups = next((g for g in GROUPS if count % g == 0), 1)
        q = q.reshape(batch, groups, -1, width)  # (B, G, N / G, d)
        k, v = (x.expand(-1, groups, -1, -1) for x in (k, v))
        return self.attend(q, k, v).reshape(batch, 1, count, width)


def group_queries(deployment: Deployment) -> int:
    """Rewrite the single-head attentions in place; returns how many."""
    count = 0
    for module in deployment.modules():
        if (
            isinstance(module, Attention)
            and module.heads == 1
            and not isinstance(module.attend, GroupedQueryAttention)
        ):
            module.attend = GroupedQueryAttention(module.attend)
            count += 1
    return count
