"""Python packages as people have them: half removed, built for another NumPy, old."""

from __future__ import annotations

from pathlib import Path


def half_removed(folder: Path, name: str) -> Path:
    """An ``__init__.py`` and nothing behind it.

    opencv-python beside opencv-python-headless, or onnxruntime beside onnxruntime-gpu: they lie in
    one folder, and removing one takes the other's files (opencv/opencv-python#467,
    Gourieff/comfyui-reactor-node#236).
    """
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text("")
    return folder


def emptied(folder: Path, name: str) -> Path:
    """A folder without even that: a namespace package, which imports too."""
    (folder / name / "capi").mkdir(parents=True)
    return folder


def built_for_numpy_1(folder: Path, name: str) -> Path:
    """What NumPy 2 says to JetPack 6's OpenCV 4.8 (opencv/opencv-python#995)."""
    return _raising(folder, name, 'ImportError("numpy.core.multiarray failed to import")')


def without_a_library(folder: Path, name: str) -> Path:
    """A slim container has no libGL."""
    missing = "libGL.so.1: cannot open shared object file: No such file or directory"
    return _raising(folder, name, f"ImportError({missing!r})")


def importing_itself(folder: Path, name: str) -> Path:
    """Files of two builds in one folder (open-edge-platform/physical-ai-studio#958)."""
    text = f"AttributeError(\"partially initialized module '{name}' has no attribute 'dnn'\")"
    return _raising(folder, name, text)


def _raising(folder: Path, name: str, error: str) -> Path:
    half_removed(folder, name)
    (folder / name / "__init__.py").write_text(f"raise {error}\n")
    return folder


def installed(folder: Path, distribution: str, version: str) -> Path:
    """Its metadata, as pip leaves it: all that is asked for a version."""
    made = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    made.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    (made / "METADATA").write_text(text)
    return folder
