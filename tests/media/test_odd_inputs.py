"""Odd inputs through the whole command: the right pixels, or a clear sentence."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.errors import EdaformerError
from edaformer.media.inputs import find_sources
from edaformer.media.pictures import PictureFile
from tests.media.odd import ODD, Odd, card
from tests.standins.network import Kind, write_small_onnx


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    write_small_onnx(Kind(outputs=("labels",)), path)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


RIGHT = [odd for odd in ODD if odd.frames]
WRONG = [odd for odd in ODD if odd.words]


def name(odd: Odd) -> str:
    return odd.name[:20].replace("\n", " ").replace("\0", " ") or "nothing"


def test_there_are_forty() -> None:
    assert len(RIGHT) + len(WRONG) == len(ODD) >= 40


@pytest.mark.parametrize("odd", RIGHT, ids=name)
def test_right_pixels(odd: Odd, folder: Path) -> None:
    odd.write(folder / odd.name)
    (source,) = find_sources([odd.name], size=(64, 64))
    frames = list(source.frames())
    assert len(frames) == len(odd.frames)
    for frame, expected in zip(frames, odd.frames, strict=True):
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.shape == expected.shape
        step = len(expected) // 1000 + 1  # the large one is of one colour
        got, wanted = frame.pixels[::step, ::step], expected[::step, ::step]
        apart = np.maximum(got, wanted) - np.minimum(got, wanted)
        assert apart.max() <= odd.near


@pytest.mark.parametrize("odd", RIGHT, ids=name)
def test_labels_of_the_right_size(odd: Odd, folder: Path, model: Path) -> None:
    odd.write(folder / odd.name)
    ran = CliRunner().invoke(app, ["run", "--save", "ids", str(model), "--", odd.name])
    assert ran.exit_code == 0, ran.stderr
    made = sorted((folder / "edaformer-run/ids").rglob("*.png"))
    assert len(made) == len(odd.frames)
    for path, expected in zip(made, odd.frames, strict=True):
        with Image.open(path) as labels:
            assert labels.size == expected.shape[1::-1]


@pytest.mark.parametrize("odd", WRONG, ids=name)
def test_a_clear_sentence(odd: Odd, folder: Path, model: Path) -> None:
    if "/" not in odd.name and odd.name:
        odd.write(folder / odd.name)
    before = sorted(folder.iterdir())
    ran = CliRunner().invoke(app, ["run", str(model), "--", odd.name])
    assert ran.exit_code in {1, 2}, ran.output
    assert isinstance(ran.exception, SystemExit)
    assert odd.words in ran.stderr
    assert "Traceback" not in ran.stderr
    if ran.exit_code == 2:
        assert ran.stderr.splitlines()[-1].startswith("error: ")
        assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("odd", [odd for odd in WRONG if "it " in odd.words], ids=name)
def test_the_rest_goes_on(odd: Odd, folder: Path, model: Path) -> None:
    """One unreadable file of three: the other two are there, and the exit code says so."""
    odd.write(folder / odd.name)
    for good in ("a.png", "b.png"):
        Image.fromarray(card()).save(folder / good)
    ran = CliRunner().invoke(app, ["run", str(model), "a.png", odd.name, "b.png"])
    assert ran.exit_code == 1, ran.output
    assert ran.stderr.startswith(f"skipped {odd.name}: ")
    assert odd.words in ran.stderr
    assert {"a.png", "b.png"} <= {p.name for p in (folder / "edaformer-run/overlay").iterdir()}


def test_an_unreadable_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the tests run as root, which reads everything, Pillow answers as for others."""
    path = folder / "secret.png"
    Image.fromarray(card()).save(path)
    path.chmod(0)
    if os.access(path, os.R_OK):

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(EdaformerError, match=r"it cannot be read \(Permission denied\)"):
        list(PictureFile(path, "secret").frames())
