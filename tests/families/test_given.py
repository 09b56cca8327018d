"""What a person says of a checkpoint: the figures, the order of channels, the names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edaformer.engines.artifact.inspect import describe
from edaformer.engines.validate.validate import validate
from edaformer.errors import InputError
from edaformer.export.exporter import export_model
from edaformer.export.options import ExportOptions
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.given import given, options_of
from edaformer.families.table import load_checkpoint
from edaformer.preprocess import RELEASE, Normalisation
from edaformer.version import __version__


def test_nothing_given_changes_nothing(small_checkpoint: Checkpoint) -> None:
    assert given().over(small_checkpoint) == small_checkpoint
    assert options_of(small_checkpoint) == []


def test_figures_are_in_the_order_of_the_channels(small_checkpoint: Checkpoint) -> None:
    made = given("1,2,3", "4,5,6").over(small_checkpoint)
    assert made.normalisation == Normalisation((1, 2, 3), (4, 5, 6))
    assert made.origins.normalisation == "given"
    turned = given("3,2,1", "6,5,4", bgr=True).over(small_checkpoint)
    assert (turned.normalisation, turned.bgr) == (made.normalisation, True)
    assert options_of(turned) == ["--mean", "3,2,1", "--std", "6,5,4", "--bgr"]
    alone = given("1,2,3").over(small_checkpoint)
    assert alone.normalisation == Normalisation((1, 2, 3), RELEASE.std)
    assert alone.origins.normalisation.startswith("mean given; std assumed")


def test_blue_first_computes_the_same(small_checkpoint: Checkpoint) -> None:
    """The turned network on RGB is the network on BGR."""
    turned = given(bgr=True).over(small_checkpoint)
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        made, expected = turned.model()(image), small_checkpoint.model()(image.flip(1))
    assert torch.allclose(made, expected, atol=1e-4)


def test_names(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("a\nb\nc\nd\ne\n")
    made = given(names=path).over(small_checkpoint)
    assert made.classes == tuple("abcde")
    assert options_of(made) == ["--names", str(path)]
    path.write_text("a\nb\n")
    with pytest.raises(InputError, match=r"expected 5 class names, .* got 2; give as many"):
        given(names=path).over(small_checkpoint)


@pytest.mark.parametrize("text", ["1,2", "1,2,3,4", "a,b,c", "nan,1,1", "inf,1,1", "", "1e9,1,1"])
def test_what_is_no_mean(text: str) -> None:
    with pytest.raises(InputError, match="expected --mean as three numbers with commas"):
        given(text)
    with pytest.raises(InputError, match="expected --std as three numbers"):
        given(None, "1,1,0")


@pytest.mark.slow
def test_the_artifact_records_it_and_validation_uses_it(
    small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    from edaformer.data import open_dataset

    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"class {i}" for i in range(5)))
    said = given("20,100,110", "60,61,62", bgr=True, names=names)
    onnx = tmp_path / "x.onnx"
    manifest = export_model(
        said.over(small_checkpoint), ExportOptions(size=(64, 96), precision="fp32"), onnx
    ).manifest
    assert (manifest.channels, manifest.input.mean) == ("BGR", (110, 100, 20))
    assert manifest.classes == tuple(f"class {i}" for i in range(5))
    assert manifest.tool_version == __version__
    again = load_checkpoint(small_checkpoint.path, manifest.given)
    assert again.prepared == said.over(small_checkpoint).prepared
    facts = dict(describe(str(onnx), isr=None, size=None, num_classes=None).facts)
    assert "mean 110, 100, 20" in str(facts["normalised by"])
    assert "trained on BGR" in str(facts["normalised by"])
    (tmp_path / "data" / "images").mkdir(parents=True)
    data = folder_of_noise(tmp_path / "data", manifest.classes)
    result = validate(onnx, again, open_dataset(f"folder:{data}", (64, 96)))
    assert result.agreement.overall == 1.0
    words = r"has normalisation mean 110,100,20.* and .* was made for"
    with pytest.raises(InputError, match=words):
        validate(onnx, small_checkpoint, open_dataset(f"folder:{data}", (64, 96)))


def folder_of_noise(root: Path, classes: tuple[str, ...]) -> Path:
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    (root / "labels").mkdir()
    (root / "classes.txt").write_text("\n".join(classes))
    for name in ("a", "b"):
        pixels = generator.integers(0, 256, (64, 96, 3), np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{name}.png")
        Image.fromarray(generator.integers(0, 5, (64, 96), np.uint8)).save(
            root / "labels" / f"{name}.png"
        )
    return root
