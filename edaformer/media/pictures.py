"""Picture files as sources of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edaformer.media.frames import Frame, never, numbered
from edaformer.pictures import MAY_BE_MANY, read_pictures


@dataclass(frozen=True)
class PictureFile:
    """A file with one picture, or an animation."""

    path: Path
    key: str
    live = False
    needs = None

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    @property
    def count(self) -> int | None:
        """One, unless its kind can hold more."""
        return None if self.path.suffix.lower() in MAY_BE_MANY else 1

    def frames(self, stop: Callable[[], bool] = never) -> Iterator[Frame]:
        """Each picture in the file.

        Raises:
            FrameError: if it is no picture, is damaged, or is too large to be one.
        """
        del stop
        time = 0.0
        for picture in read_pictures(self.path):
            if picture.index is None:
                yield Frame(self.name, self.key, picture.pixels)
                continue
            moving = picture.seconds is not None
            yield Frame(
                f"{self.name}, frame {picture.index}", numbered(self.key, picture.index),
                picture.pixels, 1 / picture.seconds if picture.seconds else None,
                time if moving else None,
            )  # fmt: skip
            time += picture.seconds or 0.0
