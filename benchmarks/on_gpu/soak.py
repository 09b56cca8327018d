"""A captured graph of both kernels, replayed 1e5 times: memory before, after."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING

from on_gpu.cases import shapes
from on_gpu.kernels import frame_of, smooth_logits
from on_gpu.own import own_kernels
from on_gpu.state import state

if TYPE_CHECKING:
    from on_gpu.run import Keep, Run

FRAMES = 100_000
_TELL = 10_000  # frames between two looks at the memory
_SPARE = 3.0  # seconds left for the end


def work(run: Run, case: str, keep: Keep) -> None:
    """On PyCUDA's stream, as an engine's is, where PyCUDA imports."""
    del case
    source, network, classes = shapes(run)[0]
    frame, logits = frame_of(run, source), smooth_logits(run, network, classes)
    wanted = 200 if run.dry else FRAMES
    with own_kernels(run, pycuda=True) as own:
        replay = own.capture(frame, logits, network)
        for _ in range(100):
            replay()
        keep(wanted=wanted, frames=0, before=_memory(run), stream=own.stream)
        frames, start = 0, time.perf_counter()
        while frames < wanted and run.left() > _SPARE:
            replay()
            frames += 1
            if frames % _TELL == 0:
                keep(frames=frames, after=_memory(run))
        keep(frames=frames, after=_memory(run), seconds=time.perf_counter() - start, state=state())


def _memory(run: Run) -> dict[str, int]:
    gc.collect()
    status = Path("/proc/self/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0]) * 1024
    if run.dry:
        return {"host_bytes": resident}
    import torch

    free, total = torch.cuda.mem_get_info()
    return {"host_bytes": resident, "device_bytes": total - free}
