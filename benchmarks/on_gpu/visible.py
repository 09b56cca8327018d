"""Whether the CUDA driver is here and sees a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from on_gpu.run import Keep, Run


def look(run: Run, case: str, keep: Keep) -> None:
    """Without a context."""
    del run, case
    from edaformer.machine.gpu import gpu_visible

    keep(visible=gpu_visible())
