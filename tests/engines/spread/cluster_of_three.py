"""Three nodes of Ray on this machine, and what is done to them: run as a program of its own.

Ray leaves warnings and threads of many kinds in the process that begins it, which the tests' own
process does not allow. A line is printed for every case that holds.

    python -m tests.engines.spread.cluster_of_three tiny.onnx
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from edaformer.engines.spread.spread import Spread
from edaformer.errors import DataError, InputError, WorkerError
from tests.engines.spread.nodes import three_nodes
from tests.engines.spread.toy import Toy
from tests.engines.spread.whole import Whole


def squares(toy: Toy, count: int, spread: Spread) -> dict[int, int]:
    made: dict[int, int] = {}
    with spread.hired(toy, count, ahead=1) as hired:
        for unit, (value, _) in hired.over(range(count)):
            assert unit not in made
            made[unit] = value
    return made


def all_three_nodes_work(cluster: Any, tmp_path: Path) -> None:
    spread = Spread("ray", address="auto")
    made = squares(Toy(tmp_path, seconds=0.2), 30, spread)
    assert made == {unit: unit * unit for unit in range(30)}
    assert sum(share["images"] for share in spread.team.to_json()) == 30
    assert len(spread.team.to_json()) == 3


def a_killed_worker_costs_what_it_had_in_hand(cluster: Any, tmp_path: Path) -> None:
    spread = Spread("ray", address="auto")
    made = squares(Toy(tmp_path, kills=(3,), times=2), 9, spread)
    assert made == {unit: unit * unit for unit in range(9)}
    assert spread.team.deaths == 2


def what_kills_three_workers_is_named(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="3 workers died of number 2;"):
        squares(Toy(tmp_path, kills=(2,), times=99), 5, Spread("ray", 2, "auto"))


def an_error_is_told_as_one_process_would(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="number 1 cannot be read"):
        squares(Toy(tmp_path, fails=(1,)), 4, Spread("ray", 2, "auto"))


def a_file_that_is_not_there_comes_through_the_store(cluster: Any, tmp_path: Path) -> None:
    """The driver's hash is of other bytes than the workers find: they are sent the driver's."""
    from edaformer.engines.spread import on_ray
    from edaformer.engines.spread.carried import Carried

    path = tmp_path / "file"
    path.write_bytes(bytes([1, 2, 3]))
    other = lambda paths: tuple(Carried(p, "0" * 64) for p in paths)  # noqa: E731
    with mock.patch.object(on_ray, "carry", other):
        made = squares(Toy(tmp_path, file=path), 4, Spread("ray", 2, "auto"))
    assert made == {unit: unit * unit + 6 for unit in range(4)}


def gpus_that_are_not_there_are_asked_for_in_words(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="runs on a GPU, and Ray's cluster has none"):
        squares(Toy(tmp_path, needs_gpu=True), 2, Spread("ray", address="auto"))


def a_tuning_is_that_of_one_process(cluster: Any, tmp_path: Path) -> None:
    whole, spread = Whole(Path(sys.argv[1]), tmp_path), Spread("ray", address="auto")
    assert whole.tuned("spread", spread) == whole.tuned("alone", None)
    assert len(spread.team.to_json()) == 3


def a_validation_is_that_of_one_process(cluster: Any, tmp_path: Path) -> None:
    whole, spread = Whole(Path(sys.argv[1]), tmp_path), Spread("ray", 2, "auto")
    assert whole.validated("spread", spread) == whole.validated("alone", None)
    assert sum(share["images"] for share in spread.team.to_json()) == len(whole.data)


def a_node_that_is_killed_costs_what_it_had_in_hand(cluster: Any, tmp_path: Path) -> None:
    spread = Spread("ray", address="auto")
    made: dict[int, int] = {}
    killed = None
    with spread.hired(Toy(tmp_path, seconds=0.3), 40, ahead=1) as hired:
        for unit, (value, _) in hired.over(range(40)):
            assert unit not in made
            made[unit] = value
            if len(made) == 6:
                node = cluster.worker_nodes.copy().pop()
                killed = node.all_processes["raylet"][0].process.pid
                os.kill(killed, signal.SIGKILL)
    assert killed is not None
    assert made == {unit: unit * unit for unit in range(40)}


CASES = (
    all_three_nodes_work,
    a_killed_worker_costs_what_it_had_in_hand,
    what_kills_three_workers_is_named,
    an_error_is_told_as_one_process_would,
    a_file_that_is_not_there_comes_through_the_store,
    gpus_that_are_not_there_are_asked_for_in_words,
    a_tuning_is_that_of_one_process,
    a_validation_is_that_of_one_process,
    a_node_that_is_killed_costs_what_it_had_in_hand,
)


def tried(case: Callable[[Any, Path], None], cluster: Any) -> str:
    try:
        with tempfile.TemporaryDirectory() as folder:
            case(cluster, Path(folder))
    except Exception:  # noqa: BLE001  # the next case may hold
        return f"failed: {case.__name__}\n{traceback.format_exc()}"
    return f"holds: {case.__name__}"


def main() -> None:
    import ray

    with three_nodes() as cluster:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        try:
            for case in CASES:
                print(tried(case, cluster), flush=True)
        finally:
            ray.shutdown()


if __name__ == "__main__":
    main()
