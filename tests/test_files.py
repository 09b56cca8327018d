from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from edaformer import files
from edaformer.errors import InputError
from edaformer.files import check_folder, check_writable, sha256, write_folder, write_whole


@pytest.mark.parametrize("nameless", [True, False])
def test_writes_and_replaces(
    tmp_path: Path, nameless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    target = tmp_path / "file"
    write_whole(target, b"one")
    write_whole(target, b"two")
    assert target.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_a_kill_between_two_names_leaves_nothing_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_WAITS", 1)
    write_whole(tmp_path / "file", b"one")
    if (child := os.fork()) == 0:
        Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        write_whole(tmp_path / "file", b"two")
    os.waitpid(child, 0)
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"one", b"two"]
    write_whole(tmp_path / "file", b"three")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"three"]


def test_many_write_one_file(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from edaformer.files import write_whole\n"
    code += "for _ in range(300): write_whole(Path(sys.argv[1]), sys.argv[2].encode() * 5000)"
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "file"), letter])
        for letter in "abc"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    (one,) = tmp_path.iterdir()
    assert one.read_bytes() in (b"a" * 5000, b"b" * 5000, b"c" * 5000)


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x").startswith("ba7816bf8f01cfea414140de5dae2223")


@pytest.mark.parametrize("nameless", [True, False])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, nameless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device; free some space"):
        write_whole(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == []


def test_refuses_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        check_writable(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"but it is a file; name another with --report"):
        check_writable(tmp_path / "file" / "no" / "deeper", option="--report")


def test_folders_are_made_when_there_is_something_to_write(tmp_path: Path) -> None:
    check_writable(tmp_path / "no" / "such" / "file")
    assert list(tmp_path.iterdir()) == []
    write_whole(tmp_path / "no" / "such" / "file", b"1")
    write_folder(tmp_path / "none" / "either", {"a": b"2"})
    assert (tmp_path / "no/such/file").read_bytes() == b"1"
    assert (tmp_path / "none/either/a").read_bytes() == b"2"


def test_a_checkpoint_is_never_replaced(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    (tmp_path / "old.pth").write_bytes(b"\x80\x02}")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04")
    (tmp_path / "b.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(InputError, match="is a checkpoint and would be replaced; name another"):
            check_writable(path)
    with zipfile.ZipFile(tmp_path / "street.ref", "w") as archive:
        archive.writestr("head.json", b"{}")
    check_writable(tmp_path / "street.ref")


def test_what_must_not_be_replaced_is_not(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InputError, match="expected a regular file"):
        check_writable(tmp_path / "fifo")
    (tmp_path / "in").touch()
    (tmp_path / "link").symlink_to("in")
    with pytest.raises(InputError, match="is also an input"):
        check_writable(tmp_path / "link", tmp_path / "in")
    with pytest.raises(InputError, match="but it is a file"):
        check_writable(tmp_path / "in" / "x")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    for check in (
        lambda: check_writable(tmp_path / "one"),
        lambda: check_writable(tmp_path / "one/file"),
        lambda: check_folder(tmp_path / "one"),
        lambda: write_whole(tmp_path / "one", b""),
        lambda: write_folder(tmp_path / "one/folder", {}),
    ):
        with pytest.raises(InputError, match="is a link that leads to itself; remove it"):
            check()
    check_writable(tmp_path / "new", tmp_path / "one")  # as an input it is refused elsewhere


def test_kill_9_while_writing_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import os, time; from pathlib import Path; from edaformer import files\n"
        "def stuck(_): print('writing', flush=True); time.sleep(60)\n"
        "files.os.fsync = stuck\n"
        f"files.write_whole(Path({str(tmp_path / 'file')!r}), b'x' * 1000)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    process.stdout.close()
    time.sleep(0.1)
    assert list(tmp_path.iterdir()) == []


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folder_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "made", {"a": b"1", "deep/b": b"2"})
    assert (tmp_path / "made/deep/b").read_bytes() == b"2"
    with pytest.raises(InputError, match="exists already"):
        write_folder(tmp_path / "made", {})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_folder(tmp_path / "other", {"a": b"1"})
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_folder_that_cannot_be_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SMB answers EINVAL, Windows does not open folders: the file is whole all the same."""
    real_sync, real_open = os.fsync, os.open

    def no_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real_sync(descriptor)

    monkeypatch.setattr(os, "fsync", no_folders)
    write_whole(tmp_path / "a", b"1")
    write_folder(tmp_path / "made", {"b": b"2"})

    def no_opening(path: str | Path, flags: int, *rest: int, **more: int) -> int:
        if os.path.isdir(path):  # noqa: PTH112  # as Windows does
            raise PermissionError(errno.EACCES, "Permission denied")
        return real_open(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", no_opening)
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    write_whole(tmp_path / "c", b"3")
    assert [(tmp_path / name).read_bytes() for name in ("a", "made/b", "c")] == [b"1", b"2", b"3"]
