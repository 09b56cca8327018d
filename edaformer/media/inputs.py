"""What a person names as input, turned into sources.

    picture.jpg, clip.mp4          files; what is no video by its suffix is read as a picture
    folder                         the pictures and videos in it and below, by suffix, in the order
                                   of their names; hidden ones and linked folders are left out, and
                                   other files are, and said
    'shots/*.png', 'shots/**'      a pattern, for shells that do not expand it
    0, /dev/video0, rtsp://...     a camera by its index or device, a stream
    'nvarguscamerasrc ! ...'       a GStreamer pipeline that ends in appsink
    scenes, scenes:N               drawn street scenes, the first N (4) of the held-out ones
    reference:FILE                 the images of a reference file

A file or folder of that name wins over every other reading but a camera's index.
"""

from __future__ import annotations

import glob
import logging
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
from edaformer.media.frames import Frame, Source, never, numbered
from edaformer.media.live import LiveVideo
from edaformer.media.names import names_of, unique_keys
from edaformer.media.pictures import PictureFile
from edaformer.media.video import VIDEO_SUFFIXES, VideoFile
from edaformer.pictures import PICTURE_SUFFIXES, RAW_SUFFIXES

_SCENES = re.compile(r"scenes(?::(\d{1,6}))?")
_MAGIC = re.compile(r"[*?\[]")
_DEFAULT_SCENES = 4
_SHOWN = 4  # names of a longer list
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Samples:
    """The images of a data set: scenes as they are drawn, or those of a reference file."""

    data: Dataset
    key: str
    live = False
    needs = None

    @property
    def name(self) -> str:
        """Its kind."""
        return self.data.name.partition(":")[0]

    @property
    def count(self) -> int | None:
        """All there are."""
        return len(self.data)

    def frames(self, stop: Callable[[], bool] = never) -> Iterator[Frame]:
        """In their order."""
        del stop
        for index, sample in enumerate(self.data):
            yield Frame(sample.name, numbered(self.key, index), sample.image)


@dataclass(frozen=True)
class _Found:
    """Something an input names, before it is known what its outputs can be called."""

    what: str  # an absolute path, or the input's text: the same one is taken once
    names: tuple[str, ...]
    open: Callable[[str], Source]


@dataclass(frozen=True)
class Search:
    """How inputs are looked for."""

    size: tuple[int, int]  # (H, W) that scenes are drawn at
    leave_out: frozenset[Path] = frozenset()  # resolved folders: the outputs of an earlier run
    say: Callable[[str], None] = _log.warning  # hears what is left out, and of lost connections
    reconnect: int = 0  # attempts in a row, of live sources


def find_sources(
    inputs: Iterable[str],
    *,
    size: tuple[int, int],
    leave_out: Iterable[Path] = (),
    say: Callable[[str], None] = _log.warning,
    reconnect: int = 0,
) -> list[Source]:
    """Everything the inputs name, in their order; what is named twice comes once.

    Args:
        inputs: as the person wrote them.
        size: (H, W) that scenes are drawn at.
        leave_out: folders that are not searched: the outputs of an earlier run.
        say: hears which files of folders are left out, and of connections that are lost.
        reconnect: attempts in a row to open a live source again.

    Raises:
        InputError: if an input names nothing.
    """
    search = Search(size, frozenset(real_path(folder) for folder in leave_out), say, reconnect)
    found = {one.what: one for text in inputs for one in _find(text, search)}
    keys = unique_keys([one.names for one in found.values()])
    return [one.open(key) for one, key in zip(found.values(), keys, strict=True)]


def _find(text: str, search: Search) -> Iterable[_Found]:
    path = Path(text)
    if text.isascii() and text.isdigit():
        return [_live(text, f"camera-{text}", search)]
    if os.path.lexists(text):
        return _at(path, search)
    if "!" in text or "://" in text:
        return [_live(text, "pipeline" if "!" in text else "stream", search)]
    if scenes := _SCENES.fullmatch(text):
        count = int(scenes[1] or _DEFAULT_SCENES)
        return [_samples(text, open_dataset(f"scenes:{count}", search.size))]
    if text.startswith(f"{REFERENCE_KIND}:"):
        return [_samples(text, open_dataset(text, search.size))]
    if _MAGIC.search(text):
        return _matching(text, search)
    raise InputError(
        f"expected a picture, a video, a folder, a camera's number, a stream, a pipeline, "
        f"scenes or a reference, found nothing at '{text}'; check the path"
    )


def _at(path: Path, search: Search) -> list[_Found]:
    """What a path leads to."""
    if path.is_dir():
        return _in_folder(path, search)
    if path.is_char_device():
        return [_live(str(path), path.name, search)]
    return [_file(path, Path(path.name))]


def _live(text: str, key: str, search: Search) -> _Found:
    def open_it(unique: str) -> Source:
        return LiveVideo(text, unique, reconnect=search.reconnect, say=search.say)

    return _Found(text, (key,), open_it)


def _file(path: Path, within: Path) -> _Found:
    kind = VideoFile if path.suffix.lower() in VIDEO_SUFFIXES else PictureFile
    return _Found(os.path.abspath(path), names_of(path, within), partial(kind, path))  # noqa: PTH100


def _samples(text: str, data: Dataset) -> _Found:
    return _Found(text, (text.partition(":")[0],), partial(Samples, data))


def _in_folder(folder: Path, search: Search) -> list[_Found]:
    """Pictures and videos at any depth."""
    found: list[_Found] = []
    others: list[str] = []
    for at, folders, files in os.walk(folder, onerror=_refuse):
        below = Path(at)
        folders[:] = sorted(
            name for name in folders
            if not name.startswith(".") and real_path(below / name) not in search.leave_out
        )  # fmt: skip
        paths = [below / name for name in sorted(files) if not name.startswith(".")]
        found += [_file(path, path.relative_to(folder)) for path in paths if _is_medium(path)]
        others += [str(path.relative_to(folder)) for path in paths if not _is_medium(path)]
    _say_left_out(str(folder), others, search)
    if not found:
        raise InputError(
            f"{folder} holds no pictures or videos (known by their suffixes: .png, .jpg, .mp4, "
            "...); name another folder, or the files themselves"
        )
    return found


def _say_left_out(where: str, names: list[str], search: Search) -> None:
    if names:
        shown = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        count = "1 file that is" if len(names) == 1 else f"{len(names)} files that are"
        search.say(f"{where}: left out {count} no picture or video by suffix: {shown}")


def _refuse(error: OSError) -> None:
    raise InputError(
        f"the folder {error.filename} cannot be read ({error.strerror}); check its permissions"
    )


def _matching(pattern: str, search: Search) -> list[_Found]:
    matches = map(Path, sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207  # takes any text
    paths = [
        path for path in matches
        if path.is_file() and not search.leave_out & set(real_path(path).parents)
    ]  # fmt: skip
    found = [_file(path, Path(path.name)) for path in paths if _is_medium(path)]
    _say_left_out(f"'{pattern}'", [str(path) for path in paths if not _is_medium(path)], search)
    if not found:
        raise InputError(f"no picture or video matches '{pattern}'; check the pattern")
    return found


def _is_medium(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES | RAW_SUFFIXES
