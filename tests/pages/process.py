"""A page's blocks of one place, one after the other, in a process of its own.

    python -m tests.pages.process PAGE PLACE FOLDER KIT ANSWERS

One process a page: torch is imported once. The small network that the pages' checkpoints hold is
known to the family in here; all else is as it is for a user.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import onnxruntime
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.families.edaformer.sizes import VARIANTS
from tests.pages import page
from tests.pages.files import VARIABLES, Kit
from tests.pages.listed import reason, snippet_reason
from tests.pages.page import ROOT, Block
from tests.tiny import TINY

HERE, DEVICE = "here", "device"
_SHOWN = 3000  # characters of what a line said


@dataclass(frozen=True)
class Answer:
    """What became of a line or a snippet."""

    where: str
    text: str
    code: int
    said: str


def places(blocks: list[Block]) -> list[tuple[Block, str]]:
    """A page's blocks that run, each with its place, in their order.

    From the first that needs the device on all are typed there, but what says TensorRT-RTX, which
    the emulated one does not have.
    """
    found: list[tuple[Block, str]] = []
    where = HERE
    for block in blocks:
        if not _runs(block):
            continue
        where = DEVICE if _needs_device(block) else where
        found.append((block, HERE if "rtx" in block.text else where))
    return found


def _runs(block: Block) -> bool:
    if block.language == "python":
        return snippet_reason(block.page, block.text) is None
    return any(reason(block.page, line) is None for line in block.commands)


def _needs_device(block: Block) -> bool:
    if block.language == "python":
        return any(word in block.text for word in (".plan", "Engine.", "Ladder."))
    run = [line for line in block.commands if reason(block.page, line) is None]
    return any(_line_needs_device(line) for line in run)


def _line_needs_device(line: str) -> bool:
    """Runs a plan, or builds one with a TensorRT that needs a GPU for it."""
    for words in page.parts(line):
        command = words[0].removeprefix("edaformer-")
        command = words[1] if command == "edaformer" and len(words) > 1 else command
        reads = any(word.endswith(".plan") for word in words[1:] if not _follows(words, word, "-o"))
        if reads and (command in {"run", "bench", "validate"} or "--run" in words):
            return True
        if reads and any(word.endswith(".py") for word in words):
            return True
        if command == "build" and "--target" in words:
            return not {"onnxruntime", "nvinfer"} & set(words)
        if command == "build" and _follows(words, "tensorrt", "--backend"):
            return True
    return False


def _follows(words: list[str], word: str, option: str) -> bool:
    return word in words and words[words.index(word) - 1] == option


def main() -> None:
    """Run them, and write what became of each."""
    name, where, folder, kit, answers = sys.argv[1:]
    VARIANTS[TINY.name] = TINY
    if where == DEVICE:  # it emulates a driver for plans; ONNX Runtime is the CPU's, as on a Jetson
        onnxruntime.get_available_providers = lambda: ["CPUExecutionProvider"]
    given = Kit(Path(kit), where, _made)
    os.chdir(folder)
    for link in ("benchmarks", "examples", "tools", "edaformer"):
        Path(link).symlink_to(ROOT / link)
    found = list(_run(name, where, given))
    Path(answers).write_text(json.dumps([asdict(answer) for answer in found]))


def _run(name: str, where: str, kit: Kit) -> Iterator[Answer]:
    known: dict[str, object] = {"__name__": "__main__"}
    for block in [one for one, at in places(page.blocks(ROOT / name)) if at == where]:
        if block.language == "python":
            code = VARIABLES[""] + VARIABLES.get(name, "")
            kit.give(code + block.text, Path())
            yield Answer(block.where, block.first, *_snippet(code, block, known))
            continue
        for line in block.commands:
            if reason(name, line) is None:
                kit.give(line, Path())
                yield Answer(block.where, line, *_line(line))


def _line(line: str) -> tuple[int, str]:
    """In this process where it is one command of the package, else by a shell."""
    (words, *others) = page.parts(line)
    if page.is_simple(line) and page.is_ours(words) and not others:
        return _typed(words)
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False, env=env
    )
    return done.returncode, (done.stdout + done.stderr)[-_SHOWN:]


def _typed(words: list[str]) -> tuple[int, str]:
    if words[1:3] == ["-m", "edaformer"]:
        words = words[2:]
    command = words[0].removeprefix("edaformer").removeprefix("-")
    ran = CliRunner().invoke(app, [*([command] if command else []), *words[1:]])
    said = ran.stdout + ran.stderr
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        said += "".join(traceback.format_exception(ran.exception))
    return ran.exit_code, said[-_SHOWN:]


def _made(line: str, folder: Path) -> None:
    """For the kit: a command that has to succeed."""
    with contextlib.chdir(folder):
        code, said = _typed(["edaformer", *line.split()])
    assert code == 0, f"{line}\n{said}"


def _snippet(before: str, block: Block, known: dict[str, object]) -> tuple[int, str]:
    """With the page's variables, and the names of its earlier snippets."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            exec(before, known)
            exec(compile("\n" * (block.line - 1) + block.text, block.page, "exec"), known)
        except Exception:  # noqa: BLE001  # a snippet raises what it likes
            traceback.print_exc()
            return 1, said.getvalue()[-_SHOWN:]
    return 0, said.getvalue()[-_SHOWN:]


if __name__ == "__main__":
    main()
