"""A device's answers as files: each remote command writes what lies in a file of its name.

``edaformer-device`` is run with an ssh that connects to nobody: of ``there.py``'s verbs and our
commands it takes only the name, and plays back what was laid, damaged or not.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shlex
import shutil
from collections import deque
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

from edaformer.closing import Closing
from edaformer.remote.there import MARK
from edaformer.version import __version__
from tests.hostile import sound
from tests.hostile.damage import Damage
from tests.hostile.damage.documents import JSONS
from tests.hostile.damage.plain import PLAIN
from tests.hostile.reader import FindError, command

ANSWERS = "answers"
OUT = "model.orin"
_PICTURE = "overlay/input0001.png"


def lay(folder: Path) -> None:
    """The answers of a device that works, made by our commands here."""
    sound.lay_onnx(folder / "model.onnx")
    (folder / "p.png").write_bytes(_png())
    answers = folder / ANSWERS
    answers.mkdir()
    told: dict[str, Any] = {
        "ask": {
            "host": "orin", "system": "Linux aarch64", "python": "3.10.12", "libc": "2.35",
            "board": "Jetson", "l4t": "# R36 (release)", "packages": {"libnvinfer10": "10.3"},
            "driver": "540.4", "power_mode": "15W", "disk_free": 10**10, "memory": 10**10,
            "memory_available": 10**10,
            "ours": {"path": "/x/python", "python": "3.10.12", "version": __version__,
                     "packages": {"tensorrt": "10.3"}},
        },
        "hold": {"held": "ann@desk"}, "put": {"have": 1 << 40}, "lay": {"laid": 2},
        "trim": {"kept": 1, "freed": 0},
    }  # fmt: skip
    for verb, one in told.items():
        (answers / verb).write_bytes(_answer(one))
    model = folder / "model.onnx"
    check = command(folder, "check", model, "--run", "--json")
    run = command(folder, "run", model, folder / "p.png", "-o", folder / "made", "--json")
    record = min((Path(__file__).parents[2] / "benchmarks/records").glob("*.json")).read_text()
    for name, text in (("check", check), ("run", run), ("bench", record)):
        line = json.dumps(json.loads(text))
        (answers / name).write_bytes(_answer({"again": True}) + line.encode())
    picture = _png()
    digest = hashlib.sha256(picture).hexdigest()
    files = _answer({"file": _PICTURE, "size": len(picture), "sha256": digest}) + picture
    (answers / "tree").write_bytes(_answer({"there": True}) + files + _answer({"files": 1}))
    shutil.rmtree(folder / "made")


def read(folder: Path) -> str:
    """What three commands make of them; nothing gets a name beside the folder of results."""
    before = {path for path in folder.rglob("*") if OUT not in path.parts}
    model, out = folder / "model.onnx", folder / OUT
    ways = (("check",), ("run", "--input", folder / "p.png"), ("bench",))
    with mock.patch("edaformer.remote.device.Ssh", lambda host: Played(host, folder / ANSWERS)):
        told = [
            command(folder, "device", "orin", verb, model, "--out", out, *more)
            for verb, *more in ways
        ]
    beside = {path for path in folder.rglob("*") if OUT not in path.parts} - before
    if beside:
        raise FindError(f"writes {sorted(map(str, beside))} beside the results")
    return "".join(told)


def _of_json(damage: Damage) -> Damage:
    """To one of the file's JSON documents: an answer, or what the command wrote after it."""

    def change(dice: Random, data: bytes) -> bytes:
        parts = re.split(rb"(^%b|\n%b|\n)" % (MARK.encode(), MARK.encode()), data)
        places = [at for at, part in enumerate(parts) if part.startswith(b"{")]
        if places:
            at = dice.choice(places)
            parts[at] = damage(dice, parts[at]).replace(b"\n", b" ")
        return b"".join(parts)

    change.__name__ = f"answer_{damage.__name__}"
    return change


DAMAGES = (*map(_of_json, JSONS), *PLAIN)


class Played(Closing):
    """Stands for Ssh."""

    def __init__(self, host: str, answers: Path) -> None:
        self.host, self._answers = host, answers

    def open(self) -> None:
        """Nobody is connected to."""

    def start(self, line: str, on_line: Any = None, *, beats: bool = False) -> Channel:
        """The file of a verb, or of our command."""
        words = shlex.split(line)
        if words[0] == "sh":
            return Channel(b"here\n")
        verb = words[2] if words[2] != "run" else words[6]
        return Channel((self._answers / verb).read_bytes())

    def close(self) -> None:
        """Nothing is held."""


class Channel(Closing):
    """Stands for a remote command that has said all."""

    def __init__(self, data: bytes) -> None:
        self.stdin, self.stdout = io.BytesIO(), io.BytesIO(data)
        self.errors: deque[str] = deque()

    def send(self, data: bytes) -> bool:
        """Nobody listens."""
        return True

    def wait(self) -> int:
        """It ended well."""
        return 0

    def close(self) -> None:
        """Nothing is held."""


def _answer(content: dict[str, Any]) -> bytes:
    return f"{MARK}{json.dumps(content)}\n".encode()


def _png() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(sound.picture()).save(file, "png")
    return file.getvalue()
