"""Processes that are killed, that fail, and that must be gone when all is over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edaformer.engines.spread.processes import gpus
from edaformer.engines.spread.spread import Spread
from edaformer.errors import DataError, InputError, MissingError, WorkerError
from tests.engines.spread.toy import Toy

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills with POSIX's signals")


def squares(toy: Toy, count: int, spread: Spread | None = None) -> dict[int, tuple[int, int]]:
    made: dict[int, tuple[int, int]] = {}
    spread = spread or Spread("processes", 2)
    with spread.hired(toy, count, ahead=1) as hired:
        for unit, value in hired.over(range(count)):
            assert unit not in made
            made[unit] = value
    return made


def children() -> set[int]:
    """Of this process, but for the one that multiprocessing keeps for its own bookkeeping."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    return {
        int(line.split()[0])
        for line in listed.splitlines()
        if "spawn_main" in line and "resource_tracker" not in line
    }


def soon(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def test_all_is_done_once_and_nobody_is_left(tmp_path: Path) -> None:
    spread = Spread("processes", 2)
    made = squares(Toy(tmp_path, seconds=0.02), 20, spread)
    assert {unit: value for unit, (value, _) in made.items()} == {u: u * u for u in range(20)}
    shares = spread.team.to_json()
    assert sum(share["images"] for share in shares) == 20
    assert {share["pid"] for share in shares} >= {pid for _, pid in made.values()}
    assert os.getpid() not in {pid for _, pid in made.values()}
    assert not children()


def test_a_crew_may_be_asked_again(tmp_path: Path) -> None:
    with Spread("processes", 1).hired(Toy(tmp_path), 3, ahead=1) as hired:
        first = dict(hired.over([1, 2, 3]))
        second = dict(hired.over([4]))
        assert dict(hired.over([])) == {}
    assert second[4][1] == first[1][1]  # the same process


def test_a_killed_process_costs_what_it_had_in_hand_and_that_is_done_again(tmp_path: Path) -> None:
    spread = Spread("processes", 2)
    made = squares(Toy(tmp_path, kills=(3, 7), times=2), 12, spread)
    assert {unit: value for unit, (value, _) in made.items()} == {u: u * u for u in range(12)}
    assert spread.team.deaths == 4
    assert not children()


def test_what_kills_three_processes_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    made = []
    spread = Spread("processes", 1)
    with (
        pytest.raises(WorkerError, match=r"died of number 4; see .*; nothing is kept") as caught,
        spread.hired(Toy(tmp_path, kills=(4,), times=99), 9, ahead=1) as hired,
    ):
        made += [unit for unit, _ in hired.over(range(9))]
    assert caught.value.exit_code == 1
    assert len(list(tmp_path.iterdir())) == 3
    assert not children()


def test_the_first_error_is_told_as_one_process_would(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="number 2 cannot be read"):
        squares(Toy(tmp_path, fails=(2, 3), seconds=0.01), 8)
    with pytest.raises(RuntimeError, match=r"(?s)toy\.py.*ZeroDivisionError: 1"):
        squares(Toy(tmp_path, breaks=(1,)), 3)
    assert not children()


def test_who_cannot_do_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"worker .*:\d+ is refused, as are all others: there"):
        squares(Toy(tmp_path, refused=True), 3)
    assert not children()


def test_no_crew_of_none() -> None:
    with pytest.raises(InputError, match="expected --processes of 1 to 10000, got 0"):
        Spread("processes", 0)


def test_gpus_are_those_that_are_to_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-5a")
    assert gpus() == ["2", "GPU-5a"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == []


DRIVER = """
import sys
from pathlib import Path
from edaformer.engines.spread.spread import Spread
from tests.engines.spread.toy import Toy
if __name__ == "__main__":
    with Spread("processes", 2).hired(Toy(Path(sys.argv[1]), seconds=0.3), 999, ahead=1) as hired:
        for _, (_, pid) in hired.over(range(999)):
            print(pid, flush=True)
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whoever_ends_the_driver_ends_all(tmp_path: Path, ending: signal.Signals) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root}"}
    driver = subprocess.Popen(
        [sys.executable, script, tmp_path], env=environment, text=True, cwd=root,
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert driver.stdout is not None
    workers = set()
    while len(workers) < 2:
        workers.add(int(driver.stdout.readline()))
    if ending == signal.SIGINT:
        os.killpg(driver.pid, ending)  # as a terminal does
    else:
        driver.send_signal(ending)
    _, said = driver.communicate(timeout=20)
    assert soon(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    if ending == signal.SIGINT:
        assert said.count("Traceback") == 1  # the driver's own: no worker says a word
