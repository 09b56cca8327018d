"""NVIDIA's own Python bindings of classic TensorRT, release by release, over a library of ours.

PyPI has the bindings without libraries. ``site`` makes a folder for PYTHONPATH in which ``import
tensorrt`` is the real module of a release and its three libraries are what was compiled here. All
of it lies in ``.classic``, which git ignores, keyed by the sources; wheels are fetched.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.standins.kernels import find_compiler

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("EDAFORMER_CLASSIC_CACHE", HERE.parents[1] / ".classic"))
RTX = "1.7.1.116"  # whose builder is beneath, and whose tables of virtual functions slots.json has
WHEELS = HERE / "wheels.txt"
RELEASES = tuple(re.findall(r"^tensorrt-cu12-bindings==(\S+)", WHEELS.read_text(), re.MULTILINE))
# Four bytes of the plan's header; 10.3.0's bindings do not know the last, JetPack 6's library does
VERSIONS = {name: (*map(int, name.split(".")), 30)[:4] for name in RELEASES}
LIBRARIES = ("libnvinfer", "libnvonnxparser", "libnvinfer_plugin")
# What our code and its tests call; all else ends the process by name
_PASSED = {
    "Builder": {
        "create_network(flags)", "create_builder_config()", "create_optimization_profile()",
        "build_serialized_network(network,config)", "logger.get", "max_threads.get",
    },
    "INetworkDefinition": {
        "name.get", "name.set", "num_layers.get", "num_inputs.get", "num_outputs.get",
    },
    "IBuilderConfig": {
        "set_memory_pool_limit(pool,pool_size)", "get_memory_pool_limit(pool)",
        "profiling_verbosity.get", "profiling_verbosity.set",
        "set_flag(flag)", "clear_flag(flag)", "get_flag(flag)",
        "add_optimization_profile(profile)", "num_optimization_profiles.get",
        "create_timing_cache(serialized_timing_cache)", "set_timing_cache(cache,ignore_mismatch)",
        "get_timing_cache()", "builder_optimization_level.get", "builder_optimization_level.set",
        "progress_monitor.get", "progress_monitor.set",
    },
    "IOptimizationProfile": {"set_shape(input,min,opt,max)", "get_shape(input)", "__bool__()"},
    "OnnxParser": {
        "parse(model,path)", "parse_from_file(model)", "num_errors.get", "get_error(index)",
        "clear_errors()",
    },
}  # fmt: skip
_ALIKE = ("IHostMemory", "ITimingCache", "ParserError")  # TensorRT-RTX's own pass as they are
_CUSTOM = """import os
if os.environ.get("EDAFORMER_CLASSIC_DRIVER") == "emulated":
    from tests.classic import device
    device.emulate()
"""
_IMPORTS = "from tensorrt_bindings import *\nfrom tensorrt_bindings import __version__\n"


def environment(release: str, engines: Path) -> dict[str, str]:
    """Variables of a process in which ``import tensorrt`` is a release; engines lie in a folder.

    The test is skipped, with the reason, where it cannot be had.
    """
    paths = [str(site(release)), str(HERE.parents[1])]
    return dict(os.environ) | {
        "PYTHONPATH": os.pathsep.join(paths),
        "EDAFORMER_CLASSIC_RELEASE": release,
        "EDAFORMER_CLASSIC_ENGINES": str(engines),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def site(release: str) -> Path:
    """The folder for PYTHONPATH, made where it is not there yet."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("classic TensorRT's bindings: the layer knows the calls of x86-64 Linux alone")
    sources = [HERE / name for name in ("layer.cpp", "glue.py", "slots.json", "releases.py")]
    key = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    folder = CACHE / f"{release}-{key}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{release}.lock"):
        if not folder.is_dir():
            _make(release, folder)
    return folder


def _make(release: str, folder: Path) -> None:
    find_compiler()  # first: it may skip
    half = folder.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    libraries = unpack(release, half)
    slots = json.loads((HERE / "slots.json").read_text())
    header = half / "table.inc"
    header.write_text(table(slots, release))
    major = release.partition(".")[0]
    names = tuple(f"{name}.so.{major}" for name in LIBRARIES)
    compile_libraries(HERE / "layer.cpp", libraries, names, f"-I{half}")
    (libraries / "__init__.py").write_bytes((HERE / "glue.py").read_bytes())
    (libraries / "version.json").write_text(json.dumps(VERSIONS[release]))
    (libraries / "slots.json").write_text(json.dumps(slots[release]["classes"]))
    (half / "sitecustomize.py").write_text(_CUSTOM)
    for old in CACHE.glob(f"{release}-*"):
        if old != half:
            shutil.rmtree(old)
    half.rename(folder)


def table(slots: dict[str, Any], release: str) -> str:
    """The release's slots, each with TensorRT-RTX's of the same function, for layer.cpp."""
    own, rtx = slots[release], slots[RTX]
    for kind in _ALIKE:
        common = own["classes"][kind].keys() & rtx["classes"][kind].keys()
        assert all(own["classes"][kind][name] == rtx["classes"][kind][name] for name in common)
    version = ", ".join(map(str, VERSIONS[release]))
    lines = [
        f"constexpr unsigned char kVersion[4] = {{{version}}};",
        "constexpr int kMajor = kVersion[0];",
    ]
    for name in ("BuilderFlag", "NetworkDefinitionCreationFlag"):
        numbers = {
            value: rtx["enums"][name].get(key, -1) for key, value in own["enums"][name].items()
        }
        row = ", ".join(str(numbers.get(value, -1)) for value in range(max(numbers) + 1))
        lines.append(f"constexpr int k{name}[] = {{{row}}};")
    lines.append("const Row kRows[] = {")
    for kind, passed in _PASSED.items():
        for name, slot in own["classes"][kind].items():
            there, place = (
                rtx["classes"][kind].get(name),
                slot if isinstance(slot, int) else slot[0],
            )
            if name not in passed or there is None:
                lines.append(f'REFUSE({kind}, {place}, "{name}")')
            elif isinstance(there, list):
                lines.append(f'FORWARD_HIDDEN({kind}, {place}, {there[0]}, "{name}")')
            else:
                lines.append(f'FORWARD({kind}, {place}, {there}, "{name}")')
    return "\n".join([*lines, "};", ""])


def unpack(release: str, folder: Path) -> Path:
    """The bindings' wheel in a folder, as package ``tensorrt``; gives the libraries' package."""
    with zipfile.ZipFile(_wheel(release)) as wheel:
        wheel.extractall(folder)
    package, libraries = folder / "tensorrt", folder / "tensorrt_libs"
    for made in (package, libraries):
        made.mkdir()
    (package / "__init__.py").write_text(_IMPORTS)
    (libraries / "__init__.py").touch()
    return libraries


def _wheel(release: str) -> Path:
    """Fetched by exact version and hash, or skipped with pip's reason."""
    wheels = CACHE / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    wanted = f"tensorrt_cu12_bindings-{release}-cp{sys.version_info.major}{sys.version_info.minor}-"
    found = sorted(wheels.glob(f"{wanted}*.whl"))
    if not found:
        pinned = CACHE / f"{release}.txt"
        pinned.write_text(_pinned(release))
        options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "-q", "--retries=1"]
        command = [sys.executable, "-m", "pip", "download", *options, "-d", wheels, "-r", pinned]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        found = sorted(wheels.glob(f"{wanted}*.whl"))
        if "HASHES" in done.stderr:
            pytest.fail(f"TensorRT {release}'s bindings are not those of wheels.txt: {done.stderr}")
        if not found:
            reason = (done.stderr.strip().splitlines() or ["no wheel for this Python"])[-1]
            pytest.skip(f"TensorRT {release}'s bindings cannot be fetched here: {reason}")
    return found[0]


def _pinned(release: str) -> str:
    """The lines of wheels.txt for one release."""
    whole = WHEELS.read_text().replace("\\\n", "")
    lines = [
        line
        for line in whole.splitlines()
        if line.startswith(f"tensorrt-cu12-bindings=={release} ")
    ]
    assert len(lines) == 1, f"wheels.txt has {len(lines)} lines of {release}, expected one"
    return lines[0]


def rtx_libraries() -> Path:
    """The folder with TensorRT-RTX's libraries, which the extra [rtx] brings."""
    spec = importlib.util.find_spec("tensorrt_rtx_libs")
    version = metadata.version("tensorrt_rtx_cu13_libs") if spec is not None else "none"
    if spec is None or version != RTX:
        pytest.skip(f"needs the libraries of TensorRT-RTX {RTX} (extra [rtx]), here: {version}")
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def compile_libraries(source: Path, folder: Path, names: Sequence[str], *options: str) -> None:
    """``source`` as the first of the libraries; the others are there to be found, and empty."""
    compiler = find_compiler()
    for name in names:
        own = [*options, str(source), "-ldl"] if name == names[0] else ["-x", "c++", os.devnull]
        flags = ["-std=c++17", "-O1", "-fPIC", "-shared", f"-Wl,-soname,{name}"]
        command = [*compiler, *flags, "-o", str(folder / name), *own]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
