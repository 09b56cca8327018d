"""What Ray's own threads print goes to standard error: standard output is for results.

Ray tells of dead workers and nodes with ``print``, whatever its ``log_to_driver`` says.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

_THREADS = "ray_"  # Ray's threads in this process are named so


@contextmanager
def ray_aside() -> Iterator[None]:
    """Until the block ends."""
    with redirect_stdout(_Sorted(sys.stdout)):
        yield


class _Sorted:
    """Standard output, but for those threads."""

    def __init__(self, own: TextIO) -> None:
        self._own = own

    def write(self, text: str) -> int:
        return self._of_thread().write(text)

    def flush(self) -> None:
        self._of_thread().flush()

    def _of_thread(self) -> TextIO:
        return sys.stderr if threading.current_thread().name.startswith(_THREADS) else self._own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)
