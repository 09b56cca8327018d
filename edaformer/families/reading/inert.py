"""What the objects of a file become: descriptions of tensors, dicts and lists, and the inert.

Nothing here keeps more of a file than it says, and no state of a file changes how it behaves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from typing_extensions import Self

_PLAIN = (str, int, float, bool, bytes, type(None))


@dataclass(frozen=True)
class Storage:
    """Where values lie."""

    dtype: str  # PyTorch's name, without ``torch.``
    key: str
    numel: int


@dataclass(frozen=True)
class Stored:
    """A tensor, as the file describes it; nothing about it is checked yet."""

    storage: Any
    offset: Any
    size: Any
    stride: Any
    dtype: str


@dataclass(frozen=True)
class OddTensor:
    """A tensor that is no dense one: ``sparse``, ``meta`` and so on."""

    kind: str


class Entries(dict[Any, Any]):
    """Any dict of the file: keys that are no plain values are passed over, not hashed."""

    def __init__(self, pairs: Iterable[tuple[Any, Any]] = ()) -> None:
        super().__init__()
        for key, value in pairs:
            self[key] = value

    def __setitem__(self, key: Any, value: Any) -> None:
        if type(key) in _PLAIN:  # a tuple of tuples would be hashed without end
            super().__setitem__(key, value)

    def __setstate__(self, state: object) -> None:
        """``_metadata`` of a state dict."""


class Inert:
    """What any other class, function or object becomes: it has a name, and does nothing."""

    named: ClassVar[str] = "object"

    def __new__(cls, *_: object, **__: object) -> Self:
        """Whatever it is given."""
        return object.__new__(cls)

    def __call__(self, *_: object) -> Inert:
        """What functions made of it are called for."""
        return self

    def __setitem__(self, key: object, value: object) -> None:
        """As a dict's."""

    def __setstate__(self, state: object) -> None:
        """Nothing is kept."""

    def append(self, value: object) -> None:
        """As a list's."""

    def extend(self, values: object) -> None:
        """As a list's."""

    def add(self, value: object) -> None:
        """As a set's."""


class Array(Inert):
    """NumPy's: palettes and names are lists of such."""

    _state: tuple[Any, ...] = ()

    def __setstate__(self, state: object) -> None:
        """(version, shape, dtype, Fortran order, bytes or list)."""
        self._state = state if isinstance(state, tuple) else ()

    def tolist(self) -> list[Any]:
        """Its values, nested by its shape.

        Raises:
            ValueError: if it holds no numbers or texts.
        """
        _, shape, dtype, fortran, raw = self._state
        if fortran or not isinstance(dtype, DType) or not isinstance(raw, bytes):
            raise ValueError("no array of numbers or texts")
        listed: list[Any] = np.frombuffer(raw, dtype.numpy).reshape(shape).tolist()
        return listed


class DType(Inert):
    """NumPy's dtype."""

    code: str = ""
    order: str = "="

    def __new__(cls, code: object = "", *_: object) -> Self:
        """``f8`` and the like."""
        made = object.__new__(cls)
        made.code = code if isinstance(code, str) else ""
        return made

    def __setstate__(self, state: object) -> None:
        """(version, byte order, ...)."""
        if isinstance(state, tuple) and len(state) > 1 and state[1] in {"<", ">", "|", "="}:
            self.order = state[1]

    @property
    def numpy(self) -> np.dtype[Any]:
        """Of numbers, truths and texts alone.

        Raises:
            ValueError: of anything else.
        """
        if self.code[:1] not in set("biufU") or not self.code[1:].isdigit():
            raise ValueError(f"no numbers or texts: {self.code}")
        return np.dtype(self.order.replace("|", "=") + self.code)
