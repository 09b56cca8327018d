"""The border: whatever a parser says of a user's file becomes one sentence with the file's name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edaformer.errors import CheckpointError, EdaformerError
from edaformer.families.checkpoint import printable

_LONGEST = 200  # characters of a library's own words


@contextmanager
def border(path: Path) -> Iterator[None]:
    """Around nothing but the reading of ``path``: our own bugs elsewhere still show.

    Raises:
        CheckpointError: for any exception, with the parser's own words.
    """
    try:
        yield
    except EdaformerError:
        raise
    except OSError as error:
        if error.errno is not None and error.filename is not None:  # the disk's, not the parser's
            raise
        raise _damaged(path, error) from error
    except Exception as error:  # whatever a parser raises when its input is hostile
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CheckpointError:
    words = " ".join(str(error).split())[:_LONGEST]
    said = printable(f"{type(error).__name__}: {words}" if words else type(error).__name__)
    return CheckpointError(
        f"{path} is damaged or cut short: it cannot be read as a checkpoint ({said}); copy it again"
    )
