"""What pip laid is a wheel again, which pip lays."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from edaformer.errors import MissingError
from edaformer.remote import installing
from edaformer.remote.repacking import repack

NAME, INFO = "small_thing-1.2", "small_thing-1.2.dist-info"
FILES = {
    "small/__init__.py": "VALUE = 7\n",
    "small/a, b.txt": "a comma",
    f"{INFO}/METADATA": "Metadata-Version: 2.1\nName: small-thing\nVersion: 1.2\n",
    f"{INFO}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    f"{INFO}/entry_points.txt": "[console_scripts]\nsmall = small:main\n",
    f"{NAME}.data/data/share/small/example.py": "print()\n",
}


def lay_wheel(folder: Path) -> Path:
    path = folder / f"{NAME}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
        record = "".join(f'"{name}",,\n' for name in [*FILES, f"{INFO}/RECORD"])
        archive.writestr(f"{INFO}/RECORD", record)
    return path


def laid(wheel: Path, prefix: Path) -> metadata.Distribution:
    """Installed under a prefix of its own."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
           "--ignore-installed", "--prefix"]  # fmt: skip
    subprocess.run([*pip, prefix, wheel], check=True, capture_output=True)
    (site,) = prefix.glob("lib/python*/site-packages")
    (found,) = metadata.distributions(name="small-thing", path=[str(site)])
    return found


def test_it_is_the_wheel_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = laid(lay_wheel(tmp_path), tmp_path / "one")
    places = {"data": str(tmp_path / "one"), "scripts": str(tmp_path / "one/bin")}
    monkeypatch.setattr("sysconfig.get_path", places.__getitem__)
    (tmp_path / "made").mkdir()
    made = repack(found, tmp_path / "made")
    assert made.name == f"{NAME}-py3-none-any.whl"
    with zipfile.ZipFile(made) as archive:
        content = {name: archive.read(name).decode() for name in archive.namelist()}
    assert content.pop(f"{INFO}/RECORD").count("sha256=") == len(FILES)
    assert content == FILES
    laid(made, tmp_path / "two")
    assert (tmp_path / "two/share/small/example.py").read_text() == "print()\n"


def test_an_installation_without_a_record_is_said(tmp_path: Path) -> None:
    info = tmp_path / INFO
    info.mkdir()
    (info / "METADATA").write_text(FILES[f"{INFO}/METADATA"])
    with pytest.raises(MissingError, match="run it from a clone"):
        repack(metadata.PathDistribution(info), tmp_path)


def test_without_a_clone_it_is_of_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(installing, "clone", lambda: None)
    monkeypatch.setattr(installing.metadata, "distribution", asked.append)
    monkeypatch.setattr(installing, "repack", lambda _, folder: folder / "x.whl")
    assert installing.make_wheel(tmp_path) == tmp_path / "x.whl"
    assert asked == ["edaformer-deploy"]
