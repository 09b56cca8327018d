"""The sizes of a network off the shapes of its weights, whatever their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edaformer.errors import CheckpointError, InputError
from edaformer.families.checkpoint import some
from edaformer.families.formats.backbones import linear
from edaformer.families.formats.naming import STAGES, Format, Naming
from edaformer.families.mit.sizes import MAX_CLASSES, Four

if TYPE_CHECKING:
    from torch import Tensor

_COLOURS = 3


@dataclass(frozen=True)
class Shapes:
    """What shapes say: everything but heads and strides."""

    widths: Four
    depths: Four
    ratios: Four
    mlp_ratios: Four
    patches: Four
    num_classes: int
    # of the weight of any module of ours, by its name; what is not there is refused
    of: Callable[[str], tuple[int, ...]]


@contextmanager
def fitting(path: Path, family: str) -> Iterator[None]:
    """Sizes that no network of the family has are told as the fault of the weights in ``path``."""
    try:
        yield
    except InputError as error:
        found = str(error).rpartition(";")[0]
        raise CheckpointError(
            f"the shapes of the weights in {path} are no {family}'s: {found}; use a complete "
            "checkpoint"
        ) from error


def read_shapes(path: Path, form: Format, naming: Naming, tensors: Mapping[str, Tensor]) -> Shapes:
    """Read a few weights' shapes; that all others fit them is checked later.

    Raises:
        CheckpointError: if one of these is missing or of a shape that no network of MiT has.
    """
    reading = _Reading(path, form, naming, tensors)
    stages = [f"encoder.stage{number}" for number in range(1, STAGES + 1)]
    embeddings = [reading.shape(f"{stage}.embed.proj", 4) for stage in stages]
    if embeddings[0][1] != _COLOURS:
        raise CheckpointError(
            f"{path} takes images of {embeddings[0][1]} channels "
            f"({naming.theirs('encoder.stage1.embed.proj')} is {embeddings[0]}); expected "
            f"{_COLOURS}, RGB: no other number is supported"
        )
    if not all(naming.depths):
        raise reading.misfit(f"stages of {naming.depths} blocks, where each has at least one")
    widths = tuple(shape[0] for shape in embeddings)
    hidden = [reading.shape(f"{stage}.blocks.0.mlp.fc1")[0] for stage in stages]
    if any(width < 1 or wide % width for width, wide in zip(widths, hidden, strict=True)):
        raise reading.misfit(f"MLPs of {hidden} on {list(widths)} channels, no whole multiples")
    classes = reading.shape("decoder.classify", 4)[0]
    if not 1 <= classes <= MAX_CLASSES:
        raise reading.misfit(f"{classes} classes, where 1 to {MAX_CLASSES} are supported")
    return Shapes(
        cast(Four, widths),
        cast(Four, naming.depths),
        cast(Four, tuple(reading.ratio(f"{stage}.blocks.0") for stage in stages)),
        cast(Four, tuple(n // width for n, width in zip(hidden, widths, strict=True))),
        cast(Four, tuple(shape[2] for shape in embeddings)),
        classes,
        reading.shape,
    )


@dataclass(frozen=True)
class _Reading:
    path: Path
    form: Format
    naming: Naming
    tensors: Mapping[str, Tensor]

    def shape(self, module: str, dimensions: int | None = None) -> tuple[int, ...]:
        """Of a module's weight."""
        name = self.naming.theirs(module)
        if name not in self.tensors:
            raise CheckpointError(
                f"{self.path} is no complete checkpoint of {self.form.title}: expected {name} "
                f"among its {len(self.tensors)} weights, found {some(self.tensors)}; save the "
                "whole network's state_dict()"
            )
        shape = tuple(self.tensors[name].shape)
        if not shape or (dimensions is not None and len(shape) != dimensions):
            raise self.misfit(f"{name} of shape {shape}")
        return shape

    def ratio(self, block: str) -> int:
        """The kernel of its sequence reduction; 1 where it has none."""
        module = f"{block}.attention.reduction.conv"
        if module not in self.naming or self.naming.theirs(module) not in self.tensors:
            return 1
        kernel = self.shape(module, 4)[2]
        if kernel == 1:
            raise linear(self.path)
        return kernel

    def misfit(self, found: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path} has {found}, which is no network of {self.form.title}; use a complete "
            "checkpoint of it"
        )
