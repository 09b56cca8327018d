"""The witness that an export writes: hard frames, PyTorch's answers, a graph that gives them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.engines.segmenters.trial import try_witness
from edaformer.errors import GateError, InputError
from edaformer.export import exporter
from edaformer.export.exporter import export_model
from edaformer.export.options import ExportOptions
from edaformer.export.verify import Images, natural_noise
from edaformer.export.witness import witness_frames
from edaformer.families.checkpoint import Checkpoint
from edaformer.files import sha256
from edaformer.labels.witness import read_witness, witness_path
from edaformer.preprocess import RELEASE
from tests.once import once
from tests.wrong_attention import BREAKS, softmaxes

SIZE = (128, 160)
OPTIONS = ExportOptions(size=SIZE)


@pytest.fixture(scope="module")
def export(tiny_checkpoint: Checkpoint, shared: Path) -> Path:
    path = shared / "witness.onnx"
    return once(shared, path.name, lambda: export_model(tiny_checkpoint, OPTIONS, path)).path


def test_the_frames_are_hard_by_design() -> None:
    frames = witness_frames((64, 96), RELEASE, None)
    assert list(frames) == [
        "scene 1", "scene 2", "black", "white", "noise", "checkerboard", "faint blobs 8",
        "faint blobs 32",
    ]  # fmt: skip
    assert not frames["black"].any()
    assert (frames["white"] == 255).all()
    assert set(np.unique(frames["noise"])) == {0, 255}
    assert 0.45 < (frames["noise"] == 255).mean() < 0.55
    board = frames["checkerboard"].astype(int)
    assert (np.abs(np.diff(board, axis=0)) == 255).all()
    assert (np.abs(np.diff(board, axis=1)) == 255).all()
    for cells in (8, 32):
        spread = (frames[f"faint blobs {cells}"] - np.array(RELEASE.mean)).std()
        assert 8 < spread < 25
    assert all(frame.shape == (64, 96, 3) and frame.dtype == np.uint8 for frame in frames.values())


def test_frames_of_the_data_take_the_scenes_place() -> None:
    images = natural_noise(3, (64, 96))
    frames = witness_frames((64, 96), RELEASE, images)
    assert list(frames)[:2] == ["image 0", "image 1"]
    np.testing.assert_array_equal(frames["image 1"], images[1])
    assert len(frames) == 8
    tiny = witness_frames((2, 3), RELEASE, None)  # no scene is drawn that small
    assert list(tiny)[:2] == ["1/f noise 0", "1/f noise 1"]


def test_the_manifest_names_the_file_beside_it(export: Path) -> None:
    manifest = read_onnx_manifest(export)
    assert manifest.witness_sha256 == sha256(witness_path(export))
    known = read_witness(export, manifest)
    assert known is not None
    assert len(known) == 8
    assert all(0 < one.tolerance < 1 for one in known)


def test_the_same_export_has_the_same_witness(
    export: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    again = tmp_path / "again.onnx"
    export_model(tiny_checkpoint, OPTIONS, again)
    assert witness_path(again).read_bytes() == witness_path(export).read_bytes()
    assert again.read_bytes() == export.read_bytes()


def test_the_export_itself_is_right(export: Path) -> None:
    assert try_witness(export, provider="cpu").right


@pytest.mark.parametrize("name", BREAKS)
@pytest.mark.parametrize("block", [0, 5])
def test_wrong_attention_is_seen(name: str, block: int, export: Path, tmp_path: Path) -> None:
    model = ir.load(export)
    BREAKS[name](model, softmaxes(model)[block])
    broken = tmp_path / "broken.onnx"
    ir.save(model, broken)
    witness_path(broken).write_bytes(witness_path(export).read_bytes())
    trial = try_witness(broken, provider="cpu")
    assert not trial.right
    assert trial.worst.margin >= trial.worst.known.tolerance


@pytest.mark.parametrize(
    "options",
    [
        replace(OPTIONS, outputs=("logits",), batch=2),
        replace(OPTIONS, outputs=("probabilities",), input="planar", batch=None),
        replace(OPTIONS, input="tensor", precision="fp32"),
        replace(OPTIONS, dynamic_size=True, outputs=("logits",)),
        replace(OPTIONS, size=(77, 101), align=None),
    ],
)
def test_every_kind_of_export_has_one(
    options: ExportOptions, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "x.onnx"
    export_model(tiny_checkpoint, options, path)
    assert try_witness(path, provider="cpu").right


def test_data_is_in_the_witness(tiny_checkpoint: Checkpoint, tmp_path: Path) -> None:
    path, pictures = tmp_path / "x.onnx", natural_noise(2, (64, 96))
    result = export_model(
        tiny_checkpoint, ExportOptions(size=(64, 96)), path, images=Images(pictures, "noise")
    )
    known = read_witness(path, result.manifest)
    assert known is not None
    np.testing.assert_array_equal(known[0].frame, pictures[0])


def test_a_graph_that_is_wrong_on_its_witness_is_not_written(
    tiny_checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = exporter.verify

    def broken_after(probe, *arguments, **options):  # type: ignore[no-untyped-def]
        result = verified(probe, *arguments, **options)
        run = probe.run
        probe.run = lambda batch: {
            name: value[..., ::-1].copy() if name == "labels" else value
            for name, value in run(batch).items()
        }
        return result

    monkeypatch.setattr(exporter, "verify", broken_after)
    with pytest.raises(GateError, match=r"is not PyTorch's: on witness frame .* nothing was writ"):
        export_model(tiny_checkpoint, OPTIONS, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_without_a_witness_there_is_nothing_to_try(export: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.onnx"
    moved.write_bytes(export.read_bytes())
    with pytest.raises(InputError, match=r"moved.onnx.witness is not beside moved.onnx; copy it"):
        try_witness(moved)
