"""What a file is that is no checkpoint, by its content, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edaformer.errors import CheckpointError
from edaformer.families.reading.torch_file import records_of

_HEAD = 512
_TAR_AT = 257  # of "ustar" in a tar's first header
_NAME_IT = "name the file that training wrote"
_SAVE = "torch.save(model.state_dict(), 'model.pth')"
_PLAN = "it is made of a checkpoint and cannot become one again; edaformer-info tells what it is"
_ONNX_FIELDS = b"\x12\x1a\x22\x28\x32\x3a\x42"  # ModelProto's, after ir_version and its varint


@dataclass(frozen=True)
class _Kind:
    title: str
    next_step: str


_UNPACK = "unpack it, and name the file that is in it"
_STARTS: tuple[tuple[bytes, _Kind], ...] = (
    (b"version https://git-lfs", _Kind(
        "a Git LFS pointer, a few lines that stand for the weights",
        "fetch them: git lfs pull")),
    (b"\x1f\x8b", _Kind("packed with gzip", "unpack it: gunzip, or tar xzf of a .tar.gz")),
    (b"BZh", _Kind("packed with bzip2", _UNPACK)),
    (b"\xfd7zXZ", _Kind("packed with xz", _UNPACK)),
    (b"\x28\xb5\x2f\xfd", _Kind("packed with zstd", _UNPACK)),
    (b"7z\xbc\xaf", _Kind("a 7-Zip archive", _UNPACK)),
    (b"Rar!", _Kind("a RAR archive", _UNPACK)),
    (b"ftrt", _Kind("a TensorRT plan", _PLAN)),
    (b"vtrt", _Kind("a TensorRT-RTX plan", _PLAN)),
    (b"ptrt", _Kind("a TensorRT plan", _PLAN)),
    (b"\x89HDF", _Kind("HDF5, as Keras writes it", f"no model of Keras is supported; {_NAME_IT}")),
    (b"\x93NUMPY", _Kind("a NumPy array", _NAME_IT)),
    (b"GGUF", _Kind("a GGUF model", _NAME_IT)),
    (b"\xff\xd8\xff", _Kind("a JPEG image", _NAME_IT)),
    (b"\x89PNG", _Kind("a PNG image", _NAME_IT)),
    (b"%PDF", _Kind("a PDF", _NAME_IT)),
)  # fmt: skip
_WEB = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<error", b"<!--")


def refuse_other(path: Path) -> None:
    """Let nothing pass but what ``torch.save`` and safetensors may have written.

    Raises:
        CheckpointError: naming what the file is instead, and the next step.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(b"PK"):
        kind = _archive(path)
    elif head[:1] == b"\x80" or head[8:9] == b"{":  # a pickle; safetensors: a length, then JSON
        kind = None
    else:
        kind = _by_head(path, head)
    if kind is not None:
        raise CheckpointError(
            f"expected a PyTorch (.pth) or safetensors checkpoint, but {path} is {kind.title}; "
            f"{kind.next_step}"
        )


def _by_head(path: Path, head: bytes) -> _Kind:
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    found = _Kind("neither", _NAME_IT)
    if not any(head):
        found = _Kind("nothing but zeros" if head else "empty", "copy it again")
    elif text.startswith(_WEB):
        found = _Kind(
            "a web page",
            "the download met a login or an error: open the address in a browser, and fetch the "
            "file itself",
        )
    elif text[:1] in {b"{", b"["}:
        found = _json(path)
    elif head[_TAR_AT : _TAR_AT + 5] == b"ustar":
        found = _Kind("a tar archive", f"unpack it: tar xf {path.name}")
    elif head[4:8] == b"TFL3":
        found = _Kind("a TensorFlow Lite model", _NAME_IT)
    elif head[:1] == b"\x08" and head[2:3] and head[2] in _ONNX_FIELDS:
        found = _Kind("an ONNX graph", "edaformer-build and edaformer-validate take it as it is")
    return found


def _json(path: Path) -> _Kind:
    folder = path.parent
    if (folder / "config.json").is_file():
        return _Kind("JSON", f"of a Hugging Face folder, name the folder: {folder}")
    return _Kind("JSON", f"it describes weights at most; {_NAME_IT}")


def _archive(path: Path) -> _Kind | None:
    """What a ZIP archive is; None: what ``torch.save`` writes, or damaged."""
    names = records_of(path)
    inner = {name.partition("/")[2] for name in names}
    if "archive_format" in inner or any("serialized_exported_program" in n for n in names):
        return _Kind(
            "a program of torch.export (.pt2)", f"save the weights of its model instead: {_SAVE}"
        )
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        return _Kind(
            "TorchScript",
            f"save the weights of the model it was made from: {_SAVE}",
        )
    if not names or "data.pkl" in inner:
        return None
    if any(name.endswith(".npy") for name in names):
        return _Kind("a NumPy archive (.npz)", _NAME_IT)
    return _Kind(f"a ZIP archive ({len(names)} files)", _UNPACK)
