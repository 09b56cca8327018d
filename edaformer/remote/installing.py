"""This package onto a device: a wheel made here, into an environment of its own there.

The environment is made by the system's Python and sees its packages, since TensorRT's come with
JetPack. Nothing is installed outside it. What the wheel needs pip fetches there; where that fails,
as without a network, the wheels for the device's Python and processor are fetched here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from edaformer.errors import MissingError
from edaformer.packages import DISTRIBUTION, clone
from edaformer.printable import in_one_line
from edaformer.remote.device import Device
from edaformer.remote.facts import Facts
from edaformer.remote.repacking import repack

_PARTS = ("pyproject.toml", "README.md", "LICENSE", "edaformer", "examples")  # of a clone
_OLDEST_GLIBC = 17  # manylinux2014's
Step = Callable[[str], None]


def install(device: Device, facts: Facts | None, on_step: Step) -> None:
    """This version there.

    Args:
        device: connected.
        facts: what it has; None of a dry run.
        on_step: told what is being done.

    Raises:
        MissingError: if it cannot be, in words.
    """
    with tempfile.TemporaryDirectory(prefix="edaformer-device-") as made:
        folder = Path(made)
        on_step("making a wheel")
        wheel = make_wheel(folder)
        on_step(f"installing on {device.host}")
        own = {wheel.name: device.put(wheel)}
        extra, others = _for(facts)
        if device.install(own, {}, extra, others):
            return
        assert facts is not None
        on_step(f"fetching wheels for {device.host}, whose pip could not")
        found = fetch_wheels(wheel, facts, folder / "wheels")
        on_step(f"installing on {device.host}, without a network there")
        wheels = {path.name: device.put(path) for path in found}
        if not device.install(own, wheels, None, ()):
            raise MissingError(
                f"pip on {device.host} failed, with its own network and with wheels fetched here; "
                "install it by hand: docs/jetson.md"
            )


def make_wheel(folder: Path) -> Path:
    """Of the clone that this runs from, or else of what is installed; nothing is left in either.

    Raises:
        MissingError: if pip, or this installation, does not allow it.
    """
    source = clone()
    if source is None:
        return repack(metadata.distribution(DISTRIBUTION), folder)
    copy = folder / "source"
    copy.mkdir()
    for name in _PARTS:
        if (source / name).is_dir():
            shutil.copytree(
                source / name, copy / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(source / name, copy)
    _pip("wheel", "--no-deps", "--wheel-dir", folder, copy, doing="making a wheel")
    (wheel,) = folder.glob("*.whl")
    return wheel


def fetch_wheels(wheel: Path, facts: Facts, folder: Path) -> list[Path]:
    """What a wheel needs, for the Python and processor of a device.

    Raises:
        MissingError: if there is no wheel of something.
    """
    options = ["--only-binary", ":all:", "--dest", folder, *_target(facts)]
    _pip("download", *options, wheel, doing=f"fetching wheels for {facts.system}")
    return sorted(path for path in folder.glob("*.whl") if path.name != wheel.name)


def _for(facts: Facts | None) -> tuple[str | None, tuple[str, ...]]:
    """The extra that runs plans, and what JetPack 6 wants beside it (docs/jetson.md)."""
    if facts is None or (facts.l4t is None and facts.driver is None):
        return None, ()
    jetpack6 = facts.l4t is not None and re.search(r"\bR36\b", facts.l4t) is not None
    return "cuda", ("cuda-bindings<13", "numpy<2") if jetpack6 else ()


def _target(facts: Facts) -> list[str]:
    """As pip has it: the tags of PEP 600 from the device's glibc down."""
    python = re.fullmatch(r"(\d+)\.(\d+)\..*", facts.python)
    processor = re.fullmatch(r".* (\w+)", facts.system)
    libc = re.fullmatch(r"2\.(\d{1,3})", facts.libc or f"2.{_OLDEST_GLIBC}")
    if not python or not processor or not libc:
        raise MissingError(
            f"no wheels are known for {facts.system}, Python {facts.python}, glibc {facts.libc}; "
            "install it by hand: docs/jetson.md"
        )
    tags = [f"manylinux_2_{at}_{processor[1]}" for at in range(int(libc[1]), _OLDEST_GLIBC - 1, -1)]
    tags.append(f"manylinux2014_{processor[1]}")
    platforms = [word for tag in tags for word in ("--platform", tag)]
    version = f"{python[1]}.{python[2]}"
    return ["--python-version", version, "--implementation", "cp", *platforms]


def _pip(*words: object, doing: str) -> None:
    command = [sys.executable, "-m", "pip", *map(str, words), "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        said = in_one_line((lines or done.stderr.splitlines() or ["no reason"])[-1])
        raise MissingError(f"{doing} failed: {said}; pip here needs a network for it")
