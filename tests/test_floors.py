"""pyproject.toml's floors: they resolve, none has a published hole, the commands run on them.

They are laid over this environment, whose torch stays: 2.10 without CUDA is not on PyPI, and with
CUDA it takes gigabytes. So torch's own floor is resolved here and run nowhere.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tomllib
from PIL import Image

from edaformer.packages import HOLES
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = ("export", "video", "plots", "segformer")  # the others want a GPU's libraries
WITH_TORCH = re.compile(
    r"torch|triton|sympy|mpmath|networkx|fsspec|filelock|setuptools|nvidia-|cuda-"
)


def uv(*arguments: object) -> str:
    program = shutil.which("uv", path=os.pathsep.join((os.path.dirname(sys.executable),  # noqa: PTH120
                                                       os.environ.get("PATH", ""))))  # fmt: skip
    if program is None:
        pytest.skip("needs uv, which make setup installs")
    ran = subprocess.run(
        [program, "-q", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def resolved(folder: Path, *extras: str) -> dict[str, str]:
    """Name and version of the lowest that satisfies each direct requirement, and what they need."""
    wanted = [*PROJECT["dependencies"]]
    for extra in extras:
        wanted += PROJECT["optional-dependencies"][extra]
    (folder / "floors.in").write_text("\n".join(wanted))
    made = uv(
        "pip", "compile", folder / "floors.in", "--resolution", "lowest-direct",
        "--only-binary", ":all:", "--python", sys.executable, "--no-annotate", "--no-header",
    )  # fmt: skip
    return dict(line.split("==") for line in made.splitlines() if "==" in line)


def test_they_resolve_and_none_has_a_hole(tmp_path: Path) -> None:
    chosen = resolved(tmp_path, *EXTRAS)
    known = [hole for hole in HOLES if set(hole.distributions) & set(chosen)]
    assert {hole.distributions[0] for hole in known} == {
        "torch", "onnx", "onnxruntime", "pillow", "protobuf"
    }  # fmt: skip
    for hole in known:
        for name in set(hole.distributions) & set(chosen):
            assert numbers(chosen[name]) >= numbers(hole.mended)


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


@pytest.fixture(scope="module")
def floors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of exactly them, torch and what torch needs left out."""
    folder = tmp_path_factory.mktemp("floors")
    chosen = resolved(folder, "export", "video")
    gpu = chosen.pop("onnxruntime-gpu", None)  # 300 MB more, for the same API
    chosen |= {} if gpu is None else {"onnxruntime": gpu}
    pins = [f"{name}=={version}" for name, version in chosen.items() if not WITH_TORCH.match(name)]
    uv(
        "pip",
        "install",
        "--python",
        sys.executable,
        "--target",
        folder / "site",
        "--no-deps",
        *pins,
    )
    return folder / "site"


def test_the_commands_run_on_them(floors: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(floors), str(ROOT)))}
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "street.png")

    def run(*command: object, code: str = "from edaformer.cli.main import main; main()") -> str:
        ran = subprocess.run(
            [sys.executable, "-c", code, *map(str, command)], cwd=tmp_path, env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    packages = "numpy", "onnx", "onnxruntime", "onnxscript", "PIL", "pydantic", "rich", "typer"
    listed = "\n".join(f"import {name}; print({name}.__file__)" for name in packages)
    where = run(code=listed)
    assert all(line.startswith(str(floors)) for line in where.splitlines())
    run("export", "--size", "64x96", "-o", "model.onnx")
    assert "published hole" not in run("check", "model.onnx", "--run")
    assert "FP16" in run("info", "model.onnx").upper()
    run("run", "model.onnx", "street.png", "-o", "out")
    assert len(list((tmp_path / "out").rglob("*.png"))) == 1
    run("validate", "model.onnx", "--data", "scenes:2", "--report", "report.html",
        "--max-miou-drop", 50, "--min-agreement", 0.5, "--no-cache")  # fmt: skip
    assert "<h1>Passed</h1>" in (tmp_path / "report.html").read_text()
