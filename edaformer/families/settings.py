"""The reference is float32 on the CPU, whatever the program around has told PyTorch.

A notebook sets a default dtype or device, autocast or a matmul precision; "PyTorch float32" means
none of them. All is put back, the random state too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext


@contextmanager
def reference_settings() -> Iterator[None]:
    """PyTorch as it comes, for as long as this is entered; also a decorator."""
    import torch

    dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")
    try:
        with (
            torch.random.fork_rng(devices=[]),
            torch.device("cpu") if torch.get_default_device().type != "cpu" else nullcontext(),
            torch.autocast("cpu", enabled=False),
        ):
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_float32_matmul_precision(precision)
