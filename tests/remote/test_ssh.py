from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from edaformer.errors import InputError, MissingError, RemoteError
from edaformer.remote.ssh import Ssh, checked_host, quoted
from tests.remote.sshd import NAME, Sshd, free_port

EVIL = [
    "$(touch x).onnx",
    "a b",
    "it's",
    'say "x"',
    "-rf",
    "new\nline",
    "`touch x`",
    "*",
    "a;b",
    "",
]


@pytest.mark.parametrize("host", ["jetson@orin", "orin", "ssh://jetson@orin:2222", "fe80::1%eth0"])
def test_hosts_are_as_ssh_takes_them(host: str) -> None:
    assert checked_host(host) == host


@pytest.mark.parametrize("host", ["", "-oProxyCommand=touch x", "a b", "a\nb", "a\x1b[2J"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="expected a host as ssh takes it"):
        checked_host(host)


def test_words_stay_words(tmp_path: Path) -> None:
    line = quoted(["printf", r"%s\0", *EVIL])
    made = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, check=True)
    assert made.stdout.decode().split("\0")[:-1] == EVIL
    assert list(tmp_path.iterdir()) == []
    assert shlex.split(line)[2:] == EVIL


def test_a_home_is_that_of_the_other_side() -> None:
    assert quoted(["~/.cache/a-1.py", "~/a b", "~root"]) == "~/.cache/a-1.py '~/a b' '~root'"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ssh: Could not resolve hostname x: Name or service not known", "no host of that name"),
        ("Host key verification failed.", "connect once by hand and look at it: ssh orin"),
        ("root@orin: Permission denied (publickey).", "ssh-copy-id orin"),
        ("ssh: connect to host orin port 22: Connection refused", "nothing listens there"),
        ("ssh: connect to host orin port 22: Connection timed out", "is it on"),
        ("something else", "something else; try it by hand: ssh orin"),
        ("", "ssh gave no reason"),
    ],
)
def test_what_ssh_says_is_explained(said: str, told: str) -> None:
    with Ssh(NAME) as ssh:
        assert told in ssh.explain(said)


def test_without_ssh_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with Ssh(NAME) as ssh, pytest.raises(MissingError, match="sudo apt install openssh-client"):
        ssh.open()


def test_one_connection_serves_all(orin: Sshd) -> None:
    with Ssh(NAME) as ssh:
        ssh.open()
        for text in ("one", "two"):
            with ssh.start(quoted(["echo", text])) as channel:
                assert channel.stdout.read() == f"{text}\n".encode()
                assert channel.wait() == 0
        assert len(orin.sessions()) == 1
    assert orin.left() == []


def test_a_host_that_is_not_known_is_not_trusted(orin: Sshd) -> None:
    (orin.home.parent / "keys" / "known").write_text("")
    with Ssh(NAME) as ssh, pytest.raises(RemoteError, match="connect once by hand"):
        ssh.open()
    assert (orin.home.parent / "keys" / "known").read_text() == ""


def test_another_key_than_before_is_refused(orin: Sshd) -> None:
    known, other = (orin.home.parent / "keys" / name for name in ("known", "user.pub"))
    known.write_text(f"[127.0.0.1]:{orin.port} {' '.join(other.read_text().split()[:2])}\n")
    with Ssh(NAME) as ssh, pytest.raises(RemoteError, match="or another than before"):
        ssh.open()


def test_a_refused_key_says_what_to_do(orin: Sshd) -> None:
    (orin.home.parent / "keys" / "authorized").write_text("")
    with Ssh(NAME) as ssh, pytest.raises(RemoteError, match="it refused every key; put one there"):
        ssh.open()


@pytest.mark.skipif(shutil.which("ssh") is None, reason="needs ssh (Debian: openssh-client)")
def test_nobody_at_home() -> None:
    with Ssh(f"ssh://127.0.0.1:{free_port()}") as ssh, pytest.raises(RemoteError, match="listens"):
        ssh.open()
