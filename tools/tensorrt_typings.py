"""Put tensorrt-stubs, mended, into .typings/ for mypy and for the tests' stand-in modules.

The stubs are unpacked rather than installed: installed, they leave a folder called ``tensorrt``
that imports as an empty package, which looks like a TensorRT that is broken. The published file
also has five lines that are no Python (parameters called ``in``, a default before a parameter
without one).
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "10.13.0.35.1"
TARGET = Path(__file__).parents[1] / ".typings"
MENDS = (
    ("self, in: ", "self, input: "),
    ("self: IPluginV3, in: ", "self: IPluginV3, input: "),
    (
        "power: Weights = None, channel_axis: int)",
        "power: Weights = None, channel_axis: int = ...)",
    ),
)


def main() -> None:
    """Download, unpack, mend; nothing is done where it has been done."""
    stamp = TARGET / f"{VERSION}.done"
    if stamp.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder]
        subprocess.run([*pip, f"tensorrt-stubs=={VERSION}"], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith(".pyi")]
            archive.extractall(TARGET, names)
    stub = TARGET / "tensorrt_bindings" / "tensorrt.pyi"
    text = stub.read_text()
    for broken, mended in MENDS:
        text = text.replace(broken, mended)
    ast.parse(text)
    stub.write_text(text)
    stamp.touch()


if __name__ == "__main__":
    main()
