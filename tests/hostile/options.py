"""Command lines: any option of any command with a value that nobody can have meant."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random

import typer

from tests.hostile import sound
from tests.hostile.reader import command

_VALUES = (
    "nan", "inf", "-inf", "-1", "0", "", " ", "x", "1e400", "é", "a" * 5000, "a\x1b[31m", ",",
    "/dev/full", "/dev/null", "/proc/none/x", "0x0", "1x1", "99999999x1", "-1x5", "1,2,3,4",
    "x.onnx", "loop", "data", "9" * 400, "scenes:0", "\udcff", "'; --",
)  # fmt: skip
_LINES = {
    "info": ["x.onnx"],
    "check": ["x.onnx", "--run"],
    "run": ["x.onnx", "data/images", "-o", "out"],
    "validate": ["x.onnx", "--checkpoint", "m.safetensors", "--data", "folder:data", *sound.LOOSE],
    "bench": ["x.onnx", "--data", "folder:data", "--duration", "0.05", "--rounds", "1"],
    "tune": ["m.safetensors", "--data", "folder:data", "--trials", "2", "--trust-labels"],
    "export": ["m.safetensors", "--opset", "1"],  # refused: tracing takes long
}
_OFTEN = ("info", "check", "run", "validate", "tune", "export") * 3 + ("bench",)


def lay(folder: Path) -> None:
    """What the lines name, and a link to itself."""
    from edaformer.files import sha256

    sound.lay_safetensors(folder / "m.safetensors")
    sound.lay_onnx(folder / "x.onnx", sha256(folder / "m.safetensors"))
    sound.lay_folder_data(folder / "data")
    (folder / "loop").symlink_to("loop")
    (folder / "words.json").write_text(json.dumps(["info", *_LINES["info"]]))


def odd(dice: Random, data: bytes) -> bytes:
    """A line with one option too many, or one that is odd."""
    del data
    name = dice.choice(_OFTEN)
    options = [p for p in _commands()[name].params if p.param_type_name == "option"]
    option = dice.choice([p for p in options if p.name not in {"help", "debug"}])
    words = [name, *_LINES[name], option.opts[0]]
    if not getattr(option, "is_flag", False):
        words.append(dice.choice(_VALUES))
    return json.dumps(words).encode()


def read(folder: Path) -> str:
    """Run the line in the folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        command(folder, *json.loads((folder / "words.json").read_text()))
    finally:
        os.chdir(before)
    return ""


def _commands() -> dict[str, typer.core.TyperCommand]:
    from edaformer.cli.main import app

    return typer.main.get_command(app).commands  # type: ignore[attr-defined,no-any-return]
