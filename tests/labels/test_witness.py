"""Witness frames: what is kept of them, and what counts as wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edaformer.errors import DataError
from edaformer.labels.witness import (
    Known,
    coarse,
    copy_witness,
    missing_witness,
    read_witness,
    try_frames,
    witness_bytes,
    witness_path,
)
from edaformer.manifest import Manifest
from tests.standins.network import Kind, make_manifest

SIZE = (60, 90)


def known(name: str = "a", tolerance: float = 0.3) -> Known:
    draw = np.random.default_rng(len(name))
    labels = draw.integers(0, 5, SIZE, dtype=np.uint8)
    margin = coarse(draw.exponential(0.5, SIZE), tolerance)
    frame = draw.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    return Known(name, frame, labels, margin, tolerance)


def lay(folder: Path, *, isr: str | None = None) -> tuple[Path, Manifest]:
    """An artifact's witness, and the manifest that names it."""
    import hashlib

    artifact, plain = folder / "m.plan", make_manifest(Kind())
    data = witness_bytes(
        (known("a"), known("bb")), checkpoint_sha256="0" * 64, isr=isr or plain.isr
    )
    witness_path(artifact).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return artifact, plain.model_copy(update={"witness_sha256": digest})


@pytest.mark.parametrize("tolerance", [1e-4, 0.123, 0.25, 3.0, 1e4])
def test_coarse_margins_keep_their_side_of_the_tolerance(tolerance: float) -> None:
    draw = np.random.default_rng(1)
    near = tolerance * (1 + draw.uniform(-0.02, 0.02, 500))
    margin = np.concatenate([near, 10 ** draw.uniform(-8, 6, 500), [0, np.inf]])
    margin = margin.astype(np.float32)
    with np.errstate(over="ignore"):
        half = margin.astype(np.float16)
    made = coarse(margin, tolerance)
    np.testing.assert_array_equal(made < tolerance, half < tolerance)
    assert (made[half < tolerance] <= half[half < tolerance]).all()
    assert (made[half >= tolerance] >= half[half >= tolerance]).all()
    assert (made.view(np.uint16) & 0xFF == 0).all()
    finite = np.isfinite(made) & (half > 1e-4)
    np.testing.assert_allclose(made[finite], half[finite], rtol=0.26)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    artifact, manifest = lay(tmp_path)
    made = read_witness(artifact, manifest)
    assert made is not None
    for own, theirs in zip(made, (known("a"), known("bb")), strict=True):
        assert (own.name, own.tolerance) == (theirs.name, theirs.tolerance)
        for part in ("frame", "labels", "margin"):
            np.testing.assert_array_equal(getattr(own, part), getattr(theirs, part))


def test_no_witness_is_said(tmp_path: Path) -> None:
    artifact, manifest = lay(tmp_path)
    plain = make_manifest(Kind())
    assert read_witness(artifact, plain) is None
    assert "was exported without witness frames" in missing_witness(artifact, plain)
    witness_path(artifact).unlink()
    assert read_witness(artifact, manifest) is None
    assert "m.plan.witness is not beside m.plan" in missing_witness(artifact, manifest)


def test_another_artifacts_witness_is_refused(tmp_path: Path) -> None:
    artifact, manifest = lay(tmp_path)
    other = manifest.model_copy(update={"witness_sha256": "1" * 64})
    with pytest.raises(DataError, match=r"is another artifact's .* m\.plan names 1111"):
        read_witness(artifact, other)
    artifact, manifest = lay(tmp_path, isr="16,8,4,1-1,2,4")
    with pytest.raises(DataError, match="is of another export"):
        read_witness(artifact, manifest)


def test_every_changed_byte_is_seen(tmp_path: Path) -> None:
    artifact, manifest = lay(tmp_path)
    path = witness_path(artifact)
    whole = path.read_bytes()
    for at in range(0, len(whole), max(len(whole) // 250, 1)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        with pytest.raises(DataError):
            read_witness(artifact, manifest)
        path.write_bytes(whole[:at])
        with pytest.raises(DataError):
            read_witness(artifact, manifest)


def test_a_witness_is_copied_and_an_old_one_goes(tmp_path: Path) -> None:
    artifact, _ = lay(tmp_path)
    target = tmp_path / "other.plan"
    copy_witness(artifact, target)
    assert witness_path(target).read_bytes() == witness_path(artifact).read_bytes()
    copy_witness(tmp_path / "none.onnx", target)
    assert not witness_path(target).exists()


def test_ties_may_flip_and_nothing_else() -> None:
    one, two = known("a"), known("bb")
    flipped = np.where(one.margin < one.tolerance, (one.labels + 1) % 5, one.labels)
    answers = {id(one.frame): flipped.astype(np.uint8), id(two.frame): two.labels}
    trial = try_frames((one, two), lambda frame: answers[id(frame)])
    assert trial.right
    assert trial.ties == int((one.margin < one.tolerance).sum())
    assert str(trial) == f"right on 2 witness frames, {trial.ties} rounding ties flipped"

    at = np.unravel_index(int(np.argmax(two.margin)), SIZE)
    wrong = two.labels.copy()
    wrong[at] = (wrong[at] + 1) % 5
    answers[id(two.frame)] = wrong
    trial = try_frames((one, two), lambda frame: answers[id(frame)])
    assert not trial.right
    (failure,) = trial.failures
    assert (failure.known.name, failure.pixels) == ("bb", 1)
    assert failure.margin == float(two.margin[at])
    assert "WRONG: on witness frame 'bb' 1 pixels (0.02%) flipped" in str(trial)
    assert trial.to_json()["failures"] == [
        {"frame": "bb", "pixels": 1, "margin": failure.margin, "tolerance": 0.3}
    ]
