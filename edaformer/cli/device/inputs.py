"""What is to be labelled on a device: files of this machine, or words that mean something there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edaformer.errors import InputError

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")
_DRAWN = re.compile(r"scenes(:\d+)?")
_LIVE = re.compile(r"\d+|/dev/\S+|[a-z]+://.*|.* ! .*")


@dataclass(frozen=True)
class Inputs:
    """Of edaformer-run."""

    files: dict[str, Path]  # by their names there
    words: dict[str, str | None]  # as typed there; what outputs are called here, None: as there


def find_inputs(given: Sequence[str], limit: int | None) -> Inputs:
    """Files get names of ours; what is none goes as it is.

    Raises:
        InputError: if one names nothing, or would never end.
    """
    from edaformer.media.names import names_of, unique_keys

    files: dict[str, Path] = {}
    others: list[str] = []
    called: list[tuple[str, ...]] = []
    for text in given:
        for path, within in _files(text):
            files[f"input{len(files) + 1:04d}{_suffix(path)}"] = path
            called.append(names_of(path, within))
        if not Path(text).exists():
            others.append(_word(text, limit))
    keys = unique_keys(called)
    words: dict[str, str | None] = dict(zip(files, keys, strict=True))
    return Inputs(files, words | dict.fromkeys(others))


def _files(text: str) -> Iterator[tuple[Path, Path]]:
    """Each with the end of its path that was not written out."""
    from edaformer.media.video import VIDEO_SUFFIXES
    from edaformer.pictures import PICTURE_SUFFIXES

    path = Path(text)
    if path.is_file():
        yield path, Path(path.name)
        return
    if not path.is_dir():
        return
    known = {*PICTURE_SUFFIXES, *VIDEO_SUFFIXES}
    found = [one for one in sorted(path.rglob("*")) if one.suffix.lower() in known]
    if not found:
        raise InputError(f"expected pictures or videos in {path}, found none; check the path")
    for one in found:
        yield one, one.relative_to(path)


def _word(text: str, limit: int | None) -> str:
    if _DRAWN.fullmatch(text):
        return text
    if not _LIVE.fullmatch(text):
        raise InputError(
            f"expected a picture, a video or a folder of them at {text}, found nothing there; "
            "check the path"
        )
    if limit is None:
        raise InputError(f"{text} is a camera or stream and never ends; say when: --limit 100")
    return text


def _suffix(path: Path) -> str:
    return path.suffix.lower() if _SUFFIX.fullmatch(path.suffix) else ""
