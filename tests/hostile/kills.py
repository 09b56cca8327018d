"""SIGKILL at random moments of every command that writes: what has a name afterwards is whole.

Commands run in a fork of this process, which has their libraries ready, so that the moments fall
into their work. Those that go on where they were must then end as if nobody had killed them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from PIL import Image

from tests.hostile import sound
from tests.hostile.whole import is_whole

_RTX = ("--backend", "tensorrt-rtx", "--allow-unfused")
_INT8 = ("--precision", "int8", "--quantise", "mlp,decoder", "--min-agreement", "0")
_SETTINGS = ("front", "pick", "sensitivity", "trials", "evaluations")
_BETWEEN = re.compile(r"(^|/)\.[0-9a-f]{16}\.part$")  # whole, on its way to replace another
_PATIENCE = 300  # seconds that a command may take when nobody kills it


@dataclass(frozen=True)
class Writer:
    """A command that writes, in a folder of sound files."""

    name: str
    words: Callable[[Path, Path], tuple[object, ...]]  # of the sound files, and of the output
    share: float  # of the kills: tracing takes long, and writes nothing
    result: Callable[[Path], object] | None = None  # of a finished run; None: files alone count


@dataclass
class Killed:
    """What came of the kills of a command."""

    kinds: Counter[str] = field(default_factory=Counter)
    finds: list[str] = field(default_factory=list)
    seconds: float = 0.0


def _export(base: Path, out: Path) -> tuple[object, ...]:
    return ("export", base / "m.safetensors", "-o", out / "x.onnx", "--size", "64x96",
            "--precision", "fp32", "--isr", "16,8,2,1-2,2,4")  # fmt: skip


def _export_int8(base: Path, out: Path) -> tuple[object, ...]:
    return ("export", base / "m.safetensors", "-o", out / "x.onnx", *_INT8,
            "--calibrate", f"folder:{base / 'streets'}")  # fmt: skip


def _build_int8(base: Path, out: Path) -> tuple[object, ...]:
    """Its FP16 twin too, which is built meanwhile."""
    return ("build", base / "int8.onnx", "-o", out / "x.plan", *_RTX, "--even-if-heavier")


def _build_against(base: Path, out: Path) -> tuple[object, ...]:
    """Another plan instead."""
    return (*_build_int8(base, out), "--against", base / "half.plan")


def _build(base: Path, out: Path) -> tuple[object, ...]:
    return ("build", base / "x.onnx", "-o", out / "x.plan", *_RTX)


def _validate(base: Path, out: Path) -> tuple[object, ...]:
    return ("validate", base / "x.onnx", "--checkpoint", base / "m.safetensors", "--data",
            f"folder:{base / 'data'}", *sound.LOOSE, "--cache", out / "cache", "--save-reference",
            out / "x.ref", "--report", out / "x.html", "--junit", out / "x.xml")  # fmt: skip


def _tune(base: Path, out: Path) -> tuple[object, ...]:
    return ("tune", base / "m.safetensors", "--data", f"folder:{base / 'data'}", "--trials", 6,
            "--holdout", 0.5, "--out", out / "tuning", "--resume", "--trust-labels")  # fmt: skip


def _run(base: Path, out: Path) -> tuple[object, ...]:
    return ("run", base / "x.onnx", base / "pictures", "-o", out / "pictures", "--save",
            "overlay,labels,ids", "--video", out / "x.mp4", "--stats", out / "x.csv")  # fmt: skip


def _reference(out: Path) -> object:
    from edaformer.files import sha256

    return sha256(out / "x.ref")


def _exported(out: Path) -> object:
    """The same pictures give the same file."""
    from edaformer.files import sha256

    return sha256(out / "x.onnx")


def _tuned(out: Path) -> object:
    made = json.loads((out / "tuning/tune.json").read_text())
    return [made[name] for name in _SETTINGS]


def _areas(out: Path) -> object:
    return sorted(path.name for path in out.rglob("*")), (out / "x.csv").read_text()


WRITERS = (
    Writer("export", _export, 0.05), Writer("export int8", _export_int8, 0.05, _exported),
    Writer("build", _build, 0.15), Writer("build int8", _build_int8, 0.1),
    Writer("against", _build_against, 0.05), Writer("validate", _validate, 0.2, _reference),
    Writer("tune", _tune, 0.2, _tuned), Writer("run", _run, 0.2, _areas),
)  # fmt: skip


def lay(base: Path) -> None:
    """What the commands read."""
    from edaformer.files import sha256

    sound.lay_safetensors(base / "m.safetensors")
    sound.lay_onnx(base / "x.onnx", sha256(base / "m.safetensors"))
    sound.lay_folder_data(base / "data")
    sound.lay_folder_data(base / "streets", 12)
    for made in (
        (*_export_int8(base, base), "-o", base / "int8.onnx"),
        ("export", base / "m.safetensors", "-o", base / "half.onnx"),
        ("build", base / "half.onnx", "-o", base / "half.plan", *_RTX),
    ):
        if _end(_start(made, base / "log"), _PATIENCE) != 0:  # it leaves no threads here
            raise RuntimeError(f"{made[0]}: {(base / 'log').read_text()[-2000:]}")
    (base / "pictures").mkdir()
    for index in range(20):
        Image.fromarray(sound.picture(index)).save(base / f"pictures/{index}.png")


def kill(writer: Writer, base: Path, folder: Path, kills: int, dice: Random) -> Killed:
    """Run it whole, kill it ``kills`` times, let it end, and compare."""
    import torch

    torch.set_num_threads(1)
    made = Killed()
    whole, out = folder / "whole", folder / "killed"
    for one in (whole, out):
        one.mkdir(parents=True)
    start = time.monotonic()
    code = _end(_start(writer.words(base, whole), folder / "log"), _PATIENCE)
    made.seconds = time.monotonic() - start
    if code != 0:
        raise RuntimeError(
            f"{writer.name} ends with {code}: {(folder / 'log').read_text()[-2000:]}"
        )
    seconds = made.seconds
    while made.kinds["killed"] < kills and made.kinds["ended"] < 4 * kills:
        child = _start(writer.words(base, out), folder / "log")
        least = dice.choice((0.0, 0.9))  # half of them near the end, where files get their names
        start = time.monotonic()
        if _end(child, dice.uniform(least, 1.0) * seconds) < 0:
            made.kinds["killed"] += 1
        else:  # what is cached is quick: kill the next one sooner
            made.kinds["ended"] += 1
            seconds = time.monotonic() - start
        made.finds += [f"{writer.name}: {name}" for name in _odd(out) if not _BETWEEN.search(name)]
    if _end(_start(writer.words(base, out), folder / "log"), _PATIENCE) != 0:
        made.finds.append(f"{writer.name}: cannot go on: {(folder / 'log').read_text()[-500:]}")
    elif writer.result is not None and writer.result(out) != writer.result(whole):
        made.finds.append(f"{writer.name}: ends with another result than without a kill")
    made.finds += [f"{writer.name}, at the end: {name}" for name in _odd(out)]
    return made


def _odd(out: Path) -> list[str]:
    """Files that are not whole. SQLite's journal undoes what a kill cut short."""
    files = [p for p in out.rglob("*") if p.is_file() and not p.name.endswith(".sqlite-journal")]
    return [str(path.relative_to(out)) for path in files if not is_whole(path)]


def _start(words: tuple[object, ...], log: Path) -> int:
    """Fork, and run the command there; its process."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            sys.stdout, sys.stderr = (
                os.fdopen(1, "w", closefd=False),
                os.fdopen(2, "w", closefd=False),
            )
            from edaformer.cli.main import app

            try:
                app([str(word) for word in words])
            except SystemExit as error:
                code = int(error.code or 0)
    finally:
        os._exit(code)


def _end(child: int, seconds: float) -> int:
    """Its exit code, or the signal's negative where it has not ended after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def get_ready() -> None:
    """Import what the commands import, so that a fork begins with its work."""
    import matplotlib.figure
    import onnxruntime
    import tensorrt_rtx
    import torch._dynamo
    import torch.export
    import torch.onnx

    import edaformer.cli.main
    import edaformer.engines.build.build
    import edaformer.engines.run.run
    import edaformer.engines.tune.tune
    import edaformer.engines.validate.validate
    import edaformer.export.exporter  # noqa: F401

    del matplotlib, onnxruntime, tensorrt_rtx, torch
    sound.know_atom()


def main(kills: int, seed: int) -> int:
    """The long run, with a table; 1 where anything was found."""
    get_ready()
    finds = []
    print(f"{'command':12}{'kills':>8}{'ended':>8}{'finds':>8}{'seconds whole':>16}")
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "home")
        (folder / "base").mkdir()
        lay(folder / "base")
        for writer in WRITERS:
            each, dice = max(round(kills * writer.share), 1), Random(f"{seed}/{writer.name}")
            made = kill(writer, folder / "base", folder / writer.name, each, dice)
            kinds = made.kinds
            print(f"{writer.name:12}{kinds['killed']:>8}{kinds['ended']:>8}{len(made.finds):>8}"
                  f"{made.seconds:>16.1f}", flush=True)  # fmt: skip
            finds += made.finds
    print("\n".join(finds))
    return 1 if finds else 0
