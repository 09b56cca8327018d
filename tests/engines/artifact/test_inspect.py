from __future__ import annotations

from pathlib import Path

import pytest

from edaformer.engines.artifact.inspect import describe
from edaformer.engines.build.build import BuildResult
from edaformer.errors import InputError, ManifestError
from edaformer.export.exporter import ExportResult
from edaformer.isr import PAPER


def test_an_artifact_is_counted_as_it_runs(small_export: ExportResult) -> None:
    """Padded, at its own ISR."""
    made = describe(str(small_export.path), isr=None, size=None, num_classes=None)
    assert (made.kind, made.size, str(made.isr)) == ("onnx", (64, 96), "16,8,2,1-2,2,4")
    assert made.cost.gmacs == small_export.gmacs
    assert made.cost_base.gmacs == small_export.gmacs_base
    assert 0 < made.saving < 1


def test_a_variant_s_defaults() -> None:
    made = describe("B", isr=PAPER, size=None, num_classes=None)
    assert made.to_json()["size"] == "512x512"
    odd = describe("T", isr=None, size=(360, 480), num_classes=11)
    assert odd.size == (384, 480)  # as its export counts
    assert ("images of", "360x480, padded as an export does") in odd.facts
    assert made.cost.gmacs == pytest.approx(29.26, abs=0.01)


def test_a_file_called_like_a_variant_wins(
    small_export: ExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("T").write_bytes(small_export.path.read_bytes())
    assert describe("T", isr=None, size=None, num_classes=None).kind == "onnx"


def test_a_plan_without_a_manifest(small_plan: BuildResult, tmp_path: Path) -> None:
    path = tmp_path / "x.plan"
    path.write_bytes(small_plan.path.read_bytes().replace(b"edaformer-deploy:1:", b"x" * 19))
    with pytest.raises(ManifestError, match=r"is a tensorrt-rtx [\d.]+ plan without a manifest"):
        describe(str(path), isr=None, size=None, num_classes=None)


def test_what_is_baked_in_cannot_be_asked_for(small_export: ExportResult) -> None:
    with pytest.raises(InputError, match="--isr is baked into"):
        describe(str(small_export.path), isr=PAPER, size=None, num_classes=None)
