"""How many threads compute on the CPU, and what they do while they wait.

Waiting threads of OpenMP (PyTorch) and of ONNX Runtime spin: on cores of their own that saves
microseconds, beside other work it takes them from whoever has something to do, this program's own
next step too.
"""

from __future__ import annotations

import os
import sys

from edaformer.errors import InputError
from edaformer.machine.cores import usable

MOST = 1024
# What each OpenMP library reads, once, when it is loaded: GCC's (PyTorch's wheels), LLVM's and
# Intel's (macOS, conda)
_WAITING = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
_SET_BY_HAND = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def threads(asked: int | None = None) -> int:
    """Threads to compute with: as asked, else as OMP_NUM_THREADS says, else the usable cores.

    Raises:
        InputError: for a number that no machine has.
    """
    if asked is not None:
        if not 1 <= asked <= MOST:
            raise InputError(f"expected --threads of 1 to {MOST}, got {asked}")
        return asked
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    said = int(given) if given.isascii() and given.isdigit() and len(given) < 6 else 0
    return min(said, MOST) or usable()


def share_cores(asked: int | None = None) -> int:
    """Let this whole process compute with so many threads, which sleep while they wait.

    What every command does that computes on the CPU, but edaformer-bench. In a program of your own
    nothing does it for you: it changes PyTorch and the environment for all that runs in the
    process and what it starts. Before PyTorch is imported it has its whole effect; afterwards only
    the number changes, because OpenMP has read how to wait.

    Args:
        asked: threads; None: OMP_NUM_THREADS where that is set, else the cores that this process
            may use (``machine.cores``).

    Returns:
        Threads.

    Raises:
        InputError: for a number that no machine has.
    """
    count = threads(asked)
    if not any(name in os.environ for name in _SET_BY_HAND):
        os.environ.update(_WAITING)
    for name in _COUNTS:
        os.environ[name] = str(count)
    if count > usable():  # more than MKL, and PyTorch after it, would take of themselves
        os.environ["MKL_DYNAMIC"] = "FALSE"
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(count)
    return count
