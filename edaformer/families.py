"""The model families that the commands know: a folder each, and a row in FAMILIES.

docs/families.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edaformer import checkpoint, cost, files, layers
from edaformer.isr import ISR, Places
from edaformer.segformer import cost as segformer_cost
from edaformer.segformer import folder
from edaformer.segformer import layers as segformer_layers
from edaformer.segformer.sizes import SEGFORMERS
from edaformer.variants import VARIANTS

if TYPE_CHECKING:
    from edaformer.model.network import Network


Size = tuple[int, int]  # (H, W)


class Architecture(Protocol):
    """The sizes of one model, of whatever family: a frozen dataclass."""

    @property
    def family(self) -> str:
        """Its row in FAMILIES."""

    @property
    def name(self) -> str:
        """As manifests and file names call it: ``T``, ``segformer-b0``."""

    @property
    def title(self) -> str:
        """As people call it: ``EDAFormer-T``, ``SegFormer-B0``."""

    @property
    def places(self) -> Places:
        """Where it pools, and the ratios it was trained at."""

    @property
    def logits_stride(self) -> int:
        """Input pixels to a logit, in height and width."""

    @property
    def kept_maps(self) -> tuple[tuple[int, int], ...]:
        """(channels, stride) of the maps that wait for the decoder."""

    @property
    def attention_names(self) -> tuple[str, ...]:
        """The module names of all attention blocks, in the order they run."""


@dataclass(frozen=True)
class Family:
    """What a family brings."""

    variants: Mapping[str, Architecture]  # those with a name, for edaformer-info
    owns: Callable[[Path], bool]  # whether a path looks like a checkpoint of it
    load: Callable[[Path], checkpoint.Checkpoint]
    sha256: Callable[[Path], str]
    network: Callable[[Any, int, ISR], Network]  # of an architecture, classes and an ISR
    count: Callable[[Any, int, Size, ISR], cost.Cost]
    count_params: Callable[[Any, int], int]
    place_layers: Callable[[Any, Size, int, int], tuple[layers.Layer, ...]]  # one place
    fixed_layers: Callable[[Any, int, Size], tuple[layers.Layer, ...]]  # what no ratio changes


def _edaformer(variant: Any, num_classes: int, isr: ISR) -> Network:
    from edaformer.model import EDAFormer

    return EDAFormer(variant, num_classes, isr)


def _segformer(sizes: Any, num_classes: int, isr: ISR) -> Network:
    from edaformer.segformer.network import SegFormer

    return SegFormer(sizes, num_classes, isr)


def owner(path: Path) -> Family | None:
    """The family of the checkpoint at ``path``, by its looks; None where there is none."""
    return next((family for family in FAMILIES.values() if family.owns(path)), None)


def named(name: str) -> Architecture | None:
    """The architecture of this name, of whatever family; None where no family has one."""
    return next((f.variants[name] for f in FAMILIES.values() if name in f.variants), None)


def names() -> str:
    """All of them, for a sentence."""
    return ", ".join(name for family in FAMILIES.values() for name in family.variants)


FAMILIES = {
    "edaformer": Family(
        variants=VARIANTS,
        owns=Path.is_file,
        load=checkpoint.load_edaformer,
        sha256=files.sha256,
        network=_edaformer,
        count=cost.count_edaformer,
        count_params=cost.count_params_edaformer,
        place_layers=layers.place_layers_edaformer,
        fixed_layers=layers.fixed_layers_edaformer,
    ),
    "segformer": Family(
        variants=SEGFORMERS,
        owns=folder.owns,
        load=folder.load,
        sha256=folder.sha256,
        network=_segformer,
        count=segformer_cost.count,
        count_params=segformer_cost.count_params,
        place_layers=segformer_layers.place_layers,
        fixed_layers=segformer_layers.fixed_layers,
    ),
}
