"""A crew of Ray's actors, on the machines of a cluster.

Ray places the actors, starts one again that died, elsewhere where its machine is gone, and carries
the job and the files to each machine once, through its object store. Which units are done again is
the ledger's matter, as it is with processes: Ray's retries count the calls, and do not tell a unit
that kills from one that was waiting beside it.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

from edaformer.border import border
from edaformer.engines.spread.aside import ray_aside
from edaformer.engines.spread.carried import Carried, Wanting, carry, sweep
from edaformer.engines.spread.crew import Died, Event, Ready, Refused
from edaformer.engines.spread.job import Job
from edaformer.engines.spread.keeper import Keeper
from edaformer.engines.spread.ray_worker import Brief, RayWorker
from edaformer.errors import InputError, require
from edaformer.machine.cores import usable

_PATIENCE = 1.0  # seconds without news
_STARTS = 2  # times that Ray itself asks a worker anew that it is starting again
_AGAIN = 1.0  # seconds after which a worker that Ray is starting again is asked anew
_TRIES = 300  # times it is asked before it counts as one that does not start


class RayCrew:
    """Workers that Ray spreads over its machines: one a GPU where the job needs it, else a core."""

    def __init__(self, job: Job, address: str, count: int | None, units: int, ahead: int) -> None:
        self._ray: Any = require("ray", "cluster")
        self._own = not self._ray.is_initialized()  # else it is whoever's who began it
        self._keeper = Keeper() if self._own and address == "local" else None
        self._aside = ExitStack()
        self.ahead = ahead
        self._job = job
        self._given: dict[int, dict[int, Any]] = {}  # units in hand, by worker
        self._asked: dict[Any, int] = {}  # what is waited for, and of whom
        self._wanting: set[int] = set()  # workers that do not have the data
        self._later: dict[int, float] = {}  # when to ask workers that Ray is starting again
        self._tries: Counter[int] = Counter()
        self._ready: set[int] = set()
        try:
            if self._own:
                self._begin(address)
            self._hire(count, units)
        except BaseException:
            self.close()
            raise

    def give(self, member: int, number: int, unit: Any) -> None:
        """Hand a unit to a worker."""
        self._given.setdefault(member, {})[number] = unit
        files = carry(self._job.unit_files(unit))
        store = self._store(files) if member in self._wanting else {}
        asked = self._actors[member].do.remote(self._brief, number, unit, files, store)
        self._asked[asked] = member

    def dismiss(self, member: int) -> None:
        """End one for good."""
        actor = self._actors.pop(member, None)
        if actor is not None:
            self._forget(member)
            self._ray.kill(actor)

    def wait(self) -> Sequence[Event]:
        """What any of them answered, or that it is dead."""
        for member in [one for one, due in self._later.items() if due <= time.monotonic()]:
            del self._later[member]
            self._open(member)
        if not self._asked:
            time.sleep(_AGAIN if self._later else 0)
            return []
        ready, _ = self._ray.wait(list(self._asked), num_returns=1, timeout=_PATIENCE)
        if ready:  # and whatever else is there
            every = list(self._asked)
            ready, _ = self._ray.wait(every, num_returns=len(every), timeout=0)
        heard = []
        for answer in ready:
            if answer in self._asked:  # its worker did not die with another answer
                event = self._hear(answer, self._asked.pop(answer))
                heard += [] if event is None else [event]
        return heard

    def close(self) -> None:
        """Kill all of them, and leave the cluster as it was."""
        for member in list(getattr(self, "_actors", {})):
            self.dismiss(member)
        if self._keeper is not None:
            self._keeper.end_monitors()
        if self._own:
            with redirect_stdout(sys.stderr):  # it tells at last what it held back of dead nodes
                self._ray.shutdown()
        if self._keeper is not None:
            self._keeper.end()
        self._aside.close()
        sweep()

    def _begin(self, address: str) -> None:
        self._aside.enter_context(ray_aside())
        with nullcontext() if self._keeper is None else self._keeper.marking():
            _connect(self._ray, address)

    def _hire(self, count: int | None, units: int) -> None:
        """Ask Ray for workers; those that it has no room for yet come when it has."""
        count, threads = self._plan(count, units)
        self.members = list(range(count))
        files = carry(self._job.files)
        store = self._store(files)
        # held here, and told with each call: an actor that starts again asks for it
        self._brief = Brief([self._ray.put(self._job)], files, store, threads)
        made = self._ray.remote(RayWorker).options(
            num_cpus=threads, num_gpus=1 if self._job.needs_gpu else 0, max_restarts=-1,
            max_concurrency=2 + self.ahead, scheduling_strategy="SPREAD",
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(threads)}},
        )  # fmt: skip
        self._actors: dict[int, Any] = {member: made.remote(member) for member in self.members}
        for member in self.members:
            self._open(member)

    def _plan(self, count: int | None, units: int) -> tuple[int, int]:
        """How many workers, and of how many threads each."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        cores = [int(one.get("CPU", 0)) for one in nodes]
        if self._job.needs_gpu:
            gpus = sum(int(one.get("GPU", 0)) for one in nodes)
            if not gpus:
                raise InputError(
                    "this artifact runs on a GPU, and Ray's cluster has none; add a machine with "
                    "one, or take the .onnx with --provider cpu"
                )
            count = count or gpus
        count = min(count or sum(cores) or 1, units)
        each = math.ceil(count / max(sum(1 for one in cores if one), 1))
        return count, max(min((one for one in cores if one), default=1) // each, 1)

    def _open(self, member: int) -> None:
        opening = self._actors[member].open.options(max_task_retries=_STARTS)
        self._asked[opening.remote(self._brief)] = member

    def _hear(self, answer: Any, member: int) -> Event | None:
        errors = self._ray.exceptions
        try:
            said: Event | Wanting = self._ray.get(answer)
        except errors.RayTaskError as error:  # ours
            return Refused(member, f"number {member + 1}", RuntimeError(str(error)))
        except errors.RayError:  # the worker, its machine, or the way there is gone
            was_ready = member in self._ready
            self._forget(member)
            self._later[member] = time.monotonic() + _AGAIN
            self._tries[member] += 1
            return Died(member) if was_ready or self._tries[member] > _TRIES else None
        if isinstance(said, Ready):
            self._ready.add(member)
            self._tries[member] = 0
        given = self._given.setdefault(member, {})
        if isinstance(said, Wanting):
            self._wanting.add(member)
            self.give(member, said.number, given[said.number])
            return None
        given.pop(getattr(said, "number", -1), None)
        return said

    def _forget(self, member: int) -> None:
        self._given.pop(member, None)
        self._wanting.discard(member)
        self._ready.discard(member)
        self._later.pop(member, None)
        self._asked = {asked: other for asked, other in self._asked.items() if other != member}

    def _store(self, files: Sequence[Carried]) -> dict[Path, Any]:
        """References to their bytes, which are in the store as long as these are."""
        return {one.path: self._ray.put(one.path.read_bytes()) for one in files}


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": "error"}
    if address == "local":
        quiet |= {"num_cpus": usable(), "include_dashboard": False}
    elif address != "auto" and not address.startswith("ray://"):
        raise InputError(f"expected --ray as auto, local or ray://HOST:10001, got '{address}'")
    fix = (
        "see what else this machine does, and try again, or take --processes"
        if address == "local"
        else "start one with `ray start --head`, or take --ray local"
    )
    with border(lambda said: InputError(f"no Ray cluster answers at '{address}' ({said}); {fix}")):
        ray.init(address=address, **quiet)
