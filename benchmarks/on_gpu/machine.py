"""Device, driver, clocks, versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from on_gpu.run import Keep, Run


def work(run: Run, case: str, keep: Keep) -> None:
    """What edaformer-bench says of a machine, and its state before all else."""
    del run, case
    from edaformer.engines.bench.state import Machine
    from on_gpu.state import state

    keep(machine=Machine().describe())
    keep(state=state())
