"""What can go wrong, as a tree; every message says what was expected, what came, and the fix.

EdaformerError            anything a user can cause; ``exit_code`` is the command's
├── InputError            wrong input or usage (exit 2)
│   ├── ISRError          a pooling ratio that the model or the map does not allow
│   ├── CheckpointError   a file that is not the checkpoint it should be
│   ├── ManifestError     an artifact without, or with a damaged, manifest
│   ├── DataError         a data set that is not laid out as expected
│   └── FrameError        a picture or video that cannot be read, or not any further
├── GateError             it ran, and the figures miss the gate (exit 1)
│   ├── NaNError          the network answered with what is no number
│   ├── WorkerError       processes died of one image, again and again
│   └── BuildError        TensorRT refused the network or could not build it
├── ServerError           a server that is gone, or fails at work (exit 1)
├── DeviceError           the GPU or its driver failed at work (exit 3)
├── RemoteError           another machine that is not to be reached, or not any more (exit 3)
└── MissingError          a package, GPU or driver that is not here (exit 3)
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from edaformer.packages import install_again, install_line, version_of

EXIT_GATE = 1
EXIT_INPUT = 2
EXIT_MISSING = 3


class EdaformerError(Exception):
    """Anything a user can cause; the command prints it as one sentence, without a traceback."""

    exit_code = EXIT_INPUT


class InputError(EdaformerError):
    """Wrong input or usage."""


class ISRError(InputError):
    """A pooling ratio that the model or its feature map does not allow."""


class CheckpointError(InputError):
    """A file that is not the checkpoint it should be."""


class ManifestError(InputError):
    """An artifact without a manifest, or with a damaged one."""


class DataError(InputError):
    """A data set that is not laid out as expected."""


class FrameError(InputError):
    """A picture or video that cannot be read, or not any further."""


class GateError(EdaformerError):
    """The work was done and its figures miss the gate."""

    exit_code = EXIT_GATE


class NaNError(GateError):
    """The network answered with what is no number."""

    at: int | None = None  # of the data set's images, where an artifact did so in a validation


class WorkerError(GateError):
    """Processes that work on one image die of it, again and again."""


class BuildError(GateError):
    """TensorRT refused the network or could not build it."""


class ServerError(EdaformerError):
    """A server that is gone, or fails while it is at work."""

    exit_code = EXIT_GATE


class DeviceError(EdaformerError):
    """The GPU or its driver failed while it was at work."""

    exit_code = EXIT_MISSING


class RemoteError(EdaformerError):
    """Another machine that cannot be reached, or not any more."""

    exit_code = EXIT_MISSING


class MissingError(EdaformerError):
    """A package, GPU or driver that is not on this machine."""

    exit_code = EXIT_MISSING


# What each must have: a package that was half removed is an empty folder, and that imports
_NEEDED = {"cv2": "VideoCapture", "matplotlib": "rcParams", "onnx": "ModelProto",
           "onnxruntime": "InferenceSession", "onnxscript": "__version__", "torch": "Tensor",
           "safetensors": "safe_open"}  # fmt: skip


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, or raise MissingError with the line that installs it.

    Args:
        module: the module's import name.
        extra: the extra of this package that brings it.
    """
    top = module.partition(".")[0]
    install = install_line(extra)
    try:
        made = importlib.import_module(module)
    except Exception as error:  # a package that is broken raises what it likes
        if isinstance(error, ModuleNotFoundError) and error.name == top:
            raise MissingError(
                f"this needs the package '{top}', which is not installed; run: {install}"
            ) from error
        raise MissingError(_broken(top, install, error)) from error
    needed = _NEEDED.get(top)
    if not _is_whole(sys.modules[top] if needed else made, needed):
        raise MissingError(
            f"the package '{top}' is an empty folder, which imports and does nothing: it was half "
            f"removed; {install_again(top, install)}"
        )
    return made


def _is_whole(package: ModuleType, needed: str | None) -> bool:
    if package.__spec__ is None:  # made by hand
        return True
    return hasattr(package, needed) if needed else package.__spec__.origin is not None


def _broken(top: str, install: str, error: Exception) -> str:
    """Why it does not load, and what to do."""
    said = str(error)
    reason = next(iter(said.splitlines()), type(error).__name__)
    if not any(word in said for word in ("multiarray", "_ARRAY_API", "ABI version")):
        return (
            f"the package '{top}' is installed but does not load ({reason}); "
            f"{install_again(top, install)}"
        )
    own = version_of("numpy") or "here"
    other = "'numpy>=2'" if own.startswith("1.") else "'numpy<2'"
    return (
        f"the package '{top}' was built for another NumPy than {own} ({reason}); if it is the "
        f"system's own, as on a Jetson: pip install {other}; if it is a wheel, "
        f"{install_again(top, install)}"
    )
