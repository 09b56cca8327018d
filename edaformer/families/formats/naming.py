"""A format: how a project names a network's weights, and how it computes with them.

In names, ``{s}`` counts stages from 1, ``{i}`` from 0, ``{b}`` blocks from 0, and ``{j}`` the
decoder's branches as ours does: from c4.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edaformer.families.given import AlignCorners

if TYPE_CHECKING:
    from torch import Tensor

# pointwise: a linear layer (n, m) is kept as a 1x1 convolution (n, m, 1, 1);
# turned: the branches' channels lie in the order c1 to c4, and ours c4 to c1
Way = Literal["as it is", "pointwise", "turned"]
STAGES = 4
_CONVOLUTION = 4  # dimensions of its weight


@dataclass(frozen=True)
class Module:
    """One module of theirs: everything of its weights' names that stands before ``weight``."""

    theirs: str
    ours: tuple[str, ...]  # several: theirs is these, one after the other
    way: Way = "as it is"


@dataclass(frozen=True)
class Format:
    """What one project's files are."""

    title: str
    signs: re.Pattern[str]  # found in names of this format alone
    anchor: str  # a weight of every file: what stands before it is a wrapper's
    block: str  # what stands before the names of ``blocks``
    stages: tuple[Module, ...]
    blocks: tuple[Module, ...]
    branches: tuple[Module, ...]  # of the decoder: one for each stage
    heads: tuple[Module, ...]  # the rest of the decoder
    decoder: tuple[str, ...]  # what names of the decoder begin with; without any: an encoder alone
    unused: re.Pattern[str]  # whole names of what is known and not part of the network
    eps: tuple[float, float]
    head: str = "linear"  # which decoder of the family's
    align_corners: AlignCorners = "none"

    def known_by(self, keys: Iterable[str]) -> bool:
        """Whether any of these is this format's."""
        return any(self.signs.search(key) for key in keys)


@dataclass(frozen=True)
class Place:
    """Where one weight of theirs belongs."""

    ours: tuple[str, ...]
    way: Way

    def shape(self, expected: Mapping[str, Tensor]) -> tuple[int, ...]:
        """That of theirs, by those of ours."""
        parts = [tuple(expected[name].shape) for name in self.ours]
        if len(parts) > 1:
            return (sum(part[0] for part in parts), *parts[0][1:])
        return (*parts[0], 1, 1) if self.way == "pointwise" and len(parts[0]) == 2 else parts[0]

    def split(self, theirs: Tensor) -> dict[str, Tensor]:
        """Theirs, of the right shape, as ours."""
        if len(self.ours) > 1:
            parts = theirs.chunk(len(self.ours))
            return {name: part.contiguous() for name, part in zip(self.ours, parts, strict=True)}
        return {self.ours[0]: self._other_way(theirs)}

    def join(self, ours: Mapping[str, Tensor], like: Tensor) -> Tensor:
        """Ours, as theirs with the shape and dtype of ``like``: what ``split`` does, undone."""
        import torch

        parts = [ours[name] for name in self.ours]
        made = torch.cat(parts) if len(parts) > 1 else self._other_way(parts[0])
        return made.reshape(like.shape).to(like.dtype).contiguous()

    def _other_way(self, tensor: Tensor) -> Tensor:
        if self.way == "turned" and tensor.ndim == _CONVOLUTION:  # (D, 4 D, 1, 1)
            import torch

            return torch.cat(tensor.chunk(STAGES, dim=1)[::-1], dim=1)
        if self.way == "pointwise" and tensor.ndim == _CONVOLUTION:
            return tensor[:, :, 0, 0].contiguous()
        return tensor


class Naming:
    """A format's names for a network of so many blocks."""

    def __init__(self, form: Format, keys: Collection[str]) -> None:
        """``keys`` of a file, which say how many blocks there are."""
        self._modules: list[Module] = []
        self.depths = tuple(_depth(form, stage, keys) for stage in range(STAGES))
        for stage, depth in enumerate(self.depths):
            at = {"s": stage + 1, "i": stage, "j": STAGES - 1 - stage}
            self._add((*form.stages, *form.branches), at, "", "")
            ours = "encoder.stage{s}.blocks.{b}."
            for block in range(depth):
                self._add(form.blocks, {**at, "b": block}, form.block, ours)
        self._add(form.heads, {}, "", "")

    def __contains__(self, module: str) -> bool:
        """Whether one of ours has a name here."""
        return any(module in one.ours for one in self._modules)

    def theirs(self, module: str) -> str:
        """The name of the weight of one of our modules."""
        return next(f"{one.theirs}weight" for one in self._modules if module in one.ours)

    def places(self, expected: Iterable[str]) -> dict[str, Place]:
        """Where each of their weights belongs, by its name, for all ``expected`` of ours."""
        leaves: dict[str, list[str]] = {}
        for key in expected:
            module, _, leaf = key.rpartition(".")
            leaves.setdefault(module, []).append(leaf)
        return {
            f"{one.theirs}{leaf}": Place(tuple(f"{name}.{leaf}" for name in one.ours), one.way)
            for one in self._modules
            for leaf in leaves.get(one.ours[0], ())
        }

    def _add(
        self, modules: Iterable[Module], at: Mapping[str, int], theirs: str, ours: str
    ) -> None:
        for one in modules:
            self._modules.append(Module(
                (theirs + one.theirs).format(**at),
                tuple((ours + name).format(**at) for name in one.ours),
                one.way,
            ))  # fmt: skip


def _depth(form: Format, stage: int, keys: Iterable[str]) -> int:
    """How many blocks the names speak of."""
    before, after = form.block.format(s=stage + 1, i=stage, b=" ").split(" ")
    block = re.compile(f"{re.escape(before)}([0-9]+){re.escape(after)}")
    return len({found[1] for key in keys if (found := block.match(key))})
