"""SegFormer's attention with merged tokens, written for export.

Bipartite soft matching (ToMe, Bolya et al., 2023) on a map, as SegFormer++ (Kienzle et al., 2024)
has it: a destination in every cell, sources the rest; each source finds the destination most alike
by cosine, the most alike pairs merge, and a merged token is the mean of all that went into it. What
merged queries attend to is given back to every token that they stand for. Nothing is trained.

Three things are an engine's: the destination of a cell is its first token and not drawn; TopK asks
for the sources that are kept, which are fewer, instead of sorting all; the sums of a mean are a
product, not a scatter.

Letters: B batch, N tokens, S sources, D destinations, K sources kept, M = K + D slots, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from edaformer.export.rewrites.replace import replace
from edaformer.families.attention import to_map, to_tokens
from edaformer.families.mit.network import ReducedAttention, SequenceReduction
from edaformer.families.network import Network
from token_merging import Merging, Size, Where


@dataclass(frozen=True)
class Match:
    """Which tokens of a map are merged into which."""

    sources: list[int]  # their places on the map
    destinations: list[int]
    into: Tensor  # (B, S), the destination that each source goes to, -1 where it is kept
    kept: Tensor | None  # (B, K), which sources are; None: none


def match(tokens: Tensor, size: Size, how: Merging) -> Match:
    """Of ``tokens`` (B, N, C), on a map of ``size``."""
    sources, destinations = how.divide(size)
    unit = tokens / tokens.norm(dim=-1, keepdim=True)
    alike = _take(unit, sources) @ _take(unit, destinations).transpose(1, 2)  # (B, S, D)
    best, into = alike.max(dim=-1)  # (B, S)
    if not (count := how.kept(size)):
        return Match(sources, destinations, into, None)
    kept = best.topk(count, dim=-1, largest=False).indices  # (B, K)
    return Match(sources, destinations, into.scatter(1, kept, -1), kept)


def merge(tokens: Tensor, found: Match) -> Tensor:
    """(B, N, C) -> (B, M, C): sources that are kept, then destinations, each with its own the mean.

    A sum by a product with who goes where: TensorRT-RTX takes no scatter that adds.
    """
    sources, destinations = _take(tokens, found.sources), _take(tokens, found.destinations)
    each = torch.arange(len(found.destinations), device=tokens.device)[None, :, None]
    members = (found.into[:, None, :] == each).to(tokens.dtype)  # (B, D, S)
    together = (destinations + members @ sources) / (1 + members.sum(dim=-1, keepdim=True))
    if found.kept is None:
        return together
    return torch.cat([_gather(sources, found.kept), together], dim=1)


def give_back(merged: Tensor, found: Match) -> Tensor:
    """(B, M, C) -> (B, N, C): to every token what became of it."""
    own = torch.arange(len(found.destinations), device=merged.device)
    slots = found.into
    if found.kept is not None:
        count = found.kept.shape[1]
        alone = torch.arange(count, device=merged.device).expand_as(found.kept)
        slots, own = (slots + count).scatter(1, found.kept, alone), own + count
    order = found.sources + found.destinations
    slots = torch.cat([slots, own.expand(len(slots), -1)], dim=1)
    return _gather(merged, _take(slots, sorted(range(len(order)), key=order.__getitem__)))


class OfAnother(ReducedAttention):
    """With another's weights."""

    def __init__(self, attention: ReducedAttention) -> None:
        super().__init__(
            attention.q.in_features,
            heads=attention.heads, trained=attention.trained, ratio=attention.ratio,
        )  # fmt: skip
        for name, child in attention.named_children():
            setattr(self, name, child)


class MergedAttention(OfAnother):
    """out = given back(Linear(softmax(q k^T / sqrt(d)) v)), of merged queries, keys and values."""

    def __init__(
        self, attention: ReducedAttention, *, keys: Merging | None, queries: Merging | None
    ) -> None:
        """What is None does not merge."""
        super().__init__(attention)
        self.keys, self.queries = keys, queries

    def forward(self, x: Tensor, size: Size) -> Tensor:
        """(B, N, C) over a map of ``size`` (H, W) -> (B, N, C)."""
        reduced = self.reduce(to_map(x, size))
        if self.keys is not None:
            on = (size[0] // self.ratio, size[1] // self.ratio)
            reduced = merge(reduced, match(reduced, on, self.keys))
        if self.queries is None:
            return self.attended(x, reduced)
        found = match(x, size, self.queries)
        return give_back(self.attended(merge(x, found), reduced), found)

    def attended(self, x: Tensor, reduced: Tensor) -> Tensor:
        """(B, N, C), (B, M, C) -> (B, N, C)."""
        q, k, v = (
            self.split_heads(tokens) for tokens in (self.q(x), self.k(reduced), self.v(reduced))
        )
        return self.proj(self.join_heads(self.attend(q, k, v)))


class SteppedAttention(OfAnother):
    """Neither merged nor pooled: of every cell that ISR would average, one token alone."""

    def __init__(self, attention: ReducedAttention, *, first: int) -> None:
        """``first`` is the row and column of the first that is taken."""
        super().__init__(attention)
        self.first = first

    def reduce(self, feature: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, M, C)."""
        skipped = self.first * self.trained
        feature = feature[:, :, skipped:, skipped:]
        if isinstance(self.reduction, SequenceReduction):  # what is left out need not be convolved
            conv = self.reduction.conv
            made = functional.conv2d(feature, conv.weight, conv.bias, stride=self.ratio)
            return self.reduction.norm(to_tokens(made))
        return to_tokens(functional.avg_pool2d(feature, 1, stride=self.ratio))


def merged(network: Network, where: Where) -> Network:
    """``network`` itself, its tokens merged."""
    for stage, keys, queries in zip(network.encoder.stages, where.keys, where.queries, strict=True):
        replace(
            stage, ReducedAttention,
            lambda own, k=keys, q=queries: MergedAttention(own, keys=k, queries=q),
        )  # fmt: skip
    return network


def stepped(network: Network, first: int) -> Network:
    """``network`` itself, its keys chosen instead of pooled."""
    replace(network, ReducedAttention, lambda own: SteppedAttention(own, first=first))
    return network


def _take(tokens: Tensor, places: list[int]) -> Tensor:
    """(B, N, ...) at the same places in every image."""
    return tokens.index_select(1, torch.tensor(places, device=tokens.device))


def _gather(tokens: Tensor, places: Tensor) -> Tensor:
    """(B, N, C) at each image's own places (B, K)."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[-1]))
