"""The distributions that are here: which share a folder, and which have published holes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Hole:
    """What a crafted file can do to the versions below one."""

    distributions: tuple[str, ...]  # the names it is installed under
    mended: str  # the first version without it
    text: str


# By import name. Removing one takes the files of the others.
_SHARED = {
    "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python",
            "opencv-contrib-python-headless"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml",
                    "onnxruntime-openvino", "onnxruntime-qnn"),
}  # fmt: skip
# pyproject.toml's floors. JetPack 6 (Python 3.10, and its own builds) cannot have all of them.
HOLES = (
    Hole(("torch",), "2.10", "a crafted checkpoint corrupts memory, weights_only or not "
                             "(CVE-2026-24747)"),
    Hole(("onnx",), "1.21", "a crafted model reads any file of this machine (CVE-2026-27489)"),
    Hole(("onnxruntime", "onnxruntime-gpu"), "1.27", "a crafted model reads and writes beyond its "
                                                     "tensors"),
    Hole(("pillow",), "12.3", "a crafted picture writes beyond its memory"),
    Hole(("protobuf",), "6.33.5", "nested JSON exhausts the stack (CVE-2026-0994)"),
)  # fmt: skip


def holes_here() -> Iterator[str]:
    """A sentence for each installed version below a floor."""
    for hole in HOLES:
        for name in hole.distributions:
            version = version_of(name)
            if version is not None and _numbers(version) < _numbers(hole.mended):
                yield (
                    f"{name} {version} has a published hole: {hole.text}; mended in {hole.mended}: "
                    f"pip install '{name}>={hole.mended}', or take no files from strangers here"
                )


def install_again(package: str, install: str) -> str:
    """How to have a package whole again; what shares its folder has to go first.

    Args:
        package: its import name.
        install: the line that installs it.
    """
    shared = [name for name in _SHARED.get(package, ()) if version_of(name) is not None]
    if not shared:
        return f"reinstall it: {install}"
    told = f"{' and '.join(shared)} share its folder: " if len(shared) > 1 else ""
    return f"{told}pip uninstall -y {' '.join(shared)}, then: {install}"


def version_of(distribution: str) -> str | None:
    """None where it is not installed."""
    from importlib import metadata  # takes longer than all that imports this

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """Of a release: local builds (2.8.0+nv25.6) and candidates count as it."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
