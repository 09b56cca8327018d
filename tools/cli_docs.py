"""Write docs/cli.md from the commands' own --help; a test checks that it is up to date."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from edaformer.cli.main import app

TARGET = Path(__file__).parents[1] / "docs" / "cli.md"
COMMANDS = [made.callback.__name__ for made in app.registered_commands if made.callback]

_HEAD = """# Commands

Written by `tools/cli_docs.py` from the commands' own help.

- `edaformer-export` and `edaformer export` are one command, likewise the others; `python -m
  edaformer` is `edaformer`.
- The folders that lead to an output are made (`-o`, `--out`, `--report`, `--junit`, `--video`,
  `--stats`, `--pictures`, `--save-reference`, `--timing-cache`); neither an input nor a checkpoint
  is ever replaced.
- `~` in a path of `--data` is your home.
- Each has `--version` and completes its options in your shell: `edaformer-export
  --install-completion`; `edaformer --install-completion` is for `edaformer export` and its like.
- The lines after `next:` can be typed as they are.
"""


def render() -> str:
    """The page."""
    parts = [_HEAD]
    for command in COMMANDS:
        result = CliRunner().invoke(
            app, [command, "--help"], prog_name="edaformer", env={"COLUMNS": "100"}
        )
        text = "\n".join(line.rstrip() for line in result.stdout.strip().splitlines())
        parts.append(f"## edaformer {command} (edaformer-{command})\n\n```\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(render())
