"""The two TensorRT flavours behind one name: what is here, and what each can do.

``trt`` stands for whichever flavour is in use; its attributes are checked against tensorrt-stubs.
Features are detected by asking for the attribute, never guessed from a version number: TensorRT
10.3, 10.13, 11.x and TensorRT-RTX differ by what they have, and vendors backport.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from edaformer.errors import InputError, MissingError
from edaformer.machine.gpu import gpu_visible
from edaformer.machine.jetson import read_jetson, system_bindings
from edaformer.packages import install_line

if TYPE_CHECKING:
    from collections.abc import Callable

    import tensorrt as trt

__all__ = [
    "FLAVOURS",
    "Backend",
    "Flavour",
    "create",
    "is_installed",
    "last_errors",
    "make_logger",
    "missing",
    "require_gpu",
    "trt",
    "use",
]

_log = logging.getLogger(__name__)
T = TypeVar("T")
Flavour = Literal["tensorrt", "tensorrt-rtx"]
FLAVOURS: tuple[Flavour, ...] = ("tensorrt", "tensorrt-rtx")
_MODULES: dict[Flavour, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
_EXTRAS: dict[Flavour, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "rtx"}


class _Chosen:
    """Forwards to the module of the flavour in use."""

    module: ModuleType | None = None

    def __getattr__(self, name: str) -> Any:
        if self.module is None:
            raise AssertionError("call backend.use() first")
        return getattr(self.module, name)


if not TYPE_CHECKING:
    trt = _Chosen()


@dataclass(frozen=True)
class Backend:
    """A flavour that is in use."""

    flavour: Flavour
    version: str

    @property
    def compute_capabilities(self) -> tuple[str, ...]:
        """What it can target without that GPU: empty where it builds for the GPU it finds."""
        kinds = getattr(trt, "ComputeCapability", None)
        if kinds is None:
            return ()
        names = [name for name in kinds.__members__ if name.startswith("SM")]
        return tuple(f"{name[2:-1]}.{name[-1]}" for name in names)

    @property
    def times_kernels(self) -> bool:
        """Whether building times kernels on the GPU, so that a timing cache means something."""
        return self.flavour == "tensorrt"


def use(choice: str) -> Backend:
    """Import a flavour and make ``trt`` stand for it.

    Args:
        choice: a flavour or ``auto``: tensorrt where it imports and a GPU is visible, else
            tensorrt-rtx.

    Raises:
        InputError: for an unknown flavour.
        MissingError: if it is not installed, with the line that installs it.
    """
    if choice == "auto":
        choice = "tensorrt" if is_installed("tensorrt") and gpu_visible() else "tensorrt-rtx"
    for flavour in FLAVOURS:
        if choice == flavour:
            break
    else:
        raise InputError(f"expected a backend out of auto, {', '.join(FLAVOURS)}, got '{choice}'")
    if not is_installed(flavour):
        what, fix = missing(flavour)
        raise MissingError(f"{what}; run: {fix}")
    try:
        module = importlib.import_module(_MODULES[flavour])
    except Exception as error:  # a package that is broken raises what it likes
        raise MissingError(
            f"{flavour} is installed but does not load: {error}; run: {_install(flavour)}"
        ) from error
    if not hasattr(module, "Builder"):
        raise MissingError(
            f"{flavour} was half removed: its package imports and has no Builder; run: pip "
            f"uninstall -y {module.__name__.replace('_', '-')}, then {_install(flavour)}"
        )
    _Chosen.module = module
    return Backend(flavour, str(module.__version__))


def missing(flavour: Flavour) -> tuple[str, str]:
    """What is missing where a flavour cannot be found, and what mends it.

    A plain virtual environment hides the bindings that JetPack has put into the system's Python.
    """
    bindings = system_bindings() if flavour == "tensorrt" else None
    if bindings is not None and sys.prefix != sys.base_prefix:
        return (
            f"{flavour} is in {bindings.parent}, which this virtual environment does not see",
            "python3 -m venv --system-site-packages VENV, with that Python, and use it instead",
        )
    if flavour == "tensorrt" and read_jetson() is not None:
        return (
            "tensorrt's Python package is not installed on this Jetson",
            "sudo apt install python3-libnvinfer",
        )
    return f"{flavour} is not installed here", _install(flavour)


def _install(flavour: Flavour) -> str:
    line = install_line(_EXTRAS[flavour])
    if flavour == "tensorrt-rtx":
        return line
    return (
        f"{line} (on a Jetson it comes with JetPack: make the virtual environment with "
        "--system-site-packages)"
    )


def is_installed(flavour: Flavour) -> bool:
    """Whether the flavour's package is here; type stubs alone do not count."""
    spec = importlib.util.find_spec(_MODULES[flavour])
    return spec is not None and spec.origin is not None


def require_gpu(what: str) -> None:
    """Refuse to go on without a GPU.

    Raises:
        MissingError: saying what needs one.
    """
    if not gpu_visible():
        raise MissingError(
            f"{what} needs an NVIDIA GPU and its driver, and none is visible here; run it on the "
            "device, or use the .onnx, which runs on a CPU"
        )


def make_logger() -> Any:
    """A logger that keeps errors, warnings and what proves a build.

    Its base class exists only with a backend. ``facts`` are the INFO lines on memory; ``layers`` is
    TensorRT-RTX's one verbose message with every kernel, which DETAILED profiling verbosity makes.
    """

    class Collector(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []
            self.facts: list[str] = []
            self.layers: str | None = None

        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.errors.append(msg)
            elif severity == trt.ILogger.WARNING and msg not in self.warnings:
                self.warnings.append(msg)
            elif severity == trt.ILogger.INFO and "Memory" in msg:
                self.facts.append(msg)
            elif severity == trt.ILogger.VERBOSE and msg.startswith("Layers:\nName:"):
                self.layers = msg
            _log.debug("%s", msg)

    return Collector()


def create(kind: Callable[[Any], T], logger: Any) -> T:
    """``trt.Builder`` or ``trt.Runtime`` with a logger of ``make_logger``.

    Without a CUDA driver that it can use classic TensorRT's library gives a null pointer, of which
    its bindings make a TypeError; the reason is in the log.

    Raises:
        MissingError: with that reason.
    """
    try:
        return kind(logger)
    except TypeError as error:
        if "nullptr" not in str(error):
            raise
        raise MissingError(
            f"expected a CUDA driver and a GPU that TensorRT {trt.__version__} can use, got: "
            f"{last_errors(logger)}; nvidia-smi must list the GPU and serve the CUDA of this "
            "TensorRT: update the driver, or install a TensorRT for its CUDA"
        ) from error


def last_errors(logger: Any) -> str:
    """The last two errors of such a logger, on one line."""
    errors = logger.errors[-2:] or ["TensorRT gave no reason"]
    return "; ".join(" ".join(message.split()) for message in errors)
