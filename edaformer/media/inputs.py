"""What a person names as input, turned into sources.

    picture.jpg, clip.mp4          files; what is no video by its suffix is read as a picture
    folder                         the pictures and videos in it and below, by suffix, in the order
                                   of their names; hidden ones and linked folders are left out
    'shots/*.png', 'shots/**'      a pattern, for shells that do not expand it
    0, /dev/video0, rtsp://...     a camera by its index or device, a stream
    'nvarguscamerasrc ! ...'       a GStreamer pipeline that ends in appsink
    scenes, scenes:N               drawn street scenes, the first N (4) of the held-out ones
    reference:FILE                 the images of a reference file

A file or folder of that name wins over every other reading but a camera's index.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edaformer.data import Dataset, open_dataset
from edaformer.data.datasets import REFERENCE_KIND
from edaformer.errors import InputError
from edaformer.files import real_path
from edaformer.media.frames import Frame, Source, numbered
from edaformer.media.names import names_of, unique_keys
from edaformer.media.pictures import PICTURE_SUFFIXES, PictureFile
from edaformer.media.video import VIDEO_SUFFIXES, LiveVideo, VideoFile

_SCENES = re.compile(r"scenes(?::(\d{1,6}))?")
_MAGIC = re.compile(r"[*?\[]")
_DEFAULT_SCENES = 4


@dataclass(frozen=True)
class Samples:
    """The images of a data set: scenes as they are drawn, or those of a reference file."""

    data: Dataset
    key: str
    live = False
    uses_opencv = False

    @property
    def name(self) -> str:
        """Its kind."""
        return self.data.name.partition(":")[0]

    @property
    def count(self) -> int | None:
        """All there are."""
        return len(self.data)

    def frames(self) -> Iterator[Frame]:
        """In their order."""
        for index, sample in enumerate(self.data):
            yield Frame(sample.name, numbered(self.key, index), sample.image)


@dataclass(frozen=True)
class _Found:
    """Something an input names, before it is known what its outputs can be called."""

    what: str  # an absolute path, or the input's text: the same one is taken once
    names: tuple[str, ...]
    open: Callable[[str], Source]


def find_sources(
    inputs: Iterable[str], *, size: tuple[int, int], leave_out: Iterable[Path] = ()
) -> list[Source]:
    """Everything the inputs name, in their order; what is named twice comes once.

    Args:
        inputs: as the person wrote them.
        size: (H, W) that scenes are drawn at.
        leave_out: folders that are not searched: the outputs of an earlier run.

    Raises:
        InputError: if an input names nothing.
    """
    skipped = {real_path(folder) for folder in leave_out}
    found = {one.what: one for text in inputs for one in _find(text, size, skipped)}
    keys = unique_keys([one.names for one in found.values()])
    return [one.open(key) for one, key in zip(found.values(), keys, strict=True)]


def _find(text: str, size: tuple[int, int], skipped: set[Path]) -> Iterable[_Found]:
    path = Path(text)
    if text.isascii() and text.isdigit():
        return [_live(text, f"camera-{text}")]
    if os.path.lexists(text):
        return _at(path, skipped)
    if "!" in text or "://" in text:
        return [_live(text, "pipeline" if "!" in text else "stream")]
    if scenes := _SCENES.fullmatch(text):
        count = int(scenes[1] or _DEFAULT_SCENES)
        return [_samples(text, open_dataset(f"scenes:{count}", size))]
    if text.startswith(f"{REFERENCE_KIND}:"):
        return [_samples(text, open_dataset(text, size))]
    if _MAGIC.search(text):
        return _matching(text, skipped)
    raise InputError(
        f"expected a picture, a video, a folder, a camera's number, a stream, a pipeline, "
        f"scenes or a reference, found nothing at '{text}'; check the path"
    )


def _at(path: Path, skipped: set[Path]) -> list[_Found]:
    """What a path leads to."""
    if path.is_dir():
        return _in_folder(path, skipped)
    if path.is_char_device():
        return [_live(str(path), path.name)]
    return [_file(path, Path(path.name))]


def _live(text: str, key: str) -> _Found:
    return _Found(text, (key,), partial(LiveVideo, text))


def _file(path: Path, within: Path) -> _Found:
    kind = VideoFile if path.suffix.lower() in VIDEO_SUFFIXES else PictureFile
    return _Found(os.path.abspath(path), names_of(path, within), partial(kind, path))  # noqa: PTH100


def _samples(text: str, data: Dataset) -> _Found:
    return _Found(text, (text.partition(":")[0],), partial(Samples, data))


def _in_folder(folder: Path, skipped: set[Path]) -> list[_Found]:
    """Pictures and videos at any depth."""
    found: list[_Found] = []
    for at, folders, files in os.walk(folder, onerror=_refuse):
        below = Path(at)
        folders[:] = sorted(
            name for name in folders
            if not name.startswith(".") and real_path(below / name) not in skipped
        )  # fmt: skip
        paths = [below / name for name in sorted(files) if not name.startswith(".")]
        found += [_file(path, path.relative_to(folder)) for path in paths if _is_medium(path)]
    if not found:
        raise InputError(
            f"{folder} holds no pictures or videos (known by their suffixes: .png, .jpg, .mp4, "
            "...); name another folder, or the files themselves"
        )
    return found


def _refuse(error: OSError) -> None:
    raise InputError(
        f"the folder {error.filename} cannot be read ({error.strerror}); check its permissions"
    )


def _matching(pattern: str, skipped: set[Path]) -> list[_Found]:
    paths = map(Path, sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207  # takes any text
    found = [
        _file(path, Path(path.name))
        for path in paths
        if _is_medium(path) and path.is_file() and not skipped & set(real_path(path).parents)
    ]
    if not found:
        raise InputError(f"no picture or video matches '{pattern}'; check the pattern")
    return found


def _is_medium(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES
