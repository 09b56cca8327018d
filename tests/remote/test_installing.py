"""Onto a device that has Debian's own Python and nothing of ours."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edaformer.errors import MissingError
from edaformer.remote import installing
from edaformer.remote.device import Device
from edaformer.remote.facts import Facts
from edaformer.version import __version__
from tests.conftest import ROOT
from tests.remote.sshd import NAME, Sshd, sshd

OTHER = "3.10"  # JetPack 6's
FACTS = Facts.of(
    {"system": "Linux aarch64", "python": "3.10.12", "libc": "2.35", "l4t": "# R36 (release)"}
)


def python_of(version: str) -> Path:
    """The system's Python, or another that is here; skipped where it cannot make environments."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # $HOME is the tests'
    beside = sorted(home.glob(f".pyenv/versions/{version}.*/bin/python3"))
    named = shutil.which(f"python{version}", path="/usr/bin:/usr/local/bin")
    found = (
        Path("/usr/bin/python3") if version == "system" else Path(named or [*beside, "/none"][0])
    )
    can = found.exists() and subprocess.run([found, "-c", "import venv, ensurepip"], check=False)
    if not can or can.returncode:
        pytest.skip(f"needs Python {version} with venv, not tried")
    return found


@pytest.fixture
def bare(
    short: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Sshd]:
    """No edaformer anywhere; python3 is the system's, or another."""
    folder = python_of(request.param).parent
    with sshd(short, {"PATH": f"{folder}:/usr/bin:/bin", "PYTHONPATH": ""}) as made:
        monkeypatch.setenv("PATH", made.path)
        yield made


def test_jetpack_6_gets_what_fits_its_cuda_and_numpy() -> None:
    assert installing._for(FACTS) == ("cuda", ("cuda-bindings<13", "numpy<2"))
    assert installing._for(replace(FACTS, l4t="# R38 (release)")) == ("cuda", ())
    assert installing._for(replace(FACTS, l4t=None)) == (None, ())
    assert installing._for(None) == (None, ())


def test_wheels_are_those_of_the_device() -> None:
    words = installing._target(FACTS)
    assert words[:4] == ["--python-version", "3.10", "--implementation", "cp"]
    assert words[4:6] == ["--platform", "manylinux_2_35_aarch64"]
    assert words[-2:] == ["--platform", "manylinux2014_aarch64"]


@pytest.mark.parametrize("told", [{"python": "3"}, {"system": "Linux"}, {"libc": "2.999999999"}])
def test_what_names_no_wheels_is_said(told: dict[str, str]) -> None:
    with pytest.raises(MissingError, match="no wheels are known for"):
        installing._target(replace(FACTS, **told))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bare", "network"), [("system", True), ("system", False), (OTHER, False)], indirect=["bare"]
)
def test_it_goes_into_an_environment_of_its_own(
    network: bool, bare: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name for path in ROOT.iterdir()}
    if not network:
        (bare.home / ".config/pip").mkdir(parents=True)
        (bare.home / ".config/pip/pip.conf").write_text("[global]\nno-index = true\nfind-links =\n")
    steps: list[str] = []
    with Device(NAME) as device:
        facts = device.ask()
        assert facts is not None
        assert facts.ours is None
        installing.install(device, facts, steps.append)
        after = device.ask()
        device.lay("folder", {})
        assert device.run("folder", ["--version"]).text == f"{__version__}\n"
    assert after is not None
    assert after.ours is not None
    assert after.ours.version == __version__
    (kept,) = (bare.home / ".local/share/edaformer-device").glob("*.whl")
    assert kept.name.startswith("edaformer_deploy-")
    venv = bare.home / ".local/share/edaformer-device/venv"
    assert after.ours.path == str(venv / "bin/python")
    assert "include-system-site-packages = true" in (venv / "pyvenv.cfg").read_text()
    assert ("fetching wheels for orin, whose pip could not" in steps) == (not network)
    assert {"edaformer-deploy", "numpy", "pydantic", "typer"} <= packages(venv)
    own = packages(venv, "--local")  # without the system's, which may have some of these
    assert "edaformer-deploy" in own
    assert "torch" not in own
    assert {path.name for path in ROOT.iterdir()} == before
    assert not list(bare.cache.glob("install-*"))
    assert bare.left() == []


def packages(venv: Path, *options: str) -> set[str]:
    """Names of what pip lists there."""
    line = [venv / "bin/python", "-I", "-m", "pip", "list", *options, "--format=json"]
    listed = subprocess.run(line, capture_output=True, check=True)
    return {one["name"].lower() for one in json.loads(listed.stdout)}
