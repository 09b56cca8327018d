"""Make the runtime's kernels.ptx from the CUDA sources beside it. Needs no GPU and no toolkit.

    python tools/build_kernels.py            # write kernels.ptx
    python tools/build_kernels.py --check    # compile for every GPU that this NVRTC knows

The compiler is NVRTC out of NVIDIA's wheel, as constraints.txt pins it: 12.6 writes PTX 8.5, the
newest that the CUDA 12.6 driver of JetPack 6 reads. Compute capability 7.5 is the oldest that
TensorRT 10 and 11 run on; a newer GPU's driver compiles the PTX for itself.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import sys
from pathlib import Path

from edaformer.engines.runtime.kernels import FOLDER, PTX

ARCHITECTURE = "compute_75"
OPTIONS = ("--std=c++17", "--fmad=false")  # a GPU then computes what a host does, bit for bit


class Nvrtc:
    """NVIDIA's runtime compiler, by its C interface."""

    def __init__(self, library: Path) -> None:
        self.nvrtc = ctypes.CDLL(str(library))
        self.nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p

    @classmethod
    def installed(cls) -> Nvrtc:
        """The one in this environment's wheel ``nvidia-cuda-nvrtc-cu12``."""
        spec = importlib.util.find_spec("nvidia")
        places = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
        found = [file for place in places for file in place.glob("cuda_nvrtc/lib/libnvrtc.so.*")]
        if not found:
            raise SystemExit("NVRTC is not installed here; run: pip install --group dev")
        return cls(min(found, key=lambda file: len(file.name)))  # not libnvrtc.alt.so

    def version(self) -> tuple[int, int]:
        """Major and minor."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return major.value, minor.value

    def architectures(self) -> list[int]:
        """What it compiles for, such as 90 for sm_90, in rising order."""
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        known = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", known)
        return sorted(known)

    def compile(self, architecture: str) -> bytes:
        """PTX for ``compute_NN``, a cubin for ``sm_NN``."""
        program = ctypes.c_void_p()
        headers = sorted(FOLDER.glob("*.cuh"))
        self._call(
            "nvrtcCreateProgram", ctypes.byref(program),
            (FOLDER / "kernels.cu").read_bytes(), b"kernels.cu", len(headers),
            _strings([file.read_bytes() for file in headers]),
            _strings([file.name.encode() for file in headers]),
        )  # fmt: skip
        try:
            options = [f"--gpu-architecture={architecture}", *OPTIONS]
            encoded = _strings([option.encode() for option in options])
            failed = self.nvrtc.nvrtcCompileProgram(program, len(options), encoded)
            if failed:
                raise SystemExit(self._read("ProgramLog", program).rstrip(b"\0").decode())
            if architecture.startswith("sm_"):
                return self._read("CUBIN", program)
            return self._read("PTX", program).rstrip(b"\0")
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))

    def _read(self, what: str, program: ctypes.c_void_p) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        data = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, data)
        return data.raw

    def _call(self, function: str, *arguments: object) -> None:
        code = getattr(self.nvrtc, function)(*arguments)
        if code:
            raise SystemExit(f"{function}: {self.nvrtc.nvrtcGetErrorString(code).decode()}")


def main() -> None:
    """Write the PTX, or only see that everything compiles."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    nvrtc = Nvrtc.installed()
    if parser.parse_args().check:
        for number in nvrtc.architectures():
            print(f"sm_{number}: {len(nvrtc.compile(f'sm_{number}'))} bytes", file=sys.stderr)
        return
    if nvrtc.version() > (12, 6):
        raise SystemExit(f"expected NVRTC 12.6 or older, for JetPack 6, found {nvrtc.version()}")
    PTX.write_bytes(nvrtc.compile(ARCHITECTURE))


def _strings(values: list[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * len(values))(*values)


if __name__ == "__main__":
    main()
