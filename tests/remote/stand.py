"""A Python on a device that stands where our package would: it builds and measures by count.

An export is the text of its ISR (``export``), a plan is its export, and a frame takes as many
milliseconds as its place in the line. In the device's home, ``built`` has a line for each build,
and ``orders.json`` says what happens to which setting: ``{"build": {ISR: what}, "bench": {ISR:
what}}`` with an exit code, ``kill`` for what the kernel does where memory is short, or ``cut`` for
a cable that is pulled, once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edaformer.engines.tune.device import afar
from edaformer.version import __version__
from tests.remote.sshd import Sshd

_STANDS = """
import hashlib, json, os, pathlib, signal, sys

def sshds(process):
    while process > 1:
        status = pathlib.Path(f"/proc/{process}/status").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in status)
        if fields["Name"].strip().startswith("sshd"):
            yield process
        process = int(fields["PPid"])

command, *words = sys.argv[3:]
home = pathlib.Path.home()
orders = json.loads((home / "orders.json").read_text()).get(command, {})
plans = ["model.onnx"] if command == "build" else [one for one in words if one.endswith(".plan")]
settings = [pathlib.Path(plan).read_text() for plan in plans]
if command == "build":
    with open(home / "built", "a") as file:
        file.write(f"{settings[0]}\\n")
for setting in settings:
    what = orders.get(setting)
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "cut":
        (home / "orders.json").write_text("{}")
        *connection, listener = sshds(os.getpid())
        for process in connection:
            os.kill(process, signal.SIGKILL)
        signal.pause()
    if what is not None:
        print("error: attention is not fused", file=sys.stderr)
        raise SystemExit(what)
if command == "build":
    data = settings[0].encode()
    pathlib.Path("model.plan").write_bytes(data)
    print(json.dumps({"path": "model.plan", "sha256": hashlib.sha256(data).hexdigest(),
                      "manifest": {"engine": {"plan_bytes": len(data)}}}))
else:
    print(json.dumps({"results": [
        {"latency": {"p50": 0.001 * at}, "rounds": [0.001 * at, 0.0012 * at]}
        for at in range(1, len(plans) + 1)
    ]}))
"""


def lay(device: Sshd, monkeypatch: pytest.MonkeyPatch, **orders: dict[str, int | str]) -> None:
    """Put it there, where a person's own environment of ours is looked for."""
    folder = device.home / "edaformer/bin"
    folder.mkdir(parents=True)
    (folder / "stand.py").write_text(_STANDS)
    told = json.dumps({"version": __version__, "python": "3.10.12", "packages": {}})
    (folder / "python").write_text(
        f"#!/bin/sh\nif [ \"$1\" = -c ]; then echo '{told}'; exit; fi\n"
        f'exec {sys.executable} "{folder}/stand.py" "$@"\n'
    )
    (folder / "python").chmod(0o755)
    order(device, **orders)
    monkeypatch.setattr(afar, "make_artifact", export)


def order(device: Sshd, **orders: dict[str, int | str]) -> None:
    """What happens to which setting, by command."""
    (device.home / "orders.json").write_text(json.dumps(orders))


def built(device: Sshd) -> list[str]:
    """The settings that were built there, in their order."""
    return (device.home / "built").read_text().splitlines()


def export(checkpoint: object, options: Any, folder: Path, *, build: bool) -> Path:
    """An export that is the text of its setting."""
    assert not build
    assert options.precision == "fp16"
    path = Path(folder) / options.default_name(Path("tiny.pth"))
    path.write_text(str(options.isr))
    return path
