"""The README has every step, and the page of options is current; what pages say is run: pages/."""

from __future__ import annotations

from tests.conftest import ROOT
from tools.cli_docs import TARGET, render


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for command in ("export", "build", "validate", "info"):
        assert f"$ edaformer-{command} " in text


def test_the_option_page_is_current() -> None:
    assert TARGET.read_text() == render(), "run: python tools/cli_docs.py"
