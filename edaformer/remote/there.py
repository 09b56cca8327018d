"""The device's side: this one file is copied there and run by the device's own python3.

It needs the standard library alone and nothing of ours installed, and lives as long as the ssh
command that started it: where the desk is gone (standard input ends, or nothing comes for SILENCE),
whatever runs here is ended. Answers are a line that begins with MARK, since a login shell may print
what it likes before.

    ~/.cache/edaformer-device/
        there-HASH.py     this file
        files/SHA256      contents, and SHA256.part of what has come so far
        FOLDER/NAME       hard links to them, and what commands have made of them
        lock              held by the desk at work, with its name inside
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

MARK = "edaformer-device: "
SILENCE = 20.0  # seconds without a sign from the desk, which gives one every two
GRACE = 0.7  # seconds from asking a command to end to ending it
SPARE = 64 << 20  # bytes that a copy leaves free
KILLED_FOR_MEMORY = 137  # 128 + SIGKILL, as shells count it
LOST = 130
_CHUNK = 1 << 20
_FILES, _ONCE = "files", ".once"
_NEVER_TRIMMED = {_FILES}
_NVCC = "/usr/local/cuda/bin"  # JetPack's, with which PyCUDA is compiled

# Asked of each Python that may have our package; what raises has not
_PROBE = """
import json, sys
from importlib import metadata
from edaformer.version import __version__
known = {}
for name in ("tensorrt", "tensorrt-rtx-cu13", "tensorrt-rtx-cu12", "onnxruntime",
             "onnxruntime-gpu", "pycuda", "numpy"):
    try:
        known[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps({"version": __version__, "python": sys.version.split()[0], "packages": known}))
"""


def cache() -> Path:
    """Everything of ours but the virtual environment."""
    return Path.home() / ".cache" / "edaformer-device"


def environment() -> Path:
    """The virtual environment that --install makes."""
    return Path.home() / ".local" / "share" / "edaformer-device" / "venv"


def ask(python: str | None) -> None:
    """What this machine has."""
    free = shutil.disk_usage(cache()).free
    answer(
        {
            "host": platform.node(),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "libc": platform.libc_ver()[1] or None,
            "board": _read("/proc/device-tree/model").strip("\0\n ") or None,
            "l4t": next(iter(_read("/etc/nv_tegra_release").splitlines()), None),
            "packages": _dpkg(),
            "driver": _driver(),
            "disk_free": free,
            "memory": _memory("MemTotal"),
            "memory_available": _memory("MemAvailable"),
            "power_mode": _power_mode(),
            "ours": _ours(python),
        }
    )


def hold(who: str, wait: str) -> None:
    """Hold the lock until the desk is gone."""
    path = cache() / "lock"
    file = path.open("a+")
    said = False
    while not _locked(file):
        if wait != "wait":
            answer({"busy": _holder(path)})
            return
        if not said:
            answer({"waiting": _holder(path)})
            said = True
        if _desk_is_gone(1.0):
            return
    file.truncate(0)
    file.write(json.dumps({"who": who, "since": time.strftime("%H:%M:%S")}))
    file.flush()
    answer({"held": who})
    while not _desk_is_gone(SILENCE):
        pass


def put(sha256: str, size_text: str) -> None:
    """Take a file's bytes from where they stopped the last time."""
    size, path = int(size_text), cache() / _FILES / _hash(sha256)
    part = path.with_suffix(".part")
    path.parent.mkdir(exist_ok=True)
    have = size if path.is_file() else min(part.stat().st_size if part.exists() else 0, size)
    if have == size and not path.is_file():
        have = 0  # all came, and it was not that: from the start
    free = shutil.disk_usage(path.parent).free
    if have < size and size - have + SPARE > free:
        answer({"full": free, "needed": size - have})
        return
    answer({"have": have})
    if path.is_file():
        return
    with part.open("r+b" if have else "wb") as file:
        file.seek(have)
        file.truncate()
        while have < size and (chunk := _received(size - have)):
            have += len(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if have < size:
        return  # cut; the part stays for the next time
    if _sha256(part) != sha256:
        part.unlink()
        answer({"damaged": True})
        return
    part.chmod(0o444)
    part.replace(path)
    answer({"whole": True})


def lay(folder: str, *named: str) -> None:
    """Give files their names in a folder; ``named`` is NAME=SHA256."""
    home = _folder(folder)
    home.mkdir(exist_ok=True)
    for pair in named:
        name, _, sha256 = pair.partition("=")
        source, target = cache() / _FILES / _hash(sha256), home / _plain(name)
        if target.exists() and os.path.samestat(target.stat(), source.stat()):
            continue
        part = home / f".{secrets.token_hex(8)}.part"
        os.link(source, part)
        part.replace(target)
    os.utime(home)
    answer({"laid": len(named)})


def run(folder: str, once: str, python: str | None, words: list[str]) -> int:
    """Run our command in a folder, and end it with all it has started when the desk is gone.

    Args:
        folder: where.
        once: ``once`` takes the answer of an equal run on an equal machine, if what it made is
            still there.
        python: that has our package; None looks for one.
        words: after ``edaformer``.
    """
    home = _folder(folder)
    ours = _ours(python)
    if ours is None:
        return _fail("edaformer-deploy is not here any more")
    stamp = _stamp(words, ours)
    if once == "once" and (kept := _kept(home, stamp)) is not None:
        answer({"again": False})
        sys.stdout.write(kept)
        return 0
    code, out = _watched([ours["path"], "-m", "edaformer", *words], home)
    answer({"again": True})
    sys.stdout.write(out)
    sys.stdout.flush()
    if code == 0 and once == "once":
        _write_whole(home / _ONCE / f"{stamp}.json", out.encode())
    return code


def get(folder: str, name: str) -> None:
    """Give a file from where the desk says; what is not there is told as such."""
    path = _folder(folder) / _plain(name)
    if not path.is_file():
        answer({"size": None})
        return
    sha256 = _sha256(path)
    kept = cache() / _FILES / sha256
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        os.link(path, kept)
    answer({"size": path.stat().st_size, "sha256": sha256})
    start = sys.stdin.buffer.readline().strip()
    if not start.isdigit():
        return
    with path.open("rb") as file:
        file.seek(int(start))
        shutil.copyfileobj(file, sys.stdout.buffer, _CHUNK)
    sys.stdout.flush()


def tree(folder: str, name: str) -> None:
    """Give all files of a folder, and take it away: it was made for the desk."""
    path = _folder(folder) / _plain(name)
    answer({"there": path.is_dir()})
    if not path.is_dir():
        return
    files = sorted(one for one in path.rglob("*") if one.is_file() and not one.is_symlink())
    for one in files:
        with one.open("rb") as file:
            left = os.fstat(file.fileno()).st_size
            name = one.relative_to(path).as_posix()
            answer({"file": name, "size": left, "sha256": _sha256(one)})
            while left and (chunk := file.read(min(left, _CHUNK))):
                sys.stdout.buffer.write(chunk)
                left -= len(chunk)
        sys.stdout.buffer.flush()
        if left:
            return  # somebody has cut it meanwhile
    answer({"files": len(files)})
    shutil.rmtree(path)


def trim(keep: str) -> None:
    """Keep the folders used last, and the files that are in one."""
    folders = [path for path in cache().iterdir() if path.is_dir() and path.name not in
               _NEVER_TRIMMED]  # fmt: skip
    folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in folders[int(keep) :]:
        shutil.rmtree(path)
    freed = 0
    for path in (cache() / _FILES).glob("*"):
        if path.stat().st_nlink == 1:
            freed += path.stat().st_size
            path.unlink()
    answer({"kept": min(len(folders), int(keep)), "freed": freed})


def install(wheel: str, wheels: str, extra: str, *others: str) -> int:
    """Our wheel, and what it needs, into a virtual environment that sees the system's packages.

    Args:
        wheel: NAME=SHA256.
        wheels: NAME=SHA256 of what it needs, with ``,`` between; ``-``: pip fetches it.
        extra: of ours; ``-`` is none.
        others: further requirements.
    """
    home = cache() / f"install-{secrets.token_hex(4)}"
    try:
        home.mkdir()
        for pair in [wheel, *([] if wheels == "-" else wheels.split(","))]:
            name, _, sha256 = pair.partition("=")
            os.link(cache() / _FILES / _hash(sha256), home / _plain(name))
        code, _ = _watched(
            [sys.executable, "-m", "venv", "--system-site-packages", str(environment())], home
        )
        if code:
            return _fail("python3 -m venv fails there; run: sudo apt install python3-venv", code)
        offline = ["--no-index", "--find-links", str(home)] if wheels != "-" else []
        pip = [str(environment() / "bin" / "python"), "-m", "pip", "install", "--no-input",
               "--disable-pip-version-check", "--quiet", "--retries", "1", *offline]  # fmt: skip
        own = str(_beside_environment(home / wheel.partition("=")[0]))
        code, _ = _watched([*pip, own if extra == "-" else f"{own}[{extra}]", *others], home)
        if code == 0:  # the same version may be another state of ours
            code, _ = _watched([*pip, "--no-deps", "--force-reinstall", own], home)
        answer({"installed": code == 0})
        return code
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _beside_environment(wheel: Path) -> Path:
    """Where it stays: sentences about what is missing say to install it from there."""
    kept = environment().parent / wheel.name
    for old in kept.parent.glob("*.whl"):
        old.unlink()
    shutil.copy(wheel, kept)
    return kept


def clear() -> None:
    """Remove the cache; the virtual environment stays."""
    freed = sum(path.stat().st_size for path in (cache() / _FILES).glob("*"))
    for path in cache().iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    answer({"freed": freed})


def answer(content: dict[str, Any]) -> None:
    """A line for the desk."""
    sys.stdout.write(f"{MARK}{json.dumps(content)}\n")
    sys.stdout.flush()


def _watched(command: list[str], folder: Path) -> tuple[int, str]:
    """Its exit code and standard output; its errors go to ours as they come."""
    before = _killed_for_memory()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, start_new_session=True,
            env={**os.environ, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1",
                 "PATH": f"{os.environ.get('PATH', os.defpath)}:{_NVCC}"},
        )  # fmt: skip
        try:
            lost = _wait(process)
        finally:
            _end(process)
        out.seek(0)
        text = out.read().decode("utf-8", "replace")
    if lost:
        return LOST, ""
    if process.returncode >= 0:
        return process.returncode, text
    if -process.returncode == signal.SIGKILL:
        sure = _killed_for_memory() > before
        answer({"memory": "certain" if sure else "probable"})
    return 128 - process.returncode, text


def _wait(process: subprocess.Popen[bytes]) -> bool:
    """Until it ends, or the desk is gone, which is True."""
    heard = time.monotonic()
    while process.poll() is None:
        ready, _, _ = select.select([0], [], [], 0.1)
        if ready:
            if not os.read(0, 4096):
                return True
            heard = time.monotonic()
        if time.monotonic() - heard > SILENCE:
            return True
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """The whole group: asked first, where it is still at work."""
    with contextlib.suppress(ProcessLookupError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _desk_is_gone(patience: float) -> bool:
    """Whether standard input has ended, or said nothing for SILENCE of which this is a part."""
    ready, _, _ = select.select([0], [], [], patience)
    if ready:
        return not os.read(0, 4096)
    return patience >= SILENCE


def _received(most: int) -> bytes:
    """The next bytes of a copy; none where the desk is gone."""
    ready, _, _ = select.select([0], [], [], SILENCE)
    return os.read(0, min(most, _CHUNK)) if ready else b""


def _locked(file: Any) -> bool:
    import fcntl  # not on Windows, where a desk may be

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(path: Path) -> str:
    try:
        told = json.loads(path.read_text("utf-8"))
        return f"{told['who']}, since {told['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another desk"


def _ours(python: str | None) -> dict[str, Any] | None:
    """The first Python here that has our package."""
    own = [environment() / "bin" / "python", Path.home() / "edaformer" / "bin" / "python"]
    paths = [Path(python).expanduser()] if python else [*own, Path(sys.executable)]
    for path in filter(os.path.exists, paths):
        done = subprocess.run(
            [str(path), "-c", _PROBE], cwd=cache(), capture_output=True, text=True, check=False
        )
        with contextlib.suppress(ValueError):
            return {"path": str(path), **json.loads(done.stdout)}
    return None


def _stamp(words: list[str], ours: dict[str, Any]) -> str:
    """What an answer depends on, but the files in its folder, whose name is their hash."""
    on = [words, ours, _dpkg(), _driver(), _power_mode(), _read("/proc/device-tree/model")]
    return hashlib.sha256(json.dumps(on).encode()).hexdigest()[:32]


def _kept(home: Path, stamp: str) -> str | None:
    """The answer of an equal run, where the file it names is still what it says."""
    try:
        text = (home / _ONCE / f"{stamp}.json").read_text("utf-8")
        told = json.loads(text)
        whole = _sha256(home / _plain(told["path"])) == told["sha256"]
    except (OSError, ValueError, KeyError):
        return None
    return text if whole else None


def _write_whole(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    part.write_bytes(data)
    part.replace(path)


def _folder(name: str) -> Path:
    return cache() / _plain(name)


def _plain(name: str) -> str:
    """A name that leads nowhere else: ours are."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", name):
        raise SystemExit(f"expected a plain name, got {name!r}")
    return name


def _hash(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise SystemExit(f"expected a SHA-256, got {text!r}")
    return text


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _fail(text: str, code: int = 3) -> int:
    answer({"failed": text})
    return code


def _dpkg() -> dict[str, str]:
    """JetPack's own packages."""
    with contextlib.suppress(OSError):
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", "nvidia-jetpack",
             "libnvinfer1?", "python3-libnvinfer"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return dict(line.split(" ", 1) for line in done.stdout.splitlines() if line[-1] != " ")
    return {}


def _driver() -> str | None:
    found = re.search(r"\b(\d+\.\d+(?:\.\d+)?)\b", _read("/proc/driver/nvidia/version"))
    return found[1] if found else None


def _power_mode() -> str | None:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            ["nvpmodel", "-q"], capture_output=True, text=True, check=False, timeout=10
        )
        found = re.search(r"NV Power Mode:\s*(\S+)", done.stdout)
        return found[1] if found else None
    return None


def _memory(name: str) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    return int(found[1]) << 10 if found else None


def _killed_for_memory() -> int:
    """How many processes the kernel has killed so, since it started."""
    found = re.search(r"^oom_kill (\d+)", _read("/proc/vmstat"), re.MULTILINE)
    return int(found[1]) if found else 0


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", errors="replace")
    except OSError:
        return ""


def _stopped(number: int, _: object) -> NoReturn:
    """A signal ends as an exception does, so that nothing is left running."""
    raise SystemExit(128 + number)


def main(words: list[str]) -> int:
    """``there.py VERB ARGUMENT...``; a Python that is not named is ``-``."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _stopped)
    os.umask(0o077)
    try:
        cache().mkdir(parents=True, exist_ok=True)
        return _do(*words)
    except OSError as error:
        sys.stderr.write(f"{error.strerror or error}: {error.filename or 'the cache'}\n")
        return 1


def _do(verb: str, *rest: str) -> int:
    verbs: dict[str, Callable[..., None]] = {
        "hold": hold, "put": put, "lay": lay, "get": get, "tree": tree, "trim": trim,
        "clear": clear,
    }  # fmt: skip
    if verb == "run":
        folder, once, python, *command = rest
        return run(folder, once, _given(python), command)
    if verb == "install":
        return install(*rest)
    if verb == "ask":
        ask(_given(rest[0]))
    else:
        verbs[verb](*rest)
    return 0


def _given(python: str) -> str | None:
    return None if python == "-" else python


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
