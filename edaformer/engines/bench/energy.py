"""Energy of a stretch of work: a counter's difference, or a Jetson's rail sampled and summed."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from typing_extensions import Self

from edaformer.engines.bench.state import Machine

_EVERY = 0.05  # seconds; the INA3221 averages over longer


class EnergyMeter:
    """A context; ``joules`` grows with each stretch inside, and is None where nothing tells."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.counts = machine.joules() is not None
        self.samples = not self.counts and machine.rail_power() is not None
        self.joules: float | None = 0.0 if self.counts or self.samples else None

    @property
    def source(self) -> str | None:
        """Whose energy it is."""
        return "INA3221, the module's input rail" if self.samples else self.machine.energy_source

    def __enter__(self) -> Self:
        self._before = self.machine.joules()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._sample, args=(time.perf_counter(),), daemon=True
        )
        if self.samples:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self.samples:
            self._thread.join()
        after = self.machine.joules()
        if self.joules is not None and after is not None and self._before is not None:
            self.joules += max(0.0, after - self._before)  # RAPL's counter wraps

    def _sample(self, last: float) -> None:
        """Add each interval since ``last``; the one that the end cuts short too."""
        stopped = False
        while not stopped:
            stopped = self._stop.wait(_EVERY)
            now, power = time.perf_counter(), self.machine.rail_power()
            if self.joules is not None and power is not None:
                self.joules += power * (now - last)
            last = now
