"""Through a real sshd, to a Python there that stands where our package would."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from edaformer.engines.tune.device import afar
from edaformer.engines.tune.device.costs import Costs
from edaformer.engines.tune.device.targets import resolve
from edaformer.engines.tune.search.rows import Latency
from edaformer.engines.tune.search.trials import Trials
from edaformer.engines.tune.tune import _thinned
from edaformer.errors import GateError, MissingError, RemoteError
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import BASE, ISR
from edaformer.version import __version__
from tests.remote.sshd import NAME, Sshd

HOST = f"ssh://{NAME}"
SETTINGS = [BASE, ISR.parse("16,8,4,1"), ISR.parse("16,8,4,2-2,4,8")]
# Builds, and counts; a frame takes as many milliseconds as its place in the line
STANDS = """
import hashlib, json, os, pathlib, sys
command, *words = sys.argv[3:]
if "nothing" == command:
    print("error: attention is not fused", file=sys.stderr)
    raise SystemExit(1)
if command == "build":
    data = pathlib.Path("model.onnx").read_bytes()
    pathlib.Path("model.plan").write_bytes(data)
    with open(pathlib.Path.home() / "built", "a") as file:
        file.write("built\\n")
    print(json.dumps({"path": "model.plan", "sha256": hashlib.sha256(data).hexdigest(),
                      "manifest": {"engine": {"plan_bytes": len(data)}}}))
else:
    plans = [word for word in words if word.endswith(".plan")]
    assert all(pathlib.Path(plan).is_file() for plan in plans)
    print(json.dumps({"results": [
        {"latency": {"p50": 0.001 * at}, "rounds": [0.001 * at, 0.0012 * at]}
        for at in range(1, len(plans) + 1)
    ]}))
"""


@pytest.fixture
def stand(orin: Sshd, monkeypatch: pytest.MonkeyPatch) -> Sshd:
    folder = orin.home / "edaformer/bin"
    folder.mkdir(parents=True)
    (folder / "stand.py").write_text(STANDS)
    told = json.dumps({"version": __version__, "python": "3.10.12", "packages": {}})
    (folder / "python").write_text(
        f"#!/bin/sh\nif [ \"$1\" = -c ]; then echo '{told}'; exit; fi\n"
        f'exec {sys.executable} "{folder}/stand.py" "$@"\n'
    )
    (folder / "python").chmod(0o755)

    def export(checkpoint: object, options: Any, folder: Path, *, build: bool) -> Path:
        assert not build
        assert options.precision == "fp16"
        path = folder / options.default_name(Path("tiny.pth"))
        path.write_text(str(options.isr))
        return Path(path)

    monkeypatch.setattr(afar, "make_artifact", export)
    return orin


def test_settings_are_built_and_measured_there(stand: Sshd, tiny_checkpoint: Checkpoint) -> None:
    steps: list[str] = []
    made = afar.measure_there(tiny_checkpoint, SETTINGS, (64, 96), host=HOST, on_step=steps.append)
    assert [made[isr].seconds for isr in SETTINGS] == pytest.approx([0.001, 0.002, 0.003])
    assert made[BASE] == Latency(0.001, len(str(BASE)), pytest.approx(0.2))
    assert f"building {SETTINGS[1]} on {HOST}, 2 of 3" in steps
    assert steps[-1] == f"measuring 3 settings on {HOST}, taking turns"
    assert stand.left() == []


def test_nothing_is_built_or_measured_twice(
    stand: Sshd, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    target = resolve(HOST)
    for resume in (False, True):
        costs = Costs(tiny_checkpoint, (64, 96), (64, 96), target)
        bound = {"checkpoint": "x"}
        with Trials.open(
            tmp_path / "trials", bound, BASE.places, resume=resume, on_note=print
        ) as trials:
            costs.measure(SETTINGS, trials, print)
        assert set(costs.measured) == set(SETTINGS)
    assert (stand.home / "built").read_text() == "built\n" * 3
    afar.measure_there(tiny_checkpoint, SETTINGS, (64, 96), host=HOST)  # without the trials
    assert (stand.home / "built").read_text() == "built\n" * 3


def test_the_target_says_where(stand: Sshd) -> None:
    target = resolve(HOST)
    assert target.label.endswith(f"at {HOST}")
    assert (target.host, target.measured_on) == (HOST, "cuda")
    assert target.memory_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize("command", ["build", "bench"])
def test_what_the_device_refuses_is_told(
    command: str, stand: Sshd, tiny_checkpoint: Checkpoint
) -> None:
    stand_py = stand.home / "edaformer/bin/stand.py"
    stand_py.write_text(STANDS.replace('"nothing"', repr(command)))
    with pytest.raises(GateError, match="exit code 1: error: attention is not fused"):
        afar.measure_there(tiny_checkpoint, SETTINGS[:1], (64, 96), host=HOST)


def test_a_device_without_our_package_is_said(stand: Sshd) -> None:
    python = stand.home / "edaformer/bin/python"
    python.write_text(python.read_text().replace(__version__, "0.0.9"))
    with pytest.raises(MissingError, match=f"edaformer-device {HOST} ask --install"):
        resolve(HOST)


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs ssh (Debian: openssh-client)")
def test_nobody_there() -> None:
    with pytest.raises(RemoteError, match="no host of that name"):
        resolve("ssh://nobody.invalid")


def test_how_many_are_built_is_bounded() -> None:
    every = [ISR.parse(f"{a},{b},{c},1") for a in (8, 16, 32, 64) for b in (4, 8, 16, 32)
             for c in (2, 4, 8)]  # fmt: skip
    few = _thinned(every, {every[5]}, every[7])
    assert len(few) == afar.MOST_BUILT
    assert {every[5], every[7], every[0], every[-1]} <= set(few)
    assert _thinned(every[:4], (), None) == every[:4]
