"""The kernels compiled for the host, as no GPU is here, with the C++ compiler that is.

They run with the grid and the arguments that a GPU would get, one thread after the other, so that
indexing, edges and alignment are tested with the arithmetic.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edaformer.engines.runtime.kernels import FOLDER, Launch

_FLAGS = [
    "-std=c++17",
    "-O2",
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-shared",
    "-fPIC",
]


def run(launch: Launch) -> None:
    """Run a kernel; its addresses are host addresses."""
    function = getattr(library(), launch.kernel)
    grid = (ctypes.c_int * 3)(*launch.grid)
    function(ctypes.c_char_p(launch.arguments), grid, launch.threads)


@functools.cache
def library() -> ctypes.CDLL:
    """The compiled kernels; the test is skipped where there is no compiler."""
    compiler = find_compiler()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "kernels.so"
        source = Path(__file__).with_name("kernels.cpp")
        command = [*compiler, *_FLAGS, f"-I{FOLDER}", "-o", str(made), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(str(made))


def find_compiler() -> list[str]:
    """The C++ compiler's command; the test is skipped where there is none."""
    for name in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if name and shutil.which(name):
            return [name]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "c++"]
    pytest.skip("needs a C++ compiler: c++, g++, clang++, $CXX or the package ziglang")
