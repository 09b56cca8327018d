"""Run the README's worked example and put its real output into the README.

    python tools/readme.py --data FOLDER

FOLDER has camvid/ and checkpoints/edaformer_t_camvid.pth.

The commands are the lines of ``console`` blocks that begin with ``$``; tests/pages runs them, too.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
_BLOCK = re.compile(r"```console\n\$ (?P<command>[^\n]+)\n(?P<output>.*?)```", re.DOTALL)
LINKS = {"CamVid": "camvid", "edaformer_t_camvid.pth": "checkpoints/edaformer_t_camvid.pth"}


def main() -> int:
    """Rewrite README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data.resolve()
    text = README.read_text()
    with tempfile.TemporaryDirectory() as folder:
        link_data(Path(folder), data)
        for match in _BLOCK.finditer(text):
            done = run(match["command"], Path(folder))
            if done.returncode != 0:
                print(done.stderr, file=sys.stderr)
                return 1
            text = text.replace(match[0], f"```console\n$ {match['command']}\n{done.stdout}```")
    README.write_text(text)
    return 0


def link_data(folder: Path, data: Path) -> None:
    """Give ``folder`` the files that the README's commands name."""
    for name, target in LINKS.items():
        (folder / name).symlink_to(data / target)


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one command of this package in ``folder``."""
    program, *arguments = shlex.split(command)
    path = Path(sys.executable).parent / program
    return subprocess.run(
        [str(path), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    sys.exit(main())
