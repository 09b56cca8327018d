"""Three of Ray's nodes on this machine, however long they take to be there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from unittest import mock

_PATIENCE = 300.0  # seconds for a node to be registered: Ray itself gives it 30


@contextmanager
def three_nodes() -> Iterator[Any]:
    """A cluster of a core each; Ray's own limit does not fit a machine with other work."""
    from ray._private import services
    from ray.cluster_utils import Cluster

    get_node = services.get_node

    def patient(*args: Any, **options: Any) -> Any:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            with suppress(RuntimeError):
                return get_node(*args, **options)
            time.sleep(0.2)
        return get_node(*args, **options)

    with mock.patch.object(services, "get_node", patient):
        options = {"num_cpus": 1, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=options)
        try:
            for _ in range(2):
                cluster.add_node(num_cpus=1)
            yield cluster
        finally:
            cluster.shutdown()
