"""The border: any parser's exception is the reader's sentence, and nothing else is."""

from __future__ import annotations

import struct

import pytest

from edaformer.border import border, words
from edaformer.errors import DataError, InputError


def sentence(why: str) -> DataError:
    return DataError(f"street.png cannot be read ({why}); replace it")


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (struct.error("unpack requires\n  4 bytes"), "unpack requires 4 bytes"),
        (RuntimeError(), "RuntimeError"),
        (PermissionError(13, "Permission denied", "/a/b"), "Permission denied"),
        (RecursionError("maximum recursion depth exceeded"), "it is nested too deeply"),
        (MemoryError(), "it asks for more memory than there is"),
        (ValueError("\x1b[2Jred\udcff"), r"\x1b[2Jred\udcff"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_exception_is_the_sentence(raised: Exception, said: str) -> None:
    with pytest.raises(DataError) as caught, border(sentence):
        raise raised
    assert str(caught.value) == f"street.png cannot be read ({said}); replace it"
    assert caught.value.__cause__ is raised


def test_a_sentence_and_an_interrupt_pass() -> None:
    with pytest.raises(InputError, match=r"^already said$"), border(sentence):
        raise InputError("already said")
    with pytest.raises(KeyboardInterrupt), border(sentence):
        raise KeyboardInterrupt


def test_words_are_short() -> None:
    said = words(ValueError("node " * 1000))
    assert len(said) == 200
    assert said.endswith("…")
