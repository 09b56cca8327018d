"""Write docs/cli.md from the commands' own --help; a test checks that it is up to date."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from edaformer.cli.main import app

TARGET = Path(__file__).parents[1] / "docs" / "cli.md"
COMMANDS = [made.callback.__name__ for made in app.registered_commands if made.callback]


def render() -> str:
    """The page."""
    parts = ["# Commands\n\nWritten by `tools/cli_docs.py` from the commands' own help.\n"]
    for command in COMMANDS:
        result = CliRunner().invoke(
            app, [command, "--help"], prog_name="edaformer", env={"COLUMNS": "100"}
        )
        text = "\n".join(line.rstrip() for line in result.stdout.strip().splitlines())
        parts.append(f"## edaformer {command} (edaformer-{command})\n\n```\n{text}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(render())
