"""Device-to-device copy, and what a kernel that does nothing takes: ceiling and floor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from on_gpu.own import own_kernels
from on_gpu.state import state
from on_gpu.timing import flush_bytes, timed

if TYPE_CHECKING:
    from on_gpu.run import Keep, Run


def work(run: Run, case: str, keep: Keep) -> None:
    """Bytes read and written a second, and the seconds of an empty kernel."""
    del case
    import torch

    source = torch.ones((1 << 20) if run.dry else (1 << 30), dtype=torch.uint8, device=run.device)
    target = torch.empty_like(source)
    seconds = timed(run, lambda: target.copy_(source))
    keep(bytes=2 * source.numel(), seconds=seconds,
         bytes_per_second=2 * source.numel() / seconds["p50"],
         l2_flushed_by_bytes=flush_bytes(run))  # fmt: skip
    with own_kernels(run) as own:
        keep(empty_kernel=timed(run, own.empty))
    keep(state=state())
