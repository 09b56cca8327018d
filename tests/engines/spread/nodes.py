"""Three of Ray's nodes on this machine.

A node that is not there after half a minute gives up, or its raylet does, whatever else the machine
has to do; another one is begun then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_TRIES = 8


@contextmanager
def three_nodes() -> Iterator[Any]:
    """A cluster of a core each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for _ in range(3):
            add_node(cluster)
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Any) -> None:
    """One more; the first is the head."""
    for _ in range(_TRIES - 1):
        with suppress(Exception):
            cluster.add_node(num_cpus=1, include_dashboard=False)
            return
    cluster.add_node(num_cpus=1, include_dashboard=False)
