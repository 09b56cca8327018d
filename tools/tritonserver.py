"""NVIDIA's tritonserver as ``make`` fetches it, started and ended.

    with TritonServer(Path("repository")) as server:
        server.http  # 127.0.0.1:PORT, ready

The binary, its libraries and its Python backend are out of the wheel nvidia-pytriton
(tools/tritonserver.txt). Of its stubs, one for each Python, the one of this interpreter's minor
version is laid beside the backend: it runs the model and loads ``libpythonX.Y.so.1.0``.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("EDAFORMER_TRITON", ROOT / ".triton"))  # as the Makefile has it
_VERSION = "{}.{}".format(*sys.version_info)
_READY = 60.0  # seconds; loading ONNX Runtime and a model takes 3
_END = 15.0
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def why_not() -> str | None:
    """Why no server can run here; None: it can."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "NVIDIA's server in a wheel is for Linux on x86-64"
    if not _binary().is_file():
        return f"no tritonserver in {FOLDER}; run: make triton"
    stub = _stub()
    if not stub.is_file():
        return f"the wheel has no stub for Python {_VERSION}"
    said = subprocess.run(["ldd", str(stub)], env=_environment(), capture_output=True, text=True,
                          check=False)  # fmt: skip
    if said.returncode or "not found" in said.stdout:
        missing = f"libpython{_VERSION}.so.1.0"
        return f"the Python backend needs {missing}; run: sudo apt-get install libpython{_VERSION}"
    return None


class TritonServer:
    """A server on the loopback address, on ports that were free; ended with its stubs."""

    def __init__(
        self, repository: Path, *options: str, ports: Sequence[int] = (), log: Path | None = None
    ) -> None:
        """Start it, without waiting; ``ports`` are those of HTTP, gRPC and metrics."""
        reason = why_not()
        if reason is not None:
            raise RuntimeError(reason)
        self._folder = Path(tempfile.mkdtemp(prefix="triton-"))
        self.log = log or self._folder / "log"
        backends = _backends(self._folder)
        self._ports = tuple(ports) or free_ports()
        self.http, self.grpc, self.metrics = (f"127.0.0.1:{port}" for port in self._ports)
        self._words = [
            str(_binary()), f"--model-repository={repository}", f"--backend-directory={backends}",
            *(f"--{kind}-address=127.0.0.1" for kind in ("http", "grpc", "metrics")),
            *(f"--{kind}-port={port}"
              for kind, port in zip(("http", "grpc", "metrics"), self._ports, strict=True)),
            # Shared memory is the machine's: two servers must not meet in one name
            f"--backend-config=python,shm-region-prefix-name=edaformer{self._ports[0]}",
            # It would start the stub once more, only to be told what config.pbtxt says
            "--disable-auto-complete-config", "--exit-timeout-secs=5", *options,
        ]  # fmt: skip
        self.process = self._started()

    def __enter__(self) -> Self:
        """Ready."""
        try:
            self.wait()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """End it."""
        self.close()

    def wait(self, path: str = "v2/health/ready", seconds: float = _READY) -> float:
        """Until a path answers 200; the seconds it took."""
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            if self.process.poll() is not None:
                break
            if self.answers(path):
                return time.perf_counter() - start
            time.sleep(0.02)
        raise RuntimeError(f"the server is not ready at {path}:\n{self.said()[-3000:]}")

    def answers(self, path: str) -> bool:
        """Whether ``GET path`` is answered with 200."""
        try:
            with urllib.request.urlopen(f"http://{self.http}/{path}", timeout=10) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")

    def stubs(self) -> list[int]:
        """The process ids of its Python stubs."""
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = status.read_text()
            except OSError:
                continue
            fields = text.rpartition(")")[2].split()
            if int(fields[1]) == self.process.pid and fields[0] != "Z":
                found.append(int(status.parent.name))
        return found

    def load(self, model: str) -> None:
        """Load a model, or its newest version; with ``--model-control-mode=explicit``.

        Raises:
            RuntimeError: with Triton's words, if it does not load, or the server is gone.
        """
        self._ask(f"v2/repository/models/{model}/load")

    def load_again(self, model: str) -> None:
        """What brings a model back whose stub was killed, likewise."""
        self._ask(f"v2/repository/models/{model}/unload")
        self.load(model)

    def kill(self) -> None:
        """Kill the server, as a machine that runs out of memory does, and end its stubs."""
        stubs = self.stubs()
        self.process.kill()
        self.process.wait()
        for stub in stubs:
            _end(stub)
        self._forget_environments()

    def restart(self) -> float:
        """Start it again on the same ports; the seconds until it is ready."""
        self.process = self._started()
        return self.wait()

    def close(self) -> None:
        """End it and its stubs, and forget its log."""
        stubs = self.stubs()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_END)
            except subprocess.TimeoutExpired:
                self.kill()
        for stub in stubs:
            _end(stub)
        if self.process.returncode != 0:
            self._forget_environments()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, path: str) -> None:
        asked = urllib.request.Request(f"http://{self.http}/{path}", data=b"{}", method="POST")
        try:
            urllib.request.urlopen(asked, timeout=_READY).close()
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(error.read().decode(errors="replace")) from error
        except OSError as error:
            raise RuntimeError(f"the server does not answer:\n{self.said()[-2000:]}") from error

    def _forget_environments(self) -> None:
        """The backend's folder for unpacked environments, which a killed server leaves.

        Its name does not say whose it is: it is one that is empty, this user's, and no older than
        the process.
        """
        for path in Path("/tmp").glob("python_env_*"):  # the backend's own choice
            with suppress(OSError):
                found = path.lstat()
                if found.st_uid == os.getuid() and found.st_ctime >= self._since:
                    path.rmdir()

    def _started(self) -> subprocess.Popen[bytes]:
        self._since = time.time() - 1  # a file system's clock lags a little
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=_environment(),
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509  # it calls prctl, nothing else
            )  # fmt: skip


def _end_with_parent() -> None:
    """Asks the kernel, in the new process: whoever is killed ends nothing (prctl(2))."""
    assert _LIBC is not None
    _LIBC.prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _end(stub: int) -> None:
    """A stub whose server is gone ends by itself within seconds; if not, it is ended."""
    for _ in range(50):
        if not Path(f"/proc/{stub}").exists():
            return
        time.sleep(0.1)
    try:
        os.kill(stub, signal.SIGKILL)
    except ProcessLookupError:
        return


def _binary() -> Path:
    return FOLDER / "pytriton/tritonserver/bin/tritonserver"


def _stub() -> Path:
    return (
        FOLDER / "pytriton/tritonserver/python_backend_stubs" / _VERSION
        / "triton_python_backend_stub"
    )  # fmt: skip


def _backends(folder: Path) -> Path:
    """A folder of backends: the Python one, with the stub of this interpreter's version."""
    made = folder / "backends"
    (made / "python").mkdir(parents=True)
    for file in (*(FOLDER / "pytriton/tritonserver/backends/python").iterdir(), _stub()):
        if file.is_file():
            (made / "python" / file.name).symlink_to(file)
    return made


def _environment() -> dict[str, str]:
    """The package and what it needs for the stub, by PYTHONPATH, which model.py reads."""
    folders = [str(ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    libraries = [sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(folders)),
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries)),
        "OMP_WAIT_POLICY": "passive",
    }


def free_ports() -> tuple[int, int, int]:
    """Three that nobody had a moment ago."""
    with socket.socket() as one, socket.socket() as two, socket.socket() as three:
        sockets = (one, two, three)
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in sockets]
    return ports[0], ports[1], ports[2]
