"""What a device may answer, and what of it is believed."""

from __future__ import annotations

import io
import json
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from edaformer.closing import Closing
from edaformer.errors import RemoteError
from edaformer.remote import answers, device
from edaformer.remote.device import Device
from edaformer.remote.there import MARK

DATA, SHA = b"hello", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def said(*told: object, then: bytes = b"") -> bytes:
    return b"".join(f"{MARK}{json.dumps(one)}\n".encode() for one in told) + then


class Played(Closing):
    """A connection, and a remote command in it, that says what it was told to."""

    def __init__(self, data: bytes) -> None:
        self.data, self.host = data, "orin"

    def open(self) -> None:
        pass

    def start(self, line: str, *_: object, **__: object) -> Played:
        self.stdout, self.stdin = io.BytesIO(self.data), io.BytesIO()
        if line.startswith("sh "):
            self.stdout = io.BytesIO(b"here\n")
        self.errors: deque[str] = deque()
        return self

    def send(self, data: bytes) -> bool:
        return True

    def wait(self) -> int:
        return 0

    def close(self) -> None:
        pass


@pytest.fixture
def orin(monkeypatch: pytest.MonkeyPatch) -> Any:
    def connected(data: bytes) -> Device:
        monkeypatch.setattr(device, "Ssh", lambda _: Played(data))
        return Device("orin")

    return connected


NAMES = ["../x", "/etc/x", "a/../../x", "..", ".", "", "a//b", "a\\b", "a\nb", "\x1b[2J", "\0",
         "n" * 256, "/".join("a" * 20), 7, None]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_file_gets_a_name_elsewhere(name: object, orin: Any, tmp_path: Path) -> None:
    file = {"file": name, "size": len(DATA), "sha256": SHA}
    data = said({"there": True}, file, then=DATA + said({"files": 1}))
    with orin(data) as one, pytest.raises(RemoteError, match="orin's answer cannot be read"):
        one.tree("folder", "pictures", tmp_path / "out/pictures")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_comes_back(orin: Any, tmp_path: Path) -> None:
    file = {"file": "ids/a.png", "size": len(DATA), "sha256": SHA}
    with orin(said({"there": True}, file, then=DATA + said({"files": 1}))) as one:
        assert one.tree("folder", "pictures", tmp_path / "out", lambda name: f"b-{name}")
    assert (tmp_path / "out/ids/b-a.png").read_bytes() == DATA


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"size": -1, "sha256": SHA}, "cannot be read"),
        ({"size": True, "sha256": SHA}, "cannot be read"),
        ({"size": "5", "sha256": SHA}, "cannot be read"),
        ({"size": 1 << 60, "sha256": SHA}, "make room, or name another folder with --out"),
        ({"size": 5, "sha256": "../" * 21 + "x"}, "cannot be read"),
        ({"size": 5, "sha256": None}, "cannot be read"),
        ({"size": 5, "sha256": "0" * 64}, "came back as something else"),
        ({"size": 6, "sha256": SHA}, "stopped while bringing"),
        ([1], "cannot be read"),
    ],
)
def test_what_is_told_of_a_file_is_checked(
    told: object, sentence: str, orin: Any, tmp_path: Path
) -> None:
    with orin(said(told, then=DATA)) as one, pytest.raises(RemoteError, match=sentence):
        one.get("folder", "model.plan", tmp_path / "out/model.plan")
    assert not (tmp_path / "out/model.plan").exists()
    parts = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert parts in ([], [f".{SHA[:16]}.part"])


def test_what_goes_on_and_on_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(io.RawIOBase):
        read_ = 0

        def readline(self, size: int | None = -1) -> bytes:  # type: ignore[override]
            assert size is not None
            assert 0 < size <= 1 << 20
            self.read_ += size
            assert self.read_ < 1 << 28
            return b"x" * size

    for ask in (answers.next_answer, answers.whole_answer):
        with pytest.raises(RemoteError, match="orin's answer cannot be read"):
            ask(Endless(), "orin")  # type: ignore[arg-type]


@pytest.mark.parametrize("verb", ["clear", "put"])
def test_numbers_that_are_none(verb: str, orin: Any, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA)
    data = said({"freed": "all", "have": -5})
    with orin(data) as one, pytest.raises(RemoteError, match="cannot be read"):
        one.clear() if verb == "clear" else one.put(tmp_path / "x")
