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
│   └── BuildError        TensorRT refused the network or could not build it
├── DeviceError           the GPU or its driver failed at work (exit 3)
└── MissingError          a package, GPU or driver that is not here (exit 3)
"""

from __future__ import annotations

import importlib
from types import ModuleType

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


class BuildError(GateError):
    """TensorRT refused the network or could not build it."""


class DeviceError(EdaformerError):
    """The GPU or its driver failed while it was at work."""

    exit_code = EXIT_MISSING


class MissingError(EdaformerError):
    """A package, GPU or driver that is not on this machine."""

    exit_code = EXIT_MISSING


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, or raise MissingError with the line that installs it.

    Args:
        module: the module's import name.
        extra: the extra of this package that brings it.
    """
    top = module.partition(".")[0]
    install = f"pip install 'edaformer-deploy[{extra}]'"
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == top:
            raise MissingError(
                f"this needs the package '{top}', which is not installed; run: {install}"
            ) from error
        raise MissingError(
            f"the package '{top}' is installed but does not load ({error}); reinstall it: {install}"
        ) from error
