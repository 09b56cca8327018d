"""The documentation is checked: commands run, pages are current, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT, TEST_DATA
from tools.cli_docs import TARGET, render
from tools.readme import LINKS, commands, link_data, run

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "examples" / "cpp" / "README.md",
]


@pytest.mark.slow
@pytest.mark.weights
def test_the_readme_s_commands_run_word_for_word(tmp_path: Path) -> None:
    for target in LINKS.values():
        if not (TEST_DATA / target).exists():
            pytest.skip(f"needs {target}, which the repository does not hold")
    link_data(tmp_path, TEST_DATA)
    for command in commands():
        done = run(command, tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stderr}"


@pytest.mark.parametrize("command", [c for c in commands() if not set(c.split()) & set(LINKS)
                                     and "model." not in c])  # fmt: skip
def test_commands_that_need_no_data_run(command: str, tmp_path: Path) -> None:
    assert run(command, tmp_path).returncode == 0


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for command in ("export", "build", "validate", "info"):
        assert f"$ edaformer-{command} " in text


def test_the_option_page_is_current() -> None:
    assert TARGET.read_text() == render(), "run: python tools/cli_docs.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if not target.startswith("http"):
            name, _, anchor = target.partition("#")
            to = page.parent / name if name else page
            assert to.exists(), target
            assert not anchor or anchor in anchors(to), target


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
