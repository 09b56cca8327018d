"""What is no checkpoint is named for what it is."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edaformer.errors import CheckpointError
from edaformer.families.table import load_checkpoint
from tests.field import checkpoints as field

Maker = Callable[[Path], object]


def written(save: Callable[..., None], *content: object, **named: object) -> bytes:
    file = io.BytesIO()
    save(file, *content, **named)
    return file.getvalue()


FILES: dict[str, tuple[Maker, str]] = {
    "lfs": (lambda p: p.write_bytes(field.LFS), r"a Git LFS pointer.*; fetch them: git lfs pull"),
    "page": (lambda p: p.write_bytes(field.PAGE), r"a web page; the download met"),
    "s3": (lambda p: p.write_bytes(field.S3), r"a web page; the download met"),
    "json": (lambda p: p.write_text('{"model_type": "segformer"}'), r"JSON; it describes weights"),
    "json list": (lambda p: p.write_text("\n [1, 2]"), r"JSON; "),
    "gzip": (lambda p: p.write_bytes(gzip.compress(b"x" * 99)), r"packed with gzip; unpack it"),
    "tar": (field.tar, r"a tar archive; unpack it: tar xf x.pth"),
    "torchscript": (field.torchscript, r"TorchScript; save the weights of the model it was made"),
    "pt2": (field.exported_program, r"a program of torch.export \(.pt2\); save the weights"),
    "onnx": (lambda p: p.write_bytes(field.ONNX), r"an ONNX graph; edaformer-build and"),
    "plan": (lambda p: p.write_bytes(field.PLAN), r"a TensorRT plan; it is made of a checkpoint"),
    "rtx": (lambda p: p.write_bytes(b"v" + field.PLAN[1:]), r"a TensorRT-RTX plan; "),
    "empty": (lambda p: p.write_bytes(b""), r"is empty; copy it again"),
    "zeros": (lambda p: p.write_bytes(bytes(999)), r"nothing but zeros; copy it again"),
    "npz": (lambda p: p.write_bytes(written(np.savez, a=np.ones(2))), r"a NumPy archive \(.npz\)"),
    "npy": (lambda p: p.write_bytes(written(np.save, np.ones(2))), r"a NumPy array"),
    "text": (lambda p: p.write_text("hello, world, this is text"), r"is neither; name the file"),
}


@pytest.mark.parametrize("kind", FILES)
def test_it_is_named_with_the_next_step(kind: str, tmp_path: Path) -> None:
    make, words = FILES[kind]
    make(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(tmp_path / "x.pth")


def test_json_of_a_folder_points_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "segformer"}))
    with pytest.raises(CheckpointError, match=rf"is JSON; of a Hugging Face folder, .*{tmp_path}"):
        load_checkpoint(tmp_path / "config.json")
