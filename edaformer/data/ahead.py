"""Read samples ahead of whoever computes on them: in threads, in order, a few at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_WAITING = 2  # samples a worker may have ready beyond the one it reads


def read_ahead(load: Callable[[int], T], count: int, *, workers: int) -> Iterator[T]:
    """``load`` of 0 to ``count`` - 1, in this order.

    Threads serve because decoding, hashing and resizing release Python's lock. What a sample raises
    is raised at its turn.

    Args:
        load: done in the worker.
        count: of samples.
        workers: threads; 0 reads here and now.
    """
    if workers == 0:
        yield from map(load, range(count))
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="read-ahead")
    waiting: deque[Future[T]] = deque()
    try:
        for index in range(count):
            waiting.append(pool.submit(load, index))
            if len(waiting) > workers * (1 + _WAITING):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
