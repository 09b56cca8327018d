"""Read samples ahead of whoever computes on them: in threads, in order, a few at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from edaformer.data.datasets import Dataset, Sample

T = TypeVar("T")
_WAITING = 2  # samples a worker may have ready beyond the one it reads


def read_ahead(data: Dataset, prepare: Callable[[Sample], T], *, workers: int) -> Iterator[T]:
    """``prepare`` of every sample, in the data set's order.

    Threads serve because decoding, hashing and resizing release Python's lock. What a sample raises
    is raised at its turn.

    Args:
        data: what to read.
        prepare: done in the worker, after reading.
        workers: threads; 0 reads here and now.
    """
    if workers == 0:
        yield from (prepare(sample) for sample in data)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="read-ahead")
    waiting: deque[Future[T]] = deque()
    try:
        for index in range(len(data)):
            waiting.append(pool.submit(lambda at: prepare(data.load(at)), index))
            if len(waiting) > workers * (1 + _WAITING):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
