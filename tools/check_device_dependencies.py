"""Check that a Jetson can install the base dependencies from binary wheels alone.

Resolves them for CPython 3.10 (JetPack 6) and 3.12 (JetPack 7) on aarch64 with pip, without
installing anything, and prints what was chosen. docs/dependencies.md holds the last result.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PYTHONS = {"3.10": "JetPack 6", "3.12": "JetPack 7"}
GLIBC = {"3.10": 35, "3.12": 39}  # Ubuntu 22.04 and 24.04
OLDEST = 17


def main() -> int:
    """Print a table; the exit code is 1 if anything has no wheel."""
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    block = text[text.index("dependencies = [") : text.index("[project.optional")]
    requirements = re.findall(r'"([^"]+)"', block)
    failed = False
    for version, name in PYTHONS.items():
        chosen = resolve(version, requirements)
        failed |= chosen is None
        print(f"\nCPython {version} on aarch64 ({name})")
        print("\n".join(f"  {line}" for line in chosen or ["does not resolve"]))
    return int(failed)


def resolve(version: str, requirements: list[str]) -> list[str] | None:
    """Names and versions of all wheels, or None."""
    tags = [f"manylinux_2_{minor}_aarch64" for minor in range(OLDEST, GLIBC[version] + 1)]
    platforms = [part for tag in [*tags, "manylinux2014_aarch64"] for part in ("--platform", tag)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed",
            "--only-binary=:all:", "--python-version", version, "--implementation", "cp",
            "--target", folder, "--report", str(report), *platforms, *requirements,
        ]  # fmt: skip
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            print(done.stderr, file=sys.stderr)
            return None
        items = json.loads(report.read_text())["install"]
    return sorted(f"{item['metadata']['name']} {item['metadata']['version']}" for item in items)


if __name__ == "__main__":
    sys.exit(main())
