"""The model families that the commands know: a folder each, a row here, and the questions to ask.

Nothing else in the package names a family but the exact rewrites, each of which is made for a piece
of one. docs/families.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edaformer.errors import CheckpointError, require
from edaformer.families.architecture import Architecture
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.convolutional import cost as convolutional_cost
from edaformer.families.convolutional import loader as convolutional_loader
from edaformer.families.convolutional.sizes import CALLED, NETWORKS, ConvolutionalSizes
from edaformer.families.cost import Cost, Size
from edaformer.families.edaformer import adapted_file
from edaformer.families.edaformer import cost as edaformer_cost
from edaformer.families.edaformer import layers as edaformer_layers
from edaformer.families.edaformer import loader as edaformer_loader
from edaformer.families.edaformer.sizes import VARIANTS, get_variant
from edaformer.families.feedformer import cost as feedformer_cost
from edaformer.families.feedformer import layers as feedformer_layers
from edaformer.families.feedformer import loader as feedformer_loader
from edaformer.families.feedformer.sizes import FEEDFORMERS, FeedFormerSizes
from edaformer.families.given import Given, turned_round
from edaformer.families.hub.fetch import Fetched, fetch
from edaformer.families.identity import hint, hub_id
from edaformer.families.layers import Layer
from edaformer.families.segformer import adapted as segformer_adapted
from edaformer.families.segformer import cost as segformer_cost
from edaformer.families.segformer import layers as segformer_layers
from edaformer.families.segformer import loader as segformer_loader
from edaformer.families.segformer.sizes import SEGFORMERS, SegFormerSizes
from edaformer.isr import ISR

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.adapted import Adapted
    from edaformer.families.network import Network

# of the families whose variant's name alone does not say them all; ``family`` tells them apart
RecordedSizes = SegFormerSizes | FeedFormerSizes | ConvolutionalSizes


@dataclass(frozen=True)
class Family:
    """What a family brings."""

    variants: Mapping[str, Architecture]  # those with a name, for edaformer-info
    owns: Callable[[Path], bool]  # whether a path looks like a checkpoint of it
    load: Callable[[Path, Given], Checkpoint]  # given: for what the file does not say itself
    sha256: Callable[[Path], str]
    network: Callable[[Any, int, ISR], Network]  # of an architecture, classes and an ISR
    count: Callable[[Any, int, Size, ISR], Cost]
    count_params: Callable[[Any, int], int]
    place_layers: Callable[[Any, Size, int, int], tuple[Layer, ...]]  # one place
    fixed_layers: Callable[[Any, int, Size], tuple[Layer, ...]]  # what no ratio changes
    save_adapted: Callable[[Checkpoint, Mapping[str, Tensor], Adapted, Path], None]
    any_file: bool = False  # it owns every file that no other does, and says what is wrong with it
    called: str = ""  # how its variants' names are made, where there are too many for a sentence


# The first that owns a path has it: SegFormer takes whatever has its encoder and no other decoder
FAMILIES = {
    "edaformer": Family(
        variants=VARIANTS,
        owns=edaformer_loader.owns,
        load=edaformer_loader.load,
        sha256=edaformer_loader.sha256,
        network=edaformer_loader.network,
        count=edaformer_cost.count,
        count_params=edaformer_cost.count_params,
        place_layers=edaformer_layers.place_layers,
        fixed_layers=edaformer_layers.fixed_layers,
        save_adapted=adapted_file.save_adapted,
        any_file=True,
    ),
    "feedformer": Family(
        variants=FEEDFORMERS,
        owns=feedformer_loader.owns,
        load=feedformer_loader.load,
        sha256=feedformer_loader.sha256,
        network=feedformer_loader.network,
        count=feedformer_cost.count,
        count_params=feedformer_cost.count_params,
        place_layers=feedformer_layers.place_layers,
        fixed_layers=feedformer_layers.fixed_layers,
        save_adapted=feedformer_loader.save_adapted,
    ),
    "convolutional": Family(
        variants=NETWORKS,
        owns=convolutional_loader.owns,
        load=convolutional_loader.load,
        sha256=convolutional_loader.sha256,
        network=convolutional_loader.network,
        count=convolutional_cost.count,
        count_params=convolutional_cost.count_params,
        place_layers=convolutional_cost.place_layers,
        fixed_layers=convolutional_cost.fixed_layers,
        save_adapted=convolutional_loader.save_adapted,
        called=CALLED,
    ),
    "segformer": Family(
        variants=SEGFORMERS,
        owns=segformer_loader.owns,
        load=segformer_loader.load,
        sha256=segformer_loader.sha256,
        network=segformer_loader.network,
        count=segformer_cost.count,
        count_params=segformer_cost.count_params,
        place_layers=segformer_layers.place_layers,
        fixed_layers=segformer_layers.fixed_layers,
        save_adapted=segformer_adapted.save_adapted,
    ),
}


def owner(path: Path) -> Family | None:
    """The family of the checkpoint at ``path``, by its looks; None where there is none."""
    asked = sorted(FAMILIES.values(), key=lambda family: family.any_file)
    return next((family for family in asked if family.owns(path)), None)


def named(name: str) -> Architecture | None:
    """The architecture of this name, of whatever family; None where no family has one."""
    return next((f.variants[name] for f in FAMILIES.values() if name in f.variants), None)


def names() -> str:
    """All of them, for a sentence."""
    return ", ".join(family.called or ", ".join(family.variants) for family in FAMILIES.values())


def recorded(variant: str, sizes: RecordedSizes | None) -> Architecture:
    """The architecture that a manifest records; without sizes it is an EDAFormer's name.

    Raises:
        InputError: for a variant that this version does not know.
    """
    return sizes or get_variant(variant)


@dataclass(frozen=True)
class Found:
    """A checkpoint that is here, not yet read: a file or folder, or what was fetched of the Hub."""

    path: Path
    fetched: Fetched | None = None

    @property
    def sha256(self) -> str:
        """The hash by which artifacts know it, without reading its weights into a model."""
        return _family(self.path).sha256(self.path) if self.fetched is None else self.fetched.sha256

    @property
    def name(self) -> str:
        """Its file's or folder's, or the model's on the Hub."""
        return self.path.name if self.fetched is None else self.fetched.hub.name

    @property
    def called(self) -> str:
        """What to type for it again."""
        return str(self.path) if self.fetched is None else self.fetched.hub.pinned


Source = str | Path | Found


def find_checkpoint(source: Source, tell: Callable[[str], None] = lambda _: None) -> Found:
    """Find a checkpoint before anything is loaded; an id of the Hugging Face Hub is fetched.

    Args:
        source: a file or a folder, or ``owner/name`` or ``owner/name@revision`` of a model on the
            Hub; a path that exists always wins (``families.identity``).
        tell: hears what is asked for and fetched.

    Raises:
        CheckpointError: if nothing there looks like one, here or on the Hub.
        InputError: if what is fetched cannot be written.
        MissingError: without what fetching needs.
    """
    if isinstance(source, Found):
        return source
    wanted = hub_id(source)
    if wanted is None:
        _family(Path(source))
        return Found(Path(source))
    fetched = fetch(wanted, tell)
    _family(fetched.folder)
    return Found(fetched.folder, fetched)


def checkpoint_sha256(source: Source) -> str:
    """The hash by which artifacts know a checkpoint, without reading its weights into a model.

    Raises:
        EdaformerError: if there is none, as ``find_checkpoint`` says.
    """
    return find_checkpoint(source).sha256


def load_checkpoint(
    source: Source, given: Given | None = None, tell: Callable[[str], None] = lambda _: None
) -> Checkpoint:
    """Read and check a checkpoint of any family; nothing in it is executed.

    Args:
        source: a file or a folder, or an id of the Hugging Face Hub, as ``find_checkpoint`` has it.
        given: what overrules the file: a person's options, or an artifact's record
            (``manifest.given``).
        tell: hears what is fetched.

    Raises:
        CheckpointError: if it is not a complete, sound checkpoint.
        InputError: if what is given does not fit it.
        MissingError: without torch (or safetensors, or another package that the format needs), or
            without what fetching needs.
    """
    require("torch", "export")
    found = find_checkpoint(source, tell)
    loaded = _family(found.path).load(found.path, given or Given())
    if found.fetched is not None:
        loaded = replace(loaded, hub=found.fetched.hub, sha256=found.fetched.sha256)
    return loaded if given is None else given.over(loaded)


def save_adapted(
    checkpoint: Checkpoint, state: Mapping[str, Tensor], record: Adapted, path: Path
) -> None:
    """Write adapted weights as ``checkpoint`` was written: its format, its names, its types.

    Args:
        checkpoint: the source, as loaded.
        state: the adapted weights, by our names.
        record: how they came about.
        path: of the new file or folder.

    Raises:
        InputError: if it cannot be written.
    """
    own = turned_round(replace(checkpoint, state=dict(state))).state if checkpoint.bgr else state
    FAMILIES[checkpoint.variant.family].save_adapted(checkpoint, own, record, path)


def _family(path: Path) -> Family:
    family = owner(path)
    if family is not None:
        return family
    what = "a folder" if path.is_dir() else "nothing there"
    raise CheckpointError(
        f"expected a checkpoint file at {path}, found {what}; check the path"
        f"{'' if path.is_dir() else hint(path)}"
    )


def count(variant: Architecture, num_classes: int, size: Size, isr: ISR | None = None) -> Cost:
    """Count one image of ``size`` (H, W) pixels, padding included; ``isr`` None is its base.

    Raises:
        ISRError: if a feature map cannot hold one pooling window.
    """
    isr = isr or variant.places.base
    isr.check_fits(*size)
    return FAMILIES[variant.family].count(variant, num_classes, size, isr)


def count_params(variant: Architecture, num_classes: int) -> int:
    """Trainable parameters."""
    return FAMILIES[variant.family].count_params(variant, num_classes)


def layers(
    variant: Architecture, num_classes: int, size: Size, isr: ISR | None = None
) -> tuple[Layer, ...]:
    """All layers at an input of ``size`` (H, W) pixels, padding included; ``isr`` None is base.

    Raises:
        ISRError: if a feature map cannot hold one pooling window.
    """
    isr = isr or variant.places.base
    isr.check_fits(*size)
    made = [place_layers(variant, size, at, ratio) for at, ratio in enumerate(isr.ratios)]
    return (
        *(layer for place in made for layer in place),
        *fixed_layers(variant, num_classes, size),
    )


def place_layers(variant: Architecture, size: Size, place: int, ratio: int) -> tuple[Layer, ...]:
    """The layers of one of the variant's places, pooled by ``ratio``."""
    return FAMILIES[variant.family].place_layers(variant, size, place, ratio)


def fixed_layers(variant: Architecture, num_classes: int, size: Size) -> tuple[Layer, ...]:
    """What no ratio changes."""
    return FAMILIES[variant.family].fixed_layers(variant, num_classes, size)
