"""Run commands as a container's user: ``python -m tests.nobody COMMANDS.json``.

He has no name in /etc/passwd and, as the caller sets the environment, no home; who asks for a
connection is told so on stderr and gets none.
"""

from __future__ import annotations

import json
import pwd
import sys
from pathlib import Path

from tests.windows import run

_ASKING = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}


def become() -> None:
    """For the rest of this process."""

    def nameless(number: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    pwd.getpwuid = nameless  # type: ignore[assignment]
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in _ASKING:
        print(f"CONNECTS {event} {arguments[-1]}", file=sys.stderr)
        raise OSError("there is no network here")


def main() -> None:
    """Each command in turn; a line on stderr says how it ended."""
    become()
    for command in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        print(f"ENDED {command[0]} {run(command)}", file=sys.stderr)


if __name__ == "__main__":
    main()
