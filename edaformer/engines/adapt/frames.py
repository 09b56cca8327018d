"""The unlabelled frames: pictures and data sets read when they are needed, videos thinned and kept.

Every frame has the size that it will be deployed at, as the deployed engine resizes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edaformer.data import Dataset, FileDataset, open_dataset
from edaformer.data.archive import image_sha256
from edaformer.data.datasets import names_dataset
from edaformer.errors import FrameError, InputError
from edaformer.files import sha256
from edaformer.labels.resize import resize_picture
from edaformer.media.frames import Pixels, Source
from edaformer.media.inputs import Samples, find_sources
from edaformer.media.pictures import PictureFile
from edaformer.pictures import read_picture
from edaformer.preprocess import Resize

LEAST = 8  # frames: two to hold out, the others to learn from
_KEPT_BYTES = 1 << 30  # of videos' frames
_HELD = 0.125  # of the frames
_WHOLE = (0.1, 0.34)  # how large a part whole videos or folders may be, to be held out as they are


class _Item(Protocol):
    """One frame, wherever it lies."""

    @property
    def group(self) -> str:
        """Its video or folder."""

    def pixels(self) -> Pixels:
        """RGB (h, w, 3) of any size."""

    def digest(self) -> str:
        """What tells it from any other."""


@dataclass(frozen=True)
class _OnDisk:
    path: Path

    @property
    def group(self) -> str:
        return str(self.path.parent)

    def pixels(self) -> Pixels:
        try:
            return read_picture(self.path).pixels
        except FrameError as error:
            raise FrameError(f"{self.path}: {error}; replace it or take it out") from error

    def digest(self) -> str:
        return sha256(self.path)


@dataclass(frozen=True)
class _InMemory:
    group: str
    image: Pixels

    def pixels(self) -> Pixels:
        return self.image

    def digest(self) -> str:
        return image_sha256(self.image)


@dataclass(frozen=True)
class _OfData:
    data: Dataset
    at: int

    @property
    def group(self) -> str:
        return self.data.name

    def pixels(self) -> Pixels:
        return self.data.load(self.at).image

    def digest(self) -> str:
        return image_sha256(self.pixels())


@dataclass(frozen=True)
class Frames:
    """All frames of a run, those to learn from and those held out."""

    learnt: tuple[_Item, ...]
    held: tuple[_Item, ...]
    size: tuple[int, int]  # (H, W) that each is given at
    resize: Resize
    sha256: str  # over all of them, in their order

    def __len__(self) -> int:
        return len(self.learnt) + len(self.held)

    def lesson(self, at: int) -> Pixels:
        """One to learn from: uint8 RGB (H, W, 3)."""
        return self._sized(self.learnt[at])

    def examples(self, most: int) -> Iterator[Pixels]:
        """Those held out, likewise; of more than ``most``, so many, evenly apart."""
        for at in _spread(len(self.held), most):
            yield self._sized(self.held[at])

    def _sized(self, item: _Item) -> Pixels:
        return resize_picture(item.pixels(), self.size, self.resize)


def find_frames(
    inputs: Iterable[str],
    size: tuple[int, int],
    resize: Resize,
    say: Callable[[str], None] = lambda _: None,
) -> Frames:
    """Everything the inputs name.

    Args:
        inputs: as ``edaformer-run`` takes them, live ones excepted, or a data set as ``--data``
            has it, whose labels are not looked at.
        size: (H, W), pixels, that the network is deployed at.
        resize: how frames of another size become that.
        say: hears what is left out.

    Raises:
        InputError: if there are fewer than LEAST frames, or one is live.
        FrameError: if one cannot be read.
    """
    found = [item for text in inputs for item in _items(text, size, resize, say)]
    if len(found) < LEAST:
        raise InputError(
            f"expected at least {LEAST} frames, a few of which are held out, found {len(found)}; "
            "name more with --frames"
        )
    learnt, held = _split(found)
    digest = hashlib.sha256("\n".join(item.digest() for item in found).encode()).hexdigest()
    return Frames(tuple(learnt), tuple(held), size, resize, digest)


def _items(
    text: str, size: tuple[int, int], resize: Resize, say: Callable[[str], None]
) -> list[_Item]:
    if names_dataset(text) and not Path(text).exists():
        return _of_data(open_dataset(text, size))
    return [
        item
        for source in find_sources([text], size=size, say=say)
        for item in _of_source(source, size, resize)
    ]


def _of_source(source: Source, size: tuple[int, int], resize: Resize) -> Sequence[_Item]:
    if source.live:
        raise InputError(
            f"frames are looked at many times and {source.name} goes by once; record it first: "
            "edaformer-run ... --video seen.mp4, and its input with it"
        )
    if isinstance(source, Samples):
        return _of_data(source.data)
    if isinstance(source, PictureFile) and source.count == 1:
        return [_OnDisk(source.path)]
    most = max(LEAST, _KEPT_BYTES // (size[0] * size[1] * 3))
    try:
        shown = (resize_picture(frame.pixels, size, resize) for frame in source.frames())
        return [_InMemory(source.name, image) for image in thinned(shown, most)]
    except FrameError as error:
        raise FrameError(f"{source.name}: {error}") from error


def _of_data(data: Dataset) -> list[_Item]:
    if isinstance(data, FileDataset):  # their labels are not even opened
        return [_OnDisk(image) for image, _ in data.pairs]
    return [_OfData(data, at) for at in range(len(data))]


def thinned(frames: Iterable[Pixels], most: int) -> list[Pixels]:
    """Frames evenly apart, at most ``most``, of however many there are."""
    kept: list[Pixels] = []
    step = 1
    for at, frame in enumerate(frames):
        if at % step:
            continue
        if len(kept) == most:
            kept, step = kept[::2], step * 2
            if at % step:
                continue
        kept.append(frame)
    return kept


def _split(found: list[_Item]) -> tuple[list[_Item], list[_Item]]:
    """Whole videos or folders where some make a fair part; else the last frames.

    Neighbours in a video are nearly the same picture, so frames in between are no exam.
    """
    sizes: dict[str, int] = {}
    for item in found:
        sizes[item.group] = sizes.get(item.group, 0) + 1
    least, most = (share * len(found) for share in _WHOLE)
    held: set[str] = set()
    count = 0
    for group in sorted(sizes, key=lambda name: (sizes[name], name)):
        if count < least and count + sizes[group] <= most:
            held.add(group)
            count += sizes[group]
    if count < least:
        last = max(2, round(_HELD * len(found)))
        return found[:-last], found[-last:]
    return (
        [item for item in found if item.group not in held],
        [item for item in found if item.group in held],
    )


def _spread(count: int, most: int) -> list[int]:
    """At most ``most`` of so many, evenly."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))
