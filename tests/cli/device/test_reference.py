from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edaformer.cli.device.reference import find_reference
from edaformer.cli.main import app
from edaformer.cli.validation_ways import Desk
from edaformer.errors import DataError, InputError
from edaformer.export.exporter import ExportResult
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from tests.folder import lay_folder

LOOSE = ("--trust-labels", "--max-miou-drop", "50", "--min-agreement", "0.5")


def test_one_that_is_given_is_taken(small_export: ExportResult, tmp_path: Path) -> None:
    given = tmp_path / "street.ref"
    with pytest.raises(InputError, match="expected a reference file at"):
        find_reference(small_export.path, given, None, None)
    given.write_bytes(b"")
    assert find_reference(small_export.path, given, None, None) == given


def test_without_anything_it_is_said(
    small_export: ExportResult, capsys: pytest.CaptureFixture[str]
) -> None:
    assert find_reference(small_export.path, None, None, None) is None
    assert "it is not validated against PyTorch there" in capsys.readouterr().err


def test_data_that_is_not_there_is_refused(small_export: ExportResult) -> None:
    with pytest.raises(DataError):
        find_reference(small_export.path, None, None, "folder:gone")


@pytest.mark.slow
def test_it_is_made_once_and_fits_the_artifact(
    small_export: ExportResult, small_checkpoint: Checkpoint, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pairs = ((image, image[..., 0] % 5) for image in natural_noise(2, (80, 100)))
    data = lay_folder(tmp_path / "data", pairs)
    wanted = small_export.path, None, small_checkpoint.path, f"folder:{data}"
    path = find_reference(*wanted)
    assert path is not None
    ran = CliRunner().invoke(
        app, ["validate", str(small_export.path), "--reference", str(path), *LOOSE]
    )
    assert ran.exit_code == 0, ran.stderr
    with monkeypatch.context() as patch:
        patch.setattr(Desk, "save_for", lambda *_: pytest.fail("it was made again"))
        assert find_reference(*wanted) == path
    first = next((data / "labels").iterdir())
    os.utime(first, (0, 0))
    assert find_reference(*wanted) != path
