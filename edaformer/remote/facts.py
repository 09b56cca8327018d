"""What a device has, as it says so itself; shown, and never believed further than that."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from edaformer.errors import MissingError
from edaformer.printable import in_one_line
from edaformer.version import __version__


@dataclass(frozen=True)
class Ours:
    """Our package there."""

    path: str  # of the Python that has it
    python: str
    version: str
    packages: dict[str, str]  # TensorRT, ONNX Runtime and the like, as that Python sees them


@dataclass(frozen=True)
class Facts:
    """A device; bytes, and None for what it does not say."""

    host: str
    system: str  # such as Linux aarch64
    python: str  # the system's python3
    libc: str | None  # glibc's version
    board: str | None
    l4t: str | None
    packages: dict[str, str]  # JetPack's, of dpkg
    driver: str | None
    power_mode: str | None
    disk_free: int
    memory: int | None
    memory_available: int | None
    ours: Ours | None

    @classmethod
    def of(cls, told: dict[str, Any]) -> Facts:
        """From the answer of ``there.py ask``."""
        ours = told.get("ours")
        return cls(
            host=_text(told.get("host")) or "unknown",
            system=_text(told.get("system")) or "unknown",
            python=_text(told.get("python")) or "unknown",
            libc=_text(told.get("libc")),
            board=_text(told.get("board")),
            l4t=_text(told.get("l4t")),
            packages=_texts(told.get("packages")),
            driver=_text(told.get("driver")),
            power_mode=_text(told.get("power_mode")),
            disk_free=_count(told.get("disk_free")) or 0,
            memory=_count(told.get("memory")),
            memory_available=_count(told.get("memory_available")),
            ours=Ours(
                _text(ours.get("path")) or "",
                _text(ours.get("python")) or "",
                _text(ours.get("version")) or "",
                _texts(ours.get("packages")),
            )
            if isinstance(ours, dict)
            else None,
        )

    @property
    def tensorrt(self) -> str | None:
        """The TensorRT that our commands there would use."""
        seen = {} if self.ours is None else self.ours.packages
        known = [f"{name} {seen[name]}" for name in seen if name.startswith("tensorrt")]
        known += [f"{name} {self.packages[name]}" for name in self.packages if "nvinfer" in name]
        return ", ".join(known) or None

    @property
    def pairs(self) -> list[tuple[str, object]]:
        """Names and values for people."""
        jetpack = self.packages.get("nvidia-jetpack")
        return [
            ("device", self.board or f"{self.host}, {self.system}"),
            ("JetPack", jetpack),
            ("L4T", self.l4t),
            ("TensorRT", self.tensorrt),
            ("driver", self.driver),
            ("Python", self.python),
            ("edaformer", self._ours),
            ("disk", f"{self.disk_free / 1e9:.1f} GB free"),
            ("memory", self._memory),
            ("power mode", self.power_mode),
        ]

    @property
    def _ours(self) -> str | None:
        return None if self.ours is None else f"{self.ours.version}, of {self.ours.path}"

    @property
    def _memory(self) -> str | None:
        if self.memory is None or self.memory_available is None:
            return None
        return f"{self.memory_available / 1e9:.1f} of {self.memory / 1e9:.1f} GB available"


def require_ours(facts: Facts, asked: str) -> Ours:
    """Our package there, of this version.

    Args:
        facts: of a device.
        asked: the host, as ssh was asked for it.

    Raises:
        MissingError: with the command that installs it.
    """
    if facts.ours is not None and facts.ours.version == __version__:
        return facts.ours
    has = "no edaformer-deploy"
    if facts.ours is not None:
        has = f"edaformer-deploy {facts.ours.version} ({facts.ours.path})"
    line = shlex.join(["edaformer-device", asked, "ask", "--install"])
    raise MissingError(
        f"{asked} has {has}, and this is {__version__}; edaformer-device's --python names another "
        f"Python there; to install it into an environment of its own: {line}"
    )


def _text(value: object) -> str | None:
    return in_one_line(value)[:200] if isinstance(value, str) and value else None


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {str(name): text for name, one in value.items() if (text := _text(one)) is not None}


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
