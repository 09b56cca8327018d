"""Pickles that nobody's torch.save wrote: built by hand, byte by byte."""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from edaformer.errors import CheckpointError
from edaformer.families.reading.inert import Entries, Inert
from edaformer.families.reading.pickles import unpickle
from edaformer.families.reading.weights import read_weights

END = b"."


def content(body: bytes) -> object:
    return unpickle(Path("x.pth"), io.BytesIO(b"\x80\x04" + body + END))


def archive(path: Path, data: bytes, **records: bytes) -> Path:
    """The ZIP that torch.save writes, with this description in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as made:
        made.writestr("archive/data.pkl", data)
        for name, record in records.items():
            made.writestr(f"archive/{name}", record)
    return path


@pytest.mark.parametrize(
    "body",
    [
        b"r\xff\xff\xff\x7f",  # LONG_BINPUT: the C unpickler makes 2^32 slots for its memo
        b"\x96\xff\xff\xff\xff\xff\xff\xff\x00",  # BYTEARRAY8 of 2^56 bytes
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",  # BINBYTES8
        b"\x82\x01",  # EXT1: the registry of extensions
        b"cos\n",  # a name without its end
        b"(((((",
        b"R",
        b"",
        b"Nb",
        b"K\x01)R",  # calls 1
        b"K\x01)\x81",
        b"ccollections\nOrderedDict\n(lp0\nK\x01ae",
    ],
)
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_nonsense_is_damage(body: bytes, form: str, tmp_path: Path) -> None:
    data = b"\x80\x04" + body + END
    path = tmp_path / "x.pth"
    archive(path, data) if form == "zip" else path.write_bytes(data)
    words = r"x.pth (is damaged or cut short|holds no|is a pickle|asks to run)"
    with pytest.raises(CheckpointError, match=words):
        read_weights(path, ["a"])


def nested(depth: int) -> bytes:
    """((((...),),),) as no recursive writer could make it."""
    return b")" + b"\x85" * depth


@pytest.mark.parametrize(
    "body",
    [
        b"}U\x04meta" + nested(10**6) + b"s",
        b"}" + nested(10**6) + b"K\x01s",  # as a key, which would be hashed
        b"\x8f(" + nested(10**6) + b"\x90",  # in a set, likewise
        b"(" + nested(10**6) + b"\x91",  # in a frozenset
        b"ccollections\nOrderedDict\n(" + nested(10**6) + b"K\x01\x86l\x85R",
    ],
)
def test_depth_is_no_harm(body: bytes) -> None:
    with suppress(ValueError, TypeError, IndexError):  # damage, to the reader
        assert isinstance(content(body), (Entries, Inert))


def test_other_names_are_inert_and_not_imported() -> None:
    made = content(b"cantigravity\nfly\n(K\x01tR}U\x01xK\x02sb")
    assert isinstance(made, Inert)
    assert made.named == "antigravity.fly"
    assert "antigravity" not in sys.modules


def test_state_cannot_change_what_reads(tmp_path: Path) -> None:
    """BUILD on a function or a class of the reader's own sets nothing, in slots neither."""
    build = b"(N}U\x0c__defaults__(K\x01tstb"
    for name in (b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n",
                 b"cnumpy\ndtype\n", b"ctorch\nFloatStorage\n", b"csome\nclass\n"):  # fmt: skip
        with suppress(TypeError):  # damage, to the reader
            content(name + build)
    torch.save({"a": torch.ones(3)}, tmp_path / "x.pth")
    assert torch.equal(read_weights(tmp_path / "x.pth", ["a"]).tensors["a"], torch.ones(3))


@pytest.mark.parametrize(
    "name",
    ["posix\nsystem", "__builtin__\neval", "builtins\nexec", "subprocess\nPopen", "os.path\njoin",
     "importlib\nimport_module", "sys\nmodules", "io\nopen", "ctypes\nCDLL"],
)  # fmt: skip
def test_what_runs_programs_is_refused_by_name(name: str) -> None:
    with pytest.raises(CheckpointError, match=rf"asks to run '{name.replace(chr(10), '.')}'"):
        content(b"c" + name.encode() + b"\n")


def test_names_in_messages_are_printable() -> None:
    with pytest.raises(CheckpointError, match=r"asks to run 'os\.\\x1b\[31m'"):
        content(b"cos\n\x1b[31m\n")


def test_what_plain_python_pickles(tmp_path: Path) -> None:
    for protocol in range(6):
        made = unpickle(
            tmp_path, io.BytesIO(pickle.dumps({"a": [1, (2.5, None)], "b": b"x"}, protocol))
        )
        assert made["a"] == [1, (2.5, None)]
        assert made["b"] == b"x" or protocol < 3
