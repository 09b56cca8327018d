"""Run commands as Windows would have them: ``python -m tests.windows COMMANDS.json``.

There are no nameless files, folders cannot be opened, names have no colons, POSIX's functions are
absent, text files are read in the console's code page unless they say otherwise, and the console is
strict about it. Python itself stays Linux's: this finds what we ask of a system.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import warnings
from pathlib import Path

_ABSENT = ("O_TMPFILE", "O_DIRECTORY", "sched_getaffinity", "sysconf", "getloadavg", "statvfs",
           "fork", "getuid", "geteuid", "mkfifo", "uname", "link")  # fmt: skip
_WRITING = {"open", "os.mkdir", "os.rename", "os.remove", "os.symlink"}


def become() -> None:
    """For the rest of this process; what is loaded afterwards sees Windows."""
    for name in _ABSENT:
        if hasattr(os, name):
            delattr(os, name)
    sys.addaudithook(_refuse)
    # open() without an encoding means the code page there
    warnings.filterwarnings("error", category=EncodingWarning, module=r"edaformer(\.|$)")


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event not in _WRITING:
        return
    for path in arguments[:2]:
        if not isinstance(path, (str, Path)) or not os.fspath(path):
            continue
        if ":" in os.path.basename(path):  # noqa: PTH119
            raise OSError(errno.EINVAL, "Invalid argument", os.fspath(path))
        if event == "open" and os.path.isdir(path):  # noqa: PTH112
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))


def main() -> None:
    """Each command in turn; a line on stderr says how it ended."""
    import torch

    # It brings in what asks for Linux by sys.platform, before there is none
    torch.onnx.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),), verbose=False)
    become()
    for command in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        print(f"ENDED {command[0]} {run(command)}", file=sys.stderr)


def run(command: list[str]) -> object:
    """Its exit code."""
    from edaformer.cli.main import app

    try:
        app(command)
    except SystemExit as ended:
        return ended.code or 0
    raise AssertionError("typer ends with SystemExit")


if __name__ == "__main__":
    main()
