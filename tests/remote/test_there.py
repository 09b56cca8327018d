"""The device's side alone, as ssh would start it: standard input is the desk."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edaformer.closing import Closing
from edaformer.remote import there
from tests.conftest import ROOT

TOOL = Path(there.__file__)
DATA = bytes(range(256)) * 4000
PATIENCE = 300.0  # seconds; a machine may be busy
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder / ".cache" / "edaformer-device"


def typed(*words: str, sent: bytes = b"", code: int = 0) -> list[dict[str, Any]]:
    """Its answers."""
    done = subprocess.run(
        [sys.executable, TOOL, *words], input=sent, capture_output=True, check=False
    )
    assert done.returncode == code, done.stderr.decode()
    lines = done.stdout.decode().splitlines()
    return [json.loads(line[len(there.MARK) :]) for line in lines if line.startswith(there.MARK)]


def test_it_needs_the_standard_library_alone(home: Path) -> None:
    code = f"import sys; sys.argv = ['x', 'ask', '-']; exec(open({str(TOOL)!r}).read())"
    bare = [sys.executable, "-I", "-S", "-c", code]
    told = subprocess.run(bare, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout[len(there.MARK) :])["system"].startswith("Linux")


def test_a_copy_goes_on_where_it_was_cut(home: Path) -> None:
    size = str(len(DATA))
    assert typed("put", SHA, size, sent=DATA[:300_000]) == [{"have": 0}]
    assert [path.name for path in (home / "files").iterdir()] == [f"{SHA}.part"]
    assert typed("put", SHA, size, sent=DATA[300_000:]) == [{"have": 300_000}, {"whole": True}]
    assert typed("put", SHA, size) == [{"have": len(DATA)}]
    assert (home / "files" / SHA).read_bytes() == DATA


def test_another_content_gets_no_name(home: Path) -> None:
    wrong = b"x" + DATA[1:]
    assert typed("put", SHA, str(len(DATA)), sent=wrong) == [{"have": 0}, {"damaged": True}]
    assert list((home / "files").iterdir()) == []


def test_a_full_disk_is_told_before_a_byte(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir(parents=True)
    monkeypatch.setattr(there, "SPARE", 1 << 60)
    there.put(SHA, "1000")
    told = json.loads(capsys.readouterr().out[len(there.MARK) :])
    assert told["needed"] == 1000
    assert told["full"] > 0


def test_a_disk_that_fills_meanwhile_is_told(home: Path) -> None:
    """A limit on a file's size stands for it."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
        f"sys.path.insert(0, {str(ROOT)!r})\nfrom edaformer.remote import there\n"
        f"raise SystemExit(there.main(['put', {SHA!r}, '{len(DATA)}']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=DATA, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.decode() == "File too large: the cache\n"
    assert [path.name for path in (home / "files").iterdir()] == [f"{SHA}.part"]
    assert typed("put", SHA, str(len(DATA)), sent=DATA[500_000:])[-1] == {"whole": True}


@pytest.mark.parametrize("name", ["../x", "/etc/x", ".ssh", "-rf", "a b", "", "a/b"])
def test_names_lead_nowhere_else(home: Path, name: str) -> None:
    typed("lay", name, code=1)
    typed("lay", "folder", f"{name}={SHA}", code=1)
    typed("get", "folder", name, code=1)
    assert list(home.glob("*")) in ([], [home / "folder"])


def test_a_folder_s_files_are_links(home: Path) -> None:
    typed("put", SHA, str(len(DATA)), sent=DATA)
    assert typed("lay", "one", f"model.onnx={SHA}") == [{"laid": 1}]
    assert typed("lay", "one", f"model.onnx={SHA}", f"again.onnx={SHA}") == [{"laid": 2}]
    assert (home / "one/model.onnx").stat().st_nlink == 3
    assert sorted(path.name for path in (home / "one").iterdir()) == ["again.onnx", "model.onnx"]


def test_so_many_folders_are_kept(home: Path) -> None:
    for number in range(4):
        data = bytes([number]) * 100
        sha = hashlib.sha256(data).hexdigest()
        typed("put", sha, "100", sent=data)
        typed("lay", f"f{number}", f"model.onnx={sha}")
        os.utime(home / f"f{number}", (number, number))
    assert typed("trim", "2") == [{"kept": 2, "freed": 200}]
    assert sorted(path.name for path in home.glob("f?")) == ["f2", "f3"]
    assert len(list((home / "files").iterdir())) == 2
    assert typed("clear")[0]["freed"] == 200
    assert [path.name for path in home.iterdir() if path.is_dir()] == []


def fake(home: Path, script: str) -> str:
    """A Python that has our package, and does what the script says instead of a command."""
    path = home.parent.parent / "fake"
    probe = json.dumps({"version": "0.1.0", "python": "3.10.12", "packages": {}})
    path.write_text(f"#!/bin/sh\nif [ \"$1\" = -c ]; then echo '{probe}'; exit; fi\n{script}\n")
    path.chmod(0o755)
    return str(path)


def alive(mark: str) -> bool:
    return any(mark in line for line in command_lines())


def command_lines() -> Iterator[str]:
    """Of what runs now."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")


class Desk(Closing):
    """A desk's end of a command: what it hears, and its hang-up."""

    def __init__(self, command: list[object]) -> None:
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def hear(self) -> str:
        return self.stdout.readline().decode()

    def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(PATIENCE)

    def hang_up(self) -> int:
        self.stdin.close()
        return self.ended()

    def close(self) -> None:
        """Whatever a test has come to: nothing is left open, or running."""
        with suppress(OSError):
            self.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()  # which ends what it runs, too
        self.process.wait(PATIENCE)
        self.stdout.close()


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def tool(*words: object) -> list[object]:
    return [sys.executable, TOOL, *words]


STUBBORN = 'trap "" INT TERM HUP; sleep 987{0} & sleep 987{0}'
NEVER = 3600.0  # seconds of silence: not what ends it


@pytest.mark.parametrize("how", ["the cable is pulled", "the desk closes", "it is killed"])
def test_what_it_runs_ends_with_the_desk(home: Path, how: str) -> None:
    (home / "folder").mkdir(parents=True)
    mark = f"{os.getpid()}{len(how)}"  # of this run, where several are at work
    python = fake(home, STUBBORN.format(mark))
    silence = 1.0 if "pulled" in how else NEVER
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom edaformer.remote import there\n"
        f"there.SILENCE = {silence}\n"
        f"raise SystemExit(there.main(['run', 'folder', 'always', {python!r}, 'build']))"
    )
    with Desk([sys.executable, "-c", code]) as desk:
        if "pulled" not in how:  # else it may have come and gone
            wait_until(lambda: alive(f"sleep 987{mark} "))
        if how == "the desk closes":
            desk.stdin.close()
        elif how == "it is killed":
            desk.process.terminate()
        assert desk.ended() in {there.LOST, 128 + 15}
        wait_until(lambda: not alive(f"sleep 987{mark} "))


@pytest.mark.parametrize(("every", "lost"), [(18, False), (22, True), (None, True)])
def test_a_sign_of_life_keeps_it_running(
    every: int | None, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on by a second a look, for a hundred seconds."""
    looks = itertools.count(1)
    now = [0]

    def look(*_: object) -> tuple[list[int], list[int], list[int]]:
        now[0] = next(looks)
        return ([0] if every and now[0] % every == 0 else [], [], [])

    monkeypatch.setattr(there, "time", SimpleNamespace(monotonic=lambda: float(now[0])))
    monkeypatch.setattr(there, "select", SimpleNamespace(select=look))
    monkeypatch.setattr(there, "os", SimpleNamespace(read=lambda *_: b"\n"))
    process = cast("Any", SimpleNamespace(poll=lambda: 0 if now[0] >= 100 else None))
    assert there._wait(process) is lost
    assert now[0] == (21 if lost else 100)


def test_a_command_that_the_kernel_kills_is_told(home: Path) -> None:
    (home / "folder").mkdir(parents=True)
    killed = fake(home, "sleep 0.2; kill -9 $$")
    with Desk(tool("run", "folder", "always", killed, "build")) as desk:
        assert '"memory": "' in desk.hear()
        assert desk.ended() == there.KILLED_FOR_MEMORY


def test_an_equal_build_is_not_built_again(home: Path) -> None:
    folder = home / "folder"
    folder.mkdir(parents=True)
    told = json.dumps({"path": "model.plan", "sha256": hashlib.sha256(b"plan").hexdigest()})
    python = fake(home, f"echo built >> ../count; printf plan > model.plan; echo '{told}'")

    def again(*words: str) -> bool:
        with Desk(tool("run", "folder", "once", python, "build", *words)) as desk:
            first, second = desk.hear(), desk.hear()
            assert desk.hang_up() == 0
        assert second == f"{told}\n"
        return bool(json.loads(first[len(there.MARK) :])["again"])

    assert [again(), again(), again("--workspace", "1")] == [True, False, True]
    (folder / "model.plan").write_text("another")
    assert again()
    assert (home / "count").read_text() == "built\n" * 3


def test_there_is_one_desk_at_a_time(home: Path) -> None:
    with Desk(tool("hold", "ann@desk", "no")) as first:
        assert "held" in first.hear()
        with Desk(tool("hold", "bob@desk", "no")) as second:
            assert "ann@desk, since" in second.hear()
            assert second.ended() == 0
        with Desk(tool("hold", "bob@desk", "wait")) as third:
            assert "waiting" in third.hear()
            first.process.kill()  # the kernel gives its lock back
            assert "held" in third.hear()
            assert third.hang_up() == 0
