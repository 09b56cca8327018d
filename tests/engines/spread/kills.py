"""SIGKILL at random of workers, of whole nodes and of the command: it ends as if nobody had.

    python -m tests.engines.spread.kills --kills 30

Validations and tunings of the smallest network, over processes, a Ray of their own and three of
Ray's nodes. A command that was killed, or ends with exit 1 or 3 because workers died too often, is
given again; what it says in the end must be what one process says, byte for byte, with no process
and no file left. The test suite's short forms are test_processes.py and test_on_ray.py.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from edaformer.engines.spread import carried
from tests.engines.spread.descent import descendants
from tests.engines.spread.nodes import add_node, three_nodes
from tests.hostile import sound

_IMAGES = 100
_PATIENCE = 300.0  # seconds for a command that nobody kills
_LINGER = 20.0  # seconds for processes to be gone after their command
_SUBREAPER = 36  # prctl: whoever loses its parent becomes a child of ours, and is counted
_CODE = """
import sys
from tests.engines.spread.kills import command
if __name__ == "__main__":
    command(sys.argv[1:])
"""
_TOO_OFTEN = ("workers died of", "a worker died")  # of the messages that end with exit 1 and 3
_ELSEWHERE = "EDAFORMER_TEST_ELSEWHERE"  # as if no worker had the files: they go through the store


@dataclass(frozen=True)
class Way:
    """A command, and whom it may lose."""

    name: str
    words: Callable[[Path, Path], tuple[object, ...]]  # of the sound files, and of the output
    spread: tuple[str, ...]
    targets: tuple[str, ...]
    result: Callable[[str, Path], Any]
    elsewhere: bool = False


@dataclass
class Made:
    """What came of a way."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    again: int = 0  # runs that ended because workers died too often
    finds: list[str] = field(default_factory=list)
    lingering: float = 0.0  # longest time that processes were there after their command


def _validate(base: Path, out: Path) -> tuple[object, ...]:
    return ("validate", base / "x.onnx", "--checkpoint", base / "m.safetensors", "--data",
            f"folder:{base / 'data'}", *sound.LOOSE, "--cache", out / "cache",
            "--json")  # fmt: skip


def _tune(base: Path, out: Path) -> tuple[object, ...]:
    return ("tune", base / "m.safetensors", "--data", f"folder:{base / 'data'}", "--trials", 6,
            "--holdout", 0.5, "--out", out / "tuning", "--resume", "--trust-labels",
            "--json")  # fmt: skip


def _said(text: str, _: Path) -> Any:
    made = json.loads(text)
    return json.dumps({**made, "workers": None, "seconds": None})


def _tried(text: str, out: Path) -> Any:
    with closing(sqlite3.connect(out / "tuning/trials.sqlite")) as trials:
        rows = trials.execute("SELECT * FROM trials ORDER BY isr, at").fetchall()
    return _said(text, out), rows


_PROCESSES, _LOCAL, _NODES = ("--processes", "2"), ("--ray", "local"), ("--ray", "auto")
ALONE = (
    Way("validate, 2 processes", _validate, _PROCESSES, ("worker", "command"), _said),
    Way("tune, 2 processes", _tune, _PROCESSES, ("worker", "command"), _tried),
    Way("validate, Ray local", _validate, _LOCAL, ("worker", "node", "command"), _said),
    Way("tune, Ray local", _tune, _LOCAL, ("worker", "command"), _tried),
)
ON_NODES = (
    Way("validate, 3 nodes", _validate, _NODES, ("worker", "node", "command"), _said, True),
    Way("tune, 3 nodes", _tune, _NODES, ("worker", "node", "command"), _tried),
)


def command(words: list[str]) -> None:
    """The command itself, in a process of its own."""
    from edaformer.cli.main import app

    sound.know_atom()
    if _ELSEWHERE in os.environ:
        from edaformer.engines.spread import on_ray
        from edaformer.engines.spread.carried import Carried

        on_ray.carry = lambda paths: tuple(Carried(path, "0" * 64) for path in paths)
    app(words)


def main() -> int:
    """A table, and what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--way", action="append", help="only this one, as the table names it")
    asked = parser.parse_args()
    ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0)
    ways = [way for way in (*ALONE, *ON_NODES) if asked.way is None or way.name in asked.way]
    finds: list[str] = []
    share, more = divmod(asked.kills, len(ways))
    counts = {way.name: share + (at < more) for at, way in enumerate(ways)}
    print(f"{'':24}{'worker':>8}{'node':>8}{'command':>8}{'runs':>8}{'too often':>11}"
          f"{'lingering, s':>14}{'finds':>7}")  # fmt: skip
    # Ray's sockets lie below its folder, and a socket's path has 107 bytes at most
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as name:
        trial = Trial(Path(name), Random(asked.seed))
        for way in ALONE:
            if way in ways:
                finds += _row(way.name, trial.of(way, counts[way.name], None))
        if any(way in ways for way in ON_NODES):
            with nodes(trial.environment) as cluster:
                for way in ON_NODES:
                    if way in ways:
                        finds += _row(way.name, trial.of(way, counts[way.name], cluster))
        finds += [f"at the end: {left}" for left in trial.temporary()]
    print("\n".join(finds))
    return 1 if finds else 0


def _row(name: str, made: Made) -> list[str]:
    kills = "".join(f"{made.kills[target]:>8}" for target in ("worker", "node", "command"))
    print(f"{name:24}{kills}{made.runs:>8}{made.again:>11}{made.lingering:>14.1f}"
          f"{len(made.finds):>7}", flush=True)  # fmt: skip
    return [f"{name}: {find}" for find in made.finds]


@contextmanager
def nodes(environment: dict[str, str]) -> Iterator[Any]:
    """Where ``--ray auto`` finds them."""
    os.environ.update(environment)
    with three_nodes() as cluster:
        os.environ["RAY_ADDRESS"] = cluster.address
        try:
            yield cluster
        finally:
            del os.environ["RAY_ADDRESS"]


class Trial:
    """The folder that all of it happens in."""

    def __init__(self, folder: Path, dice: Random) -> None:
        self._folder, self._dice = folder, dice
        self._base = folder / "base"
        self._alone: dict[Any, Any] = {}
        (folder / "tmp").mkdir()
        self._base.mkdir()
        self.environment = {"RAY_TMPDIR": str(folder), "TMPDIR": str(folder / "tmp"),
                            "OMP_NUM_THREADS": "1"}  # fmt: skip
        self._lay()

    def of(self, way: Way, kills: int, cluster: Any) -> Made:
        """Kill and give again, then let it end."""
        made, out = Made(), self._folder / "killed"
        wanted = self._wanted(way)
        first, seconds = self._whole(way, way.spread, out)
        if first != wanted:
            made.finds.append("with nobody killed it is not what one process says")
        shutil.rmtree(out)
        while True:
            over = made.kills.total() >= kills
            said = self._run(way, kills, seconds, cluster, made)
            if said is None:
                continue
            try:
                if way.result(said, out) != wanted:
                    made.finds.append("it is not what one process says")
            except ValueError:
                made.finds.append(f"what it says is no JSON: {said[:800]!r}")
            made.finds += [f"left {path.name}" for path in out.rglob("*.part")]
            shutil.rmtree(out)
            if over:
                return made

    def temporary(self) -> list[str]:
        """What lies in the folder for temporary files once another worker came; Ray's is Ray's."""
        tempfile.tempdir = str(self._folder / "tmp")
        try:
            carried.sweep()
        finally:
            tempfile.tempdir = None
        return sorted(path.name for path in (self._folder / "tmp").iterdir())

    def _wanted(self, way: Way) -> Any:
        """What one process says."""
        if way.words not in self._alone:
            out = self._folder / f"alone-{len(self._alone)}"
            self._alone[way.words] = self._whole(way, (), out)[0]
        return self._alone[way.words]

    def _whole(self, way: Way, spread: tuple[str, ...], out: Path) -> tuple[Any, float]:
        start = time.monotonic()
        run = self._start(way, spread, out)
        said, told = run.communicate(timeout=_PATIENCE)
        if run.returncode != 0:
            raise RuntimeError(f"{way.name} ends with {run.returncode}: {told[-2000:]}")
        return way.result(said, out), time.monotonic() - start

    def _run(self, way: Way, kills: int, seconds: float, cluster: Any, made: Made) -> str | None:
        """One run with its kills; what it said if it came to its end."""
        made.runs += 1
        run = self._start(way, way.spread, self._folder / "killed")
        was_killed = False
        while made.kills.total() < kills and not was_killed:
            try:
                run.wait(self._dice.uniform(0.2, seconds / 2))
                break
            except subprocess.TimeoutExpired:
                target = self._dice.choice(way.targets)
                if _kill(target, run.pid, cluster):
                    made.kills[target] += 1
                    was_killed = target == "command"
        said, told = run.communicate(timeout=_PATIENCE)
        made.lingering = max(made.lingering, self._lingering(cluster, made))
        _mend(cluster)
        if run.returncode == 0:
            return str(said)
        if not was_killed:
            made.again += 1
            local_node = way.spread == _LOCAL and made.kills["node"]
            if not any(words in told for words in _TOO_OFTEN) and not local_node:
                made.finds.append(f"ends with {run.returncode}: {told[-800:]}")
        return None

    def _start(self, way: Way, spread: tuple[str, ...], out: Path) -> subprocess.Popen[str]:
        out.mkdir(exist_ok=True)
        more = {_ELSEWHERE: "1"} if way.elsewhere and spread else {}
        words = [str(word) for word in (*way.words(self._base, out), *spread)]
        return subprocess.Popen(
            [sys.executable, "-c", _CODE, *words], text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=os.environ | self.environment | more,
        )  # fmt: skip

    def _lingering(self, cluster: Any, made: Made) -> float:
        """Seconds until what the command started is gone."""
        start = time.monotonic()
        while left := _left(cluster):
            if time.monotonic() > start + _LINGER:
                made.finds.append(f"left running: {', '.join(left.values())}")
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.05)
        return time.monotonic() - start

    def _lay(self) -> None:
        from edaformer.files import sha256

        sound.know_atom()
        sound.lay_safetensors(self._base / "m.safetensors")
        sound.lay_onnx(self._base / "x.onnx", sha256(self._base / "m.safetensors"))
        sound.lay_folder_data(self._base / "data")
        for index in range(_IMAGES):
            name = f"data/{{}}/{index:03}.png"
            for what, drawn in ("images", sound.picture), ("labels", sound.labels):
                Image.fromarray(drawn(index, sound.SIZE)).save(self._base / name.format(what))


def _kill(target: str, driver: int, cluster: Any) -> bool:
    """Whether there was one."""
    if target == "command":
        os.kill(driver, signal.SIGKILL)
        return True
    of = os.getpid() if cluster else driver
    there = descendants(of)
    if target == "node":
        nodes = [] if cluster is None else [
            node.all_processes["raylet"][0].process.pid
            for node in cluster.worker_nodes if "raylet" in node.all_processes
        ]  # fmt: skip
        found = [pid for pid, name in there.items()
                 if (pid in nodes if cluster else "/raylet/raylet" in name)]  # fmt: skip
    else:
        found = [pid for pid, name in there.items()
                 if "RayWorker" in name or ("spawn_main" in name)]  # fmt: skip
    if not found:
        return False
    try:
        os.kill(Random(len(there)).choice(sorted(found)), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _mend(cluster: Any) -> None:
    """Other nodes for those that were killed."""
    for node in [] if cluster is None else list(cluster.worker_nodes):
        if node.all_processes["raylet"][0].process.poll() is not None:
            cluster.remove_node(node, allow_graceful=False)
            add_node(cluster)


def _left(cluster: Any) -> dict[int, str]:
    """What a command has left running: with a cluster, its workers."""
    return {
        pid: name
        for pid, name in descendants(os.getpid()).items()
        if cluster is None or "RayWorker" in name
    }


if __name__ == "__main__":
    raise SystemExit(main())
