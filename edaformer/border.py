"""The border: whatever a parser does over a user's file ends in that reader's sentence.

Behind it stands the call that takes foreign bytes apart, and nothing else, so that a mistake of our
own elsewhere still shows as one. Parsers raise what they like (``struct.error``, ``RuntimeError``,
``RecursionError``, classes that their packages do not export), so a list of types is never whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edaformer.errors import EdaformerError
from edaformer.printable import printable

_LONGEST = 200  # letters of a library's words; ONNX Runtime prints whole graphs


@contextmanager
def border(sentence: Callable[[str], EdaformerError]) -> Iterator[None]:
    """Turn any exception of the block into ``sentence`` of the parser's own words.

    What is an EdaformerError already passes, and so does what is no ``Exception``: an interrupt.

    Args:
        sentence: makes the reader's error, with the file's name and the fix, from one line that
            says what the parser said.
    """
    try:
        yield
    except EdaformerError:
        raise
    except Exception as reason:
        raise sentence(words(reason)) from reason


def words(reason: BaseException) -> str:
    """What an exception says, in one printable line of at most 200 letters."""
    said = (isinstance(reason, OSError) and reason.strerror) or str(reason)
    if isinstance(reason, MemoryError):
        said = "it asks for more memory than there is"
    elif isinstance(reason, RecursionError):
        said = "it is nested too deeply"
    line = printable(" ".join(said.split())) or type(reason).__name__
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
