"""What a Jetson says of itself: L4T release, JetPack and TensorRT packages, power mode.

Files only (``/etc/nv_tegra_release``, dpkg's status, the bindings' folder); everything is None on
any other machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_RELEASE = Path("etc/nv_tegra_release")
_PACKAGES = Path("var/lib/dpkg/status")
_BINDINGS = (
    "usr/lib/python3*/dist-packages/tensorrt",
    "usr/local/lib/python3*/dist-packages/tensorrt",
)
_WANTED = re.compile(r"nvidia-jetpack|libnvinfer\d+")


@dataclass(frozen=True)
class Jetson:
    """A Jetson's software."""

    l4t: str  # such as R36.4.3
    jetpack: str | None  # such as 6.2, where the meta package is installed
    tensorrt: str | None  # such as 10.3.0.30, of JetPack's own library


def read_jetson(root: Path = Path("/")) -> Jetson | None:
    """The Jetson whose file system is at ``root``, or None where it is none."""
    try:
        release = (root / _RELEASE).read_text("utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"#\s*(R\d+)\b.*?REVISION:\s*([\d.]+)", release)
    versions = _package_versions(root / _PACKAGES)
    return Jetson(
        l4t=f"{found[1]}.{found[2]}" if found else release.strip()[:40],
        jetpack=versions.get("nvidia-jetpack"),
        tensorrt=next((v for name, v in versions.items() if name.startswith("libnvinfer")), None),
    )


def system_bindings(root: Path = Path("/")) -> Path | None:
    """Where JetPack (or apt) has put TensorRT's Python package, out of a plain venv's sight."""
    found = sorted(path for pattern in _BINDINGS for path in root.glob(pattern))
    return found[-1] if found else None


def _package_versions(status: Path) -> dict[str, str]:
    """Upstream versions (what precedes ``-`` and ``+``) of the installed packages of interest."""
    try:
        text = status.read_text("utf-8", errors="replace")
    except OSError:
        return {}
    versions = {}
    for entry in text.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version): (.+)$", entry, re.MULTILINE))
        wanted = _WANTED.fullmatch(fields.get("Package", ""))
        if wanted and " installed" in fields.get("Status", ""):
            versions[fields["Package"]] = re.split(r"[-+]", fields.get("Version", ""))[0]
    return versions
