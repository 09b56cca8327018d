"""What commands make of --processes and --ray."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edaformer.cli.common import shares, spread_of
from edaformer.cli.main import app
from edaformer.errors import InputError, MissingError


def test_this_process_alone_unless_asked() -> None:
    assert spread_of(None, None) is None
    assert shares(None) == {}
    made = spread_of(3, None)
    assert made is not None
    assert (made.kind, made.processes, shares(made)) == ("processes", 3, {"workers": []})


def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="expected --processes of 1 to 10000, got 0"):
        spread_of(0, None)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingError, match=r"package 'ray', which is not installed; .*cluster"):
        spread_of(None, "auto")


@pytest.mark.parametrize("option", [["--processes", "2"], ["--ray", "local"]])
def test_a_reference_file_is_written_by_one_process(option: list[str], tmp_path: Path) -> None:
    line = ["validate", "model.onnx", "--save-reference", str(tmp_path / "street.ref"), *option]
    ran = CliRunner().invoke(app, line)
    assert ran.exit_code == 2
    assert "from one process" in ran.output
