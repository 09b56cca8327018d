"""Find which virtual function each method of a release's bindings calls, and write slots.json.

``python -m tests.classic.spy 11.5.0.100`` adds a release, its wheels' hashes to wheels.txt with it;
``python -m tests.classic.spy`` finds all anew. A library that answers for NVIDIA's logs every
virtual call; every method and property of every class that our code reaches is called once, with
arguments made from the signature in its docstring, in a forked child, for what comes back is null.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import types
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.classic import releases

KINDS = [  # as spy.cpp numbers the first three
    "Builder", "Runtime", "OnnxParser", "IBuilderConfig", "INetworkDefinition",
    "IOptimizationProfile", "IHostMemory", "ITimingCache", "ICudaEngine", "IExecutionContext",
    "EngineInspector", "ParserError",
]  # fmt: skip
DIRECT = {"OnnxParser", "ParserError"}  # their functions lie in the object's own table
MAKERS = [  # who makes what
    ("Builder", "create_builder_config", "IBuilderConfig"),
    ("Builder", "create_network", "INetworkDefinition"),
    ("Builder", "create_optimization_profile", "IOptimizationProfile"),
    ("Builder", "build_serialized_network", "IHostMemory"),
    ("IBuilderConfig", "create_timing_cache", "ITimingCache"),
    ("Runtime", "deserialize_cuda_engine", "ICudaEngine"),
    ("ICudaEngine", "create_execution_context", "IExecutionContext"),
    ("ICudaEngine", "create_engine_inspector", "EngineInspector"),
    ("OnnxParser", "get_error", "ParserError"),
]
ENUMS = ("BuilderFlag", "NetworkDefinitionCreationFlag")  # those that we pass and NVIDIA renumbered
_PARAMETER = re.compile(r"(\w+): (.+?)(?: = [^,]+)?(?=, \w+: |$)")
Signature = list[tuple[str, str]]


class Spy:
    """The module of one release over spy.cpp."""

    def __init__(self, module: str, library: str) -> None:
        self.spied = ctypes.CDLL(library)
        self.trt = importlib.import_module(module)
        warnings.simplefilter("ignore")
        trt = self.trt

        class Logger(trt.ILogger):  # type: ignore[name-defined,misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, msg: str) -> None:
                pass

        self.have: dict[str, Any] = {"ILogger": Logger()}
        self.have["Builder"] = trt.Builder(self.have["ILogger"])
        self.have["Runtime"] = trt.Runtime(self.have["ILogger"])
        for kind, method, made in MAKERS:
            if kind == "OnnxParser":
                self.have[kind] = trt.OnnxParser(self.have["INetworkDefinition"], Logger())
            call = self._calls(kind, method)[0][1]
            (slot, _), *_ = self._watch(kind, call)[::-1]
            self.spied.spy_answer(KINDS.index(kind), slot, KINDS.index(made), made in DIRECT)
            self.have[made] = call()

    def facts(self) -> dict[str, Any]:
        """Slots by class and method, and the enums."""
        return {
            "classes": {kind: self._slots(kind) for kind in KINDS},
            "enums": {
                name: {
                    key: int(value) for key, value in getattr(self.trt, name).__members__.items()
                }
                for name in ENUMS
            },
        }

    def _slots(self, kind: str) -> dict[str, Any]:
        """Of each method: its slot, or [slot, "hidden"] where a struct comes back."""
        found: dict[str, Any] = {}
        for method in vars(getattr(self.trt, kind)):
            if method.startswith("__") and method != "__bool__":
                continue
            for key, call in self._calls(kind, method):
                watched = self._watch(kind, call)
                if watched:
                    slot, hidden = watched[-1]
                    found[key] = [slot, "hidden"] if hidden else slot
        return found

    def _calls(self, kind: str, method: str) -> list[tuple[str, Callable[[], Any]]]:
        """Each overload, getter or setter by its key, ready to be called."""
        member = vars(getattr(self.trt, kind))[method]
        if isinstance(member, property):
            sides = [(f"{method}.get", member.fget), (f"{method}.set", member.fset)]
        else:
            sides = [(method, getattr(member, "__func__", member))]
        made = []
        for key, function in sides:
            for signature in _signatures(getattr(function, "__doc__", None) or ""):
                try:
                    values = [self._value(type_) for _, type_ in signature[1:]]
                except LookupError:
                    continue
                names = ",".join(name for name, _ in signature[1:]) if "." not in key else ""
                call = self._bind(function, kind, values)
                made.append((f"{key}({names})" if "." not in key else key, call))
        return made

    def _bind(self, function: Any, kind: str, values: list[Any]) -> Callable[[], Any]:
        return lambda: function(self.have[kind], *values)

    def _value(self, type_: str) -> Any:
        """Something of a docstring's type; LookupError where we have nothing."""
        name = re.sub(r"^(Optional\[)?(.*?)\]?( \| None)?$", r"\2", type_).rpartition(".")[2]
        name = name.rpartition("::")[2]
        simple: dict[str, Any] = {
            "int": 0, "SupportsInt": 0, "SupportsIndex": 0, "bool": False, "str": "x",
            "buffer": b"abcd", "Buffer": b"abcd", "object": None,
        }  # fmt: skip
        if name in simple:
            return simple[name]
        if name in self.have:
            return self.have[name]
        kind = getattr(self.trt, name, None)
        if hasattr(kind, "__members__"):
            return list(kind.__members__.values())[-1]
        if name == "Dims":
            return self.trt.Dims([1, 2])
        if name in {"IProgressMonitor", "IProfiler", "IOutputAllocator", "IDebugListener"}:
            return kind() if kind is not None else None
        raise LookupError(name)

    def _watch(self, kind: str, call: Callable[[], Any]) -> list[tuple[int, bool]]:
        """The class's own slots that a call reaches; a child makes it, as null may crash it."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            self.spied.spy_log(write)
            try:
                call()
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            numbers = memoryview(pipe.read()).cast("i").tolist()
        os.waitpid(child, 0)
        calls = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
        return [(slot, bool(hidden)) for of, slot, hidden in calls if of == KINDS.index(kind)]


def _signatures(doc: str) -> list[Signature]:
    """Parameters with their types, of each overload in a docstring of pybind11."""
    found = []
    for line in doc.splitlines():
        whole = re.match(r"^(?:\d+\. )?\w*\((.*)\) -> .*$", line.strip())
        if whole and ": " in whole[1]:
            found.append(_PARAMETER.findall(whole[1]))
    return found


def _spy_on(release: str) -> dict[str, Any]:
    """In a process of its own: the modules of two releases do not live in one."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if release == releases.RTX:
            # its bindings are linked against two libraries of its own
            names, module, libraries = (
                ("libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1"),
                "tensorrt_rtx_bindings",
                home,
            )
        else:
            libraries = releases.unpack(release, home)
            major = release.partition(".")[0]
            names, module = tuple(f"{n}.so.{major}" for n in releases.LIBRARIES), "tensorrt"
        releases.compile_libraries(releases.HERE / "spy.cpp", libraries, names)
        command = [
            sys.executable,
            "-m",
            "tests.classic.spy",
            "--in",
            module,
            *(str(libraries / n) for n in names),
        ]
        path = os.pathsep.join([str(home), str(releases.HERE.parents[1])])
        done = subprocess.run(
            command, stdout=subprocess.PIPE, check=True, env=os.environ | {"PYTHONPATH": path}
        )
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts


def _inside(module: str, libraries: list[str]) -> None:
    if module == "tensorrt_rtx_bindings":  # without the package that loads the real ones
        sys.modules["tensorrt_rtx_libs"] = types.ModuleType("tensorrt_rtx_libs")
    for library in libraries:
        ctypes.CDLL(library)
    print(json.dumps(Spy(module, libraries[0]).facts()))
    sys.stdout.flush()
    os._exit(0)  # nothing here can be deleted


def _pin(release: str) -> None:
    """Add a release's hashes, as PyPI has them, to wheels.txt."""
    page = "https://pypi.org/simple/tensorrt-cu12-bindings/"  # PEP 691
    asking = {"Accept": "application/vnd.pypi.simple.v1+json"}
    with urllib.request.urlopen(urllib.request.Request(page, headers=asking)) as answer:
        files = json.load(answer)["files"]
    wanted = re.compile(rf"-{re.escape(release)}-cp31[1-9]-.*manylinux.*x86_64")
    hashes = [file["hashes"]["sha256"] for file in files if wanted.search(file["filename"])]
    assert hashes, f"PyPI has no Linux wheel of tensorrt-cu12-bindings {release}"
    lines = [f"tensorrt-cu12-bindings=={release}", *(f"  --hash=sha256:{own}" for own in hashes)]
    releases.WHEELS.write_text(releases.WHEELS.read_text() + " \\\n".join(lines) + "\n")


def main(wanted: list[str]) -> None:
    new = [release for release in wanted if release not in (*releases.RELEASES, releases.RTX)]
    for release in new:
        _pin(release)
    path = releases.HERE / "slots.json"
    known = json.loads(path.read_text()) if path.is_file() and wanted else {}
    for release in wanted or [*releases.RELEASES, releases.RTX]:
        known[release] = _spy_on(release)
    path.write_text(json.dumps(known, indent=1) + "\n")
    again = [sys.executable, "-m", "tests.classic.touched"]  # which reads wheels.txt anew
    subprocess.run(again, check=True, cwd=releases.HERE.parents[1])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--in"]:
        _inside(sys.argv[2], sys.argv[3:])
    main(sys.argv[1:])
