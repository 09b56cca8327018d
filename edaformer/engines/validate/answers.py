"""What PyTorch answers, and all that decides it: the desk's half of a validation.

It is computed here and now (pytorch.py) or read from a file that was written where PyTorch and the
data are (saved.py). Whoever compares an artifact with it cannot tell the two apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edaformer.data import DataRecord, Dataset, Sample
from edaformer.engines.validate.procedure import Procedure
from edaformer.errors import DataError, InputError
from edaformer.evaluation.protocol import FitName, get_protocol
from edaformer.families.architecture import numbers
from edaformer.families.checkpoint import Checkpoint, prepared
from edaformer.labels.decide import Decision
from edaformer.manifest import Manifest
from edaformer.preprocess import Resize, format_size

Labels = NDArray[np.uint8]  # (H, W)


@dataclass(frozen=True)
class Answers:
    """What PyTorch float32 makes of an image."""

    base: Labels  # at base ISR
    reference: Decision  # at the artifact's; the same labels where that is base
    letter: Labels | None  # at the artifact's, to the letter; None: the reference went so
    framed: Labels | None = None  # at the artifact's, behind the checkpoint's own processor
    original: Labels | None = None  # of the checkpoint that this one was adapted from, at base ISR


class Setting(BaseModel):
    """All that decides the answers but PyTorch itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: DataRecord
    checkpoint_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    prepared: str | None = None  # what the checkpoint was taken for; older files do not say
    network: dict[str, str] = {}  # the sizes of its network, by name; older files do not say
    description: str  # of what computed
    isr_base: str
    isr: str
    size: tuple[int, int] | None  # (H, W) that the artifact takes; None: any
    align: int | None = Field(ge=1)
    protocol: Literal["native", "ade20k", "cityscapes"]
    scales: tuple[float, ...]
    flip: bool
    fit: FitName
    frames: Resize | None = None  # how the processor resizes, where frames are validated too
    # SHA-256 of the checkpoint that this one was adapted from, where that answers, too
    original: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")

    @property
    def procedure(self) -> Procedure:
        """How an image is given to the network.

        Raises:
            InputError: if the scales are no ratios.
        """
        protocol = get_protocol(self.protocol, scales=self.scales, flip=self.flip)
        return Procedure(protocol, self.size, self.fit)


class Source(Protocol):
    """Samples with their answers, one at a time."""

    setting: Setting
    origin: str  # of the answers, as a message names it

    def __len__(self) -> int: ...

    def answered(self) -> Iterator[tuple[Sample, Answers]]:
        """In the data's order; each time from the first on."""

    def shared(self) -> Shared:
        """For other processes.

        Raises:
            InputError: if it cannot be: it writes as it answers.
        """


class Shared(Protocol):
    """A Source that is sent to other processes: picklable, and open nowhere yet."""

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read when it is opened."""

    @property
    def kept(self) -> str:
        """What is there of finished images after a run that stopped, for a message."""

    def unit_files(self, index: int) -> tuple[Path, ...]:
        """What is read of one image."""

    def called(self, index: int) -> str:
        """The image's name."""

    def open(self, moves: Mapping[Path, Path]) -> Remote:
        """In the other process; ``moves`` says where files lie that are elsewhere."""

    def write(self, entries: Sequence[tuple[Path, bytes]]) -> None:
        """In the process that it came from: keep what another computed."""


class Remote(Protocol):
    """A Source in another process, which answers what it is asked."""

    def read(self, index: int) -> Any:
        """What can be had of an image without computing; called from several threads."""

    def answer(self, read: Any) -> tuple[Sample, Answers]:
        """The rest."""

    def take(self) -> Sequence[tuple[Path, bytes]]:
        """What is to be kept of the answers since this was last asked for."""

    def close(self) -> None:
        """Give back what it holds."""


def check_together(artifact: Path, manifest: Manifest, source: Source) -> None:
    """Refuse answers to other questions than the artifact is asked.

    Raises:
        InputError: naming what differs.
        DataError: if the classes differ.
    """
    setting = source.setting
    if manifest.checkpoint_sha256 != setting.checkpoint_sha256:
        raise InputError(
            f"{artifact} was exported from another checkpoint ({manifest.came_from}; "
            f"{source.origin} has {setting.checkpoint_sha256[:12]}...); name the one it came from"
        )
    own_size = None if manifest.input.dynamic_size else manifest.size
    differing = {
        "ISR": (manifest.isr, setting.isr),
        "size": (_size(own_size), _size(setting.size)),
        "normalisation": (_prepared(manifest), setting.prepared or _prepared(manifest)),
        "padding": (_padding(manifest.input.alignment), _padding(setting.align)),
    }
    if manifest.sizes is not None:  # else its name says them all
        own = numbers(manifest.sizes)
        differing |= {name: (own.get(name, said), said) for name, said in setting.network.items()}
    for what, (this, theirs) in differing.items():
        if this != theirs:
            raise InputError(
                f"{artifact} has {what} {this} and {source.origin} was made for {theirs}; make one "
                "for this artifact with --save-reference"
            )
    _check_classes(artifact, manifest, setting.data)


def check_classes(checkpoint: Checkpoint, data: Dataset) -> None:
    """Refuse data of another number of classes.

    Raises:
        DataError: naming both.
    """
    if checkpoint.num_classes != len(data.classes):
        raise DataError(
            f"{data.name} has {len(data.classes)} classes and {checkpoint.name} predicts "
            f"{checkpoint.num_classes}; use the data set it was trained on"
        )


def _prepared(manifest: Manifest) -> str:
    return prepared(manifest.input.normalisation, bgr=manifest.channels == "BGR")


def _check_classes(artifact: Path, manifest: Manifest, data: DataRecord) -> None:
    if manifest.num_classes != len(data.classes):
        raise DataError(
            f"{data.name} has {len(data.classes)} classes and {artifact} predicts "
            f"{manifest.num_classes}; use the data set it was trained on"
        )
    own = manifest.classes or ()
    at = other_name(own, data.classes)
    if at is not None:
        raise DataError(
            f"class {at} is '{data.classes[at]}' in {data.name} and "
            f"'{own[at]}' in {artifact}; use the data set it was trained on"
        )


def other_name(own: Sequence[str], theirs: Sequence[str]) -> int | None:
    """The first class that is called otherwise, but for case; names may be missing at the end."""
    folded = ([name.strip().casefold() for name in names] for names in (own, theirs))
    return next((at for at, (a, b) in enumerate(zip(*folded, strict=False)) if a != b), None)


def _size(size: tuple[int, int] | None) -> str:
    return "dynamic" if size is None else format_size(size)


def _padding(align: int | None) -> str:
    return "none" if align is None else f"to multiples of {align}"
