"""Packages that are broken or old: what ``require`` and ``edaformer-check`` make of them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
import tomllib

from edaformer import packages as own
from edaformer.errors import MissingError, require
from edaformer.export.exporter import ExportResult
from edaformer.packages import HOLES, holes_here, install_again, install_line
from tests.conftest import ROOT
from tests.field import packages

Breaker = Callable[[Path, str], Path]


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python looks into before all others, its modules forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in [*sys.modules]:
        if name.partition(".")[0] in {"cv2", "onnxruntime"}:
            monkeypatch.delitem(sys.modules, name)
    return tmp_path


@pytest.mark.parametrize(
    ("breaker", "told"),
    [
        (packages.half_removed, "is an empty folder, which imports and does nothing: it was half"),
        (packages.built_for_numpy_1, r"was built for another NumPy than .*: pip install 'numpy"),
        (packages.without_a_library, r"does not load \(libGL\.so\.1: cannot open"),
        (packages.importing_itself, r"does not load \(partially initialized module"),
    ],
)
@pytest.mark.parametrize("name", ["cv2", "onnxruntime"])
def test_a_broken_package(breaker: Breaker, told: str, name: str, first: Path) -> None:
    breaker(first, name)
    with pytest.raises(MissingError, match=told) as caught:
        require(name, "video")
    assert "pip uninstall -y " in str(caught.value)  # what is here lies in a shared folder
    assert str(caught.value).endswith(install_line("video"))
    sys.modules.pop(name, None)


def test_a_folder_without_anything(first: Path) -> None:
    packages.emptied(first, "edaformer_test_emptied")
    with pytest.raises(MissingError, match="is an empty folder"):
        require("edaformer_test_emptied", "export")
    assert require("google.protobuf", "export").__name__ == "google.protobuf"  # in a namespace


def test_what_shares_a_folder_is_named(first: Path) -> None:
    for name in ("opencv-python", "opencv-python-headless"):
        packages.installed(first, name, "4.11.0.86")
    assert install_again("cv2", "pip install X") == (
        "opencv-python and opencv-python-headless share its folder: pip uninstall -y opencv-python "
        "opencv-python-headless, then: pip install X"
    )
    assert install_again("safetensors", "pip install X") == "reinstall it: pip install X"


def from_sources(folder: Path) -> str:
    (folder / "pyproject.toml").write_text('[project]\nname = "edaformer-deploy"\n')
    return f"pip install -e '{folder}[cuda]'"


def beside_a_stranger_s_project(folder: Path) -> str:
    (folder / "pyproject.toml").write_text('[project]\nname = "another"\n')
    record(folder, None)
    return "pip install 'edaformer-deploy[cuda]'"


def from_a_folder(folder: Path) -> str:
    clone = folder / "a clone's"
    clone.mkdir()
    record(folder, {"url": clone.as_uri(), "dir_info": {}})
    return f"pip install {shlex.quote(f'{clone}[cuda]')}"


def from_a_wheel(folder: Path) -> str:
    wheel = folder / "edaformer_deploy-0.1.0-py3-none-any.whl"
    wheel.touch()
    record(folder, {"url": wheel.as_uri(), "archive_info": {"hash": "sha256=0"}})
    return f"pip install '{wheel}[cuda]'"


def from_a_wheel_that_is_gone(folder: Path) -> str:
    line = from_a_wheel(folder)
    (folder / "edaformer_deploy-0.1.0-py3-none-any.whl").unlink()
    return f"{line} (which is no longer there: bring it back first)"


def from_an_index(folder: Path) -> str:
    record(folder, None)
    return "pip install 'edaformer-deploy[cuda]'"


def from_an_address(folder: Path) -> str:
    url = "https://example.org/edaformer_deploy-0.1.0-py3-none-any.whl"
    record(folder, {"url": url, "archive_info": {}})
    return f"pip install 'edaformer-deploy[cuda] @ {url}'"


def from_a_repository(folder: Path) -> str:
    info = {"vcs": "git", "commit_id": "0" * 40}
    record(folder, {"url": "https://example.org/x.git", "vcs_info": info})
    return f"pip install 'edaformer-deploy[cuda] @ git+https://example.org/x.git@{'0' * 40}'"


def from_a_damaged_record(folder: Path) -> str:
    record(folder, None)
    written = folder / "edaformer_deploy-0.1.0.dist-info" / "direct_url.json"
    written.write_text("[")
    return "pip install 'edaformer-deploy[cuda]'"


def record(folder: Path, content: object) -> None:
    """As pip writes it (PEP 610)."""
    packages.installed(folder, "edaformer-deploy", "0.1.0")
    if content is not None:
        made = folder / "edaformer_deploy-0.1.0.dist-info" / "direct_url.json"
        made.write_text(json.dumps(content))


@pytest.mark.skipif(sys.platform == "win32", reason="quotes as a POSIX shell reads them")
@pytest.mark.parametrize(
    "origin",
    [from_sources, beside_a_stranger_s_project, from_a_folder, from_a_wheel,
     from_a_wheel_that_is_gone, from_an_index, from_an_address, from_a_repository,
     from_a_damaged_record],
)  # fmt: skip
def test_the_line_that_adds_an_extra(
    origin: Callable[[Path], str], first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pip finds this distribution where it found it the first time."""
    expected = origin(first)
    monkeypatch.setattr(own, "__file__", str(first / "edaformer" / "packages.py"))
    assert install_line("cuda") == expected


def test_windows_knows_no_single_quotes(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(first, None)
    monkeypatch.setattr(own, "__file__", str(first / "edaformer" / "packages.py"))
    monkeypatch.setattr(sys, "platform", "win32")
    assert install_line("cuda") == 'pip install "edaformer-deploy[cuda]"'


def test_without_any_record_the_name_is_all_that_is_known(
    first: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    monkeypatch.setattr(own, "__file__", str(first / "edaformer" / "packages.py"))
    assert install_line("cuda") == "pip install 'edaformer-deploy[cuda]'"


def check(onnx: Path, first: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from edaformer.cli.main import main; main()", "check", onnx],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(first), str(ROOT)))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_check_does_not_say_that_it_will_run(small_export: ExportResult, tmp_path: Path) -> None:
    ran = check(small_export.path, packages.half_removed(tmp_path, "onnxruntime"))
    assert (ran.returncode, ran.stderr) == (3, "")
    assert "will not run here" in ran.stdout
    assert "missing: the package 'onnxruntime' is an empty folder" in ran.stdout
    assert "mend it: pip uninstall -y onnxruntime-gpu, then: pip install" in ran.stdout


@pytest.mark.slow
def test_check_tells_of_a_broken_opencv(small_export: ExportResult, tmp_path: Path) -> None:
    ran = check(small_export.path, packages.built_for_numpy_1(tmp_path, "cv2"))
    assert (ran.returncode, ran.stderr) == (0, "")  # pictures need none
    assert "note: video and cameras will not run: the package 'cv2' was built for" in ran.stdout


@pytest.mark.slow
def test_check_names_what_has_holes(small_export: ExportResult, tmp_path: Path) -> None:
    packages.installed(tmp_path, "torch", "2.8.0+nv25.6")
    packages.installed(tmp_path, "pillow", "12.2.0")
    ran = check(small_export.path, tmp_path)
    assert ran.returncode == 0
    assert "note: torch 2.8.0+nv25.6 has a published hole: a crafted checkpoint" in ran.stdout
    assert "note: pillow 12.2.0 has a published hole" in ran.stdout
    assert ran.stdout.count("published hole") == 2


def test_versions_are_compared_as_numbers(first: Path) -> None:
    """1.9 is before 1.27, and a build of the device's own is what it is called."""
    cases = {"torch": ("2.10.0a0+nv", False), "onnx": ("1.9.0", True), "pillow": ("13.0", False),
             "onnxruntime": ("1.23.0", True), "protobuf": ("6.33.5", False)}  # fmt: skip
    for name, (version, _) in cases.items():
        packages.installed(first, name, version)
    told = {text.split()[0] for text in holes_here()}
    assert told == {name for name, (_, has) in cases.items() if has}


def test_floors_are_above_the_holes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["export"]]
    floors = {}
    for text in wanted:
        name, floor, marker = re.fullmatch(r"([\w-]+)>=([\d.]+)(.*)", text).groups()  # type: ignore[union-attr]
        if "python_version < '3.11'" not in marker:  # has no onnxruntime without one
            floors[name] = floor
    for hole in HOLES:
        for name in hole.distributions:
            assert floors[name] == hole.mended
