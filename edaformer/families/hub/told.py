"""How far a download is, told in lines; huggingface_hub's own bars and warnings stay silent."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_EVERY = 3.0  # seconds


def bar(name: str, tell: Callable[[str], None]) -> type[Any]:
    """A class for huggingface_hub's ``tqdm_class`` that draws nothing and tells of bytes."""
    from huggingface_hub.utils import tqdm

    class Told(tqdm):  # type: ignore[misc]  # it is untyped
        """Switched off, so that it writes to no terminal and starts no thread."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})
            self.total = kwargs.get("total")
            self._done, self._said_at = kwargs.get("initial") or 0, time.monotonic()

        def update(self, n: float | None = 1) -> None:
            self._done += n or 0
            if time.monotonic() - self._said_at >= _EVERY:
                self._said_at = time.monotonic()
                of = f" of {self.total / 1e6:.1f}" if self.total else ""
                tell(f"fetching {name}: {self._done / 1e6:.1f}{of} MB")

    return Told


@contextmanager
def hushed() -> Iterator[None]:
    """Without the library's warnings: what goes wrong is said by an error, once.

    Whoever has set its logger to more than warnings hears them as ever.
    """
    from huggingface_hub.utils import logging as theirs  # sets its level when it is imported

    logger = theirs.get_logger()
    before = logger.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="huggingface_hub")
        if before >= logging.WARNING:
            logger.setLevel(logging.ERROR + 1)
        try:
            yield
        finally:
            logger.setLevel(before)
