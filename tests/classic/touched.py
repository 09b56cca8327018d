"""What our code touches of TensorRT's Python package, and which release has it: api.json.

``python -m tests.classic.touched`` writes it anew, out of our sources and the modules themselves. A
name is found where our code says ``trt.NAME``; an attribute of an object where its variable has a
name that stands for one of TensorRT's classes in the files below.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.classic import releases

PACKAGE = releases.HERE.parents[1] / "edaformer"
FILES = (
    "machine/backend.py",
    "engines/build/compiler.py",
    "engines/runtime/network.py",
    "engines/segmenters/plan.py",
    "engines/bench/profile.py",
)
_VARIABLES = {
    "builder": "Builder", "network": "INetworkDefinition", "parser": "OnnxParser",
    "error": "ParserError", "config": "IBuilderConfig", "profile": "IOptimizationProfile",
    "cache": "ITimingCache", "built": "IHostMemory", "runtime": "Runtime", "_runtime": "Runtime",
    "engine": "ICudaEngine", "_engine": "ICudaEngine", "_context": "IExecutionContext",
    "context": "IExecutionContext", "inspector": "EngineInspector",
}  # fmt: skip
# Of Polygraphy's configuration, of the runtime's own cache, of every enum of pybind11
_OTHERS = {"IBuilderConfig.USE_TENSORRT_RTX", "ITimingCache.save", "__members__"}


def touched() -> list[str]:
    """``BuilderFlag.TF32``, ``IBuilderConfig.clear_flag`` and all others, sorted."""
    found = {"__version__"}
    for name in FILES:
        for node in ast.walk(ast.parse((PACKAGE / name).read_text())):
            found |= set(_names(node))
    return sorted(found - _OTHERS)


def _names(node: ast.AST) -> Iterator[str]:
    asks = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    if asks and node.func.id in {"hasattr", "getattr"} and isinstance(node.args[1], ast.Constant):
        base = _path(node.args[0])
        if base is not None:
            yield f"{base}.{node.args[1].value}".lstrip(".")
    if isinstance(node, ast.Attribute):
        whole = _path(node)
        if whole:
            yield whole


def _path(node: ast.AST) -> str | None:
    """A dotted name behind ``trt``, or behind a variable of one of TensorRT's classes."""
    if isinstance(node, ast.Name):
        return "" if node.id in {"trt", "kinds"} else _VARIABLES.get(node.id)
    if isinstance(node, ast.Attribute):
        if node.attr == "trt":
            return ""
        base = _path(node.value)
        if base is None:
            return _VARIABLES.get(node.attr)
        known = base == "" or base[0].isupper() or base.startswith("I")
        return f"{base}.{node.attr}".lstrip(".") if known else None
    return None


def has(trt: Any, name: str) -> bool:
    """Whether a module has it."""
    found = trt
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            return False
    return True


def main() -> None:
    """Ask each release in a process of its own."""
    table: dict[str, list[str]] = {name: [] for name in touched()}
    for release in releases.RELEASES:
        script = (
            "import json, tensorrt; from tests.classic.touched import has, touched; "
            "print(json.dumps([name for name in touched() if has(tensorrt, name)]))"
        )
        with tempfile.TemporaryDirectory() as folder:
            env = releases.environment(release, Path(folder))
            command = [sys.executable, "-c", script]
            done = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True)
        for name in json.loads(done.stdout):
            table[name].append(release)
    everywhere = list(releases.RELEASES)
    rows = {name: "all" if row == everywhere else row for name, row in table.items()}
    (releases.HERE / "api.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
