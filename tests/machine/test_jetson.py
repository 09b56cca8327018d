from __future__ import annotations

from pathlib import Path

from edaformer.machine.jetson import Jetson, read_jetson, system_bindings

RELEASE = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"
STATUS = """Package: nvidia-jetpack
Status: install ok installed
Version: 6.2+b77

Package: libnvinfer10
Status: install ok installed
Version: 10.3.0.30-1+cuda12.5

Package: libnvinfer8
Status: deinstall ok config-files
Version: 8.6.2.3-1+cuda12.2
"""


def test_a_jetson(tmp_path: Path) -> None:
    for name, text in (("etc/nv_tegra_release", RELEASE), ("var/lib/dpkg/status", STATUS)):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    assert read_jetson(tmp_path) == Jetson("R36.4.3", "6.2", "10.3.0.30")


def test_without_packages_and_elsewhere(tmp_path: Path) -> None:
    assert read_jetson(tmp_path) is None
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text(RELEASE)
    assert read_jetson(tmp_path) == Jetson("R36.4.3", None, None)


def test_bindings_of_the_system_s_python(tmp_path: Path) -> None:
    assert system_bindings(tmp_path) is None
    package = tmp_path / "usr/lib/python3.10/dist-packages/tensorrt"
    package.mkdir(parents=True)
    assert system_bindings(tmp_path) == package
