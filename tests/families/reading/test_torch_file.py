"""Files of torch.save that a disk, a download or a hand has changed."""

from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from edaformer.errors import CheckpointError
from edaformer.families.reading.weights import read_weights
from tests.field import checkpoints as field

STATE = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.ones(3)}


def read(path: Path) -> dict[str, torch.Tensor]:
    return read_weights(path, ["a.weight"]).tensors


@pytest.mark.parametrize("record", ["data/0", "data/1", "data/2", "data.pkl"])
def test_a_record_that_is_not_what_was_written(record: str, tmp_path: Path) -> None:
    """Those of the optimiser too, which are not read."""
    path = tmp_path / "x.pth"
    torch.save({"state_dict": STATE, "optimizer": {"state": {0: torch.ones(9)}}}, path)
    field.flip_bit(path, record)
    with pytest.raises(
        CheckpointError, match=rf"its record '.*{record}' does not have the checksum"
    ):
        read(path)


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(STATE, tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read(tmp_path / "x.pth")["a.weight"], STATE["a.weight"])


@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_a_broken_download(form: str, tmp_path: Path) -> None:
    """At every length, also between two of its parts."""
    buffer = io.BytesIO()
    torch.save({"state_dict": STATE, "optimizer": torch.ones(50)}, buffer,
               _use_new_zipfile_serialization=form == "zip")  # fmt: skip
    data, path = buffer.getvalue(), tmp_path / "x.pth"
    for length in range(1, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"damaged or cut short|but .* is"):
            read(path)
    path.write_bytes(data)
    assert read(path).keys() == STATE.keys()


def test_random_damage_is_one_sentence_or_the_weights(tmp_path: Path) -> None:
    """Where a bit is flipped in a legacy file's values nobody can know; in a ZIP it is known."""
    generator = torch.Generator().manual_seed(0)
    for form in ("zip", "legacy"):
        buffer = io.BytesIO()
        torch.save({"state_dict": STATE}, buffer, _use_new_zipfile_serialization=form == "zip")
        for _ in range(200):
            data = bytearray(buffer.getvalue())
            at = int(torch.randint(len(data), (1,), generator=generator))
            data[at] ^= 1 << int(torch.randint(8, (1,), generator=generator))
            (tmp_path / "x.pth").write_bytes(bytes(data))
            with suppress(CheckpointError):
                made = read(tmp_path / "x.pth")
                if form == "zip":
                    assert all(torch.equal(made[key], value) for key, value in STATE.items())


def test_packed_records_are_refused(tmp_path: Path) -> None:
    """A few bytes of deflate become any number of values."""
    torch.save(STATE, tmp_path / "x.pth")
    with zipfile.ZipFile(tmp_path / "x.pth") as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "y.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in records.items():
            archive.writestr(name, data)
    with pytest.raises(CheckpointError, match="holds compressed records"):
        read(tmp_path / "y.pth")
