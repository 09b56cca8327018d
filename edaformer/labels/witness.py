"""Witness frames: a few known answers that travel with an artifact, and are asked where it runs.

Made at export (edaformer.export.witness) and laid beside the ONNX file and every plan built from
it; the manifest holds the file's SHA-256. Of each frame it has PyTorch float32's labels and how
clearly they won. A pixel whose top two logits lie closer than rounding may move them is a tie and
may flip; any other flip means that the engine does not compute this network.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edaformer.data.archive import Archive, sealed
from edaformer.errors import DataError, NaNError
from edaformer.files import sha256, write_whole
from edaformer.labels.no_class import NO_CLASS
from edaformer.manifest import Manifest

KIND = "witness"
_LABELS, _MARGIN = "labels", "margin"

Frame = NDArray[np.uint8]  # RGB (H, W, 3)
Labels = NDArray[np.uint8]  # (H, W)


@dataclass(frozen=True)
class Known:
    """A frame and PyTorch's answer."""

    name: str
    frame: Frame
    labels: Labels
    margin: NDArray[np.float16]  # best less second-best logit, coarse: see coarse()
    tolerance: float  # of the margin: below it rounding may decide


class _About(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoint_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    isr: str
    tolerances: tuple[float, ...]


@dataclass(frozen=True)
class Failure:
    """What an artifact got wrong on a frame."""

    known: Known
    labels: Labels  # the artifact's
    pixels: int  # flipped beyond rounding
    margin: float  # the largest of them

    def __str__(self) -> str:
        share = self.pixels / self.labels.size
        return (
            f"on witness frame '{self.known.name}' {self.pixels} pixels ({share:.2%}) flipped, "
            f"with top two logits up to {self.margin:.3g} apart where rounding explains "
            f"{self.known.tolerance:.3g}"
        )


@dataclass(frozen=True)
class Trial:
    """What an artifact made of the witness frames."""

    frames: int
    ties: int  # pixels that flipped within rounding
    pixels: int  # in all
    failures: tuple[Failure, ...]

    @property
    def right(self) -> bool:
        """Whether no pixel flipped that rounding does not explain."""
        return not self.failures

    @property
    def worst(self) -> Failure:
        """The failure of most pixels."""
        return max(self.failures, key=lambda failure: failure.pixels)

    def to_json(self) -> dict[str, Any]:
        """The verdict, what flipped within rounding, and each frame that is wrong."""
        return {
            "right": self.right,
            "frames": self.frames,
            "pixels": self.pixels,
            "ties": self.ties,
            "failures": [
                {
                    "frame": failure.known.name,
                    "pixels": failure.pixels,
                    "margin": failure.margin,
                    "tolerance": failure.known.tolerance,
                }
                for failure in self.failures
            ],
        }

    def __str__(self) -> str:
        if self.right:
            return f"right on {self.frames} witness frames, {self.ties} rounding ties flipped"
        others = len(self.failures) - 1
        more = f"; {others} more frames are wrong" if others else ""
        return f"WRONG: {self.worst}{more}"


def witness_path(artifact: Path) -> Path:
    """``model.plan.witness`` beside ``model.plan``."""
    return artifact.with_name(f"{artifact.name}.witness")


def coarse(margin: NDArray[np.floating], tolerance: float) -> NDArray[np.float16]:
    """Margins in three significant bits: what a witness keeps.

    Those below the tolerance are rounded down and the others up, so that neither changes sides.
    """
    with np.errstate(over="ignore"):  # beyond half precision's range it is infinite
        half = margin.astype(np.float16)
    patterns = half.view(np.uint16)
    up = patterns + (-patterns & np.uint16(0xFF))  # infinity is a step of its own
    made: NDArray[np.uint16] = np.where(half < tolerance, patterns & np.uint16(0xFF00), up)
    return made.view(np.float16)


def witness_bytes(known: tuple[Known, ...], *, checkpoint_sha256: str, isr: str) -> bytes:
    """The file of these frames; ``isr`` is the setting that the answers are of."""
    tolerances = tuple(one.tolerance for one in known)
    about = _About(checkpoint_sha256=checkpoint_sha256, isr=isr, tolerances=tolerances)
    file = io.BytesIO()
    with sealed(file, KIND) as archive:
        archive.about = about.model_dump(mode="json")
        for one in known:
            margin = (one.margin.view(np.uint16) >> 8).astype(np.uint8)
            archive.add(one.name, one.frame, {_LABELS: one.labels, _MARGIN: margin})
    return file.getvalue()


def copy_witness(source: Path, target: Path) -> None:
    """Lay beside ``target`` what lies beside ``source``, or nothing where nothing lies there.

    Raises:
        InputError: if it cannot be written.
    """
    witness_path(target).unlink(missing_ok=True)
    if witness_path(source).is_file():
        write_whole(witness_path(target), witness_path(source).read_bytes())


def read_witness(artifact: Path, manifest: Manifest) -> tuple[Known, ...] | None:
    """The frames beside an artifact; None where it was exported without, or they are not there.

    Raises:
        DataError: if what lies there is damaged, or another artifact's.
    """
    path = witness_path(artifact)
    if manifest.witness_sha256 is None or not path.is_file():
        return None
    with Archive.open(path, KIND) as archive:
        found = sha256(path)
        if found != manifest.witness_sha256:
            raise DataError(
                f"{path} is another artifact's (SHA-256 {found[:12]}..., {artifact.name} names "
                f"{manifest.witness_sha256[:12]}...); copy the one from beside its ONNX file"
            )
        return tuple(_known(archive, manifest))


def _known(archive: Archive, manifest: Manifest) -> list[Known]:
    try:
        about = _About.model_validate(archive.about)
    except ValidationError as error:
        raise DataError(
            f"{archive.path} does not say what it holds; export the model again"
        ) from error
    same = (manifest.checkpoint_sha256, manifest.isr) == (about.checkpoint_sha256, about.isr)
    sizes = {(one.height, one.width) for one in archive.images}
    if not same or sizes != {manifest.size} or len(about.tolerances) != len(archive.images):
        raise DataError(f"{archive.path} is of another export; export the model again")
    return [
        Known(
            image.name,
            archive.pixels(at),
            archive.plane(at, _LABELS),
            (archive.plane(at, _MARGIN).astype(np.uint16) << 8).view(np.float16),
            about.tolerances[at],
        )
        for at, image in enumerate(archive.images)
    ]


def witness_state(artifact: Path, manifest: Manifest) -> str:
    """In a few words, without reading it."""
    if manifest.witness_sha256 is None:
        return "none: exported without"
    there = witness_path(artifact).is_file()
    return "beside it; --run asks it" if there else f"missing ({witness_path(artifact).name})"


def missing_witness(artifact: Path, manifest: Manifest) -> str:
    """Why there are no frames to try, and what to do."""
    if manifest.witness_sha256 is None:
        return f"{artifact.name} was exported without witness frames; export it again"
    name = witness_path(artifact).name
    return f"{name} is not beside {artifact.name}; copy it from where the artifact was made"


def try_frames(known: tuple[Known, ...], segment: Callable[[Frame], Labels]) -> Trial:
    """Ask ``segment``, uint8 (H, W, 3) to labels (H, W), for every frame; NaN is wrong."""
    ties = pixels = 0
    failures = []
    for one in known:
        try:
            labels = segment(one.frame)
            flipped = labels != one.labels
            damaged = flipped & ~(one.margin < one.tolerance)
        except NaNError:
            labels = np.full_like(one.labels, NO_CLASS)
            flipped = damaged = np.ones(labels.shape, np.bool_)
        count = int(np.count_nonzero(damaged))
        ties += int(np.count_nonzero(flipped)) - count
        pixels += labels.size
        if count:
            failures.append(Failure(one, labels, count, float(one.margin[damaged].max())))
    return Trial(len(known), ties, pixels, tuple(failures))
