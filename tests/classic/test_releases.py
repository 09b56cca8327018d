"""Everything that needs classic TensorRT, in a process a release, under NVIDIA's own bindings."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.classic import releases

ROOT = Path(__file__).parents[2]
OLDEST, *_, NEWEST = releases.RELEASES
ENGINE, WITNESS = (f"tests/engines/runtime/test_{name}.py" for name in ("engine", "witness"))
OTHERS = ["tests/engines/run/test_labeller.py", "tests/test_camera_example.py"]
FILES = {OLDEST: [ENGINE], NEWEST: [ENGINE, WITNESS, *OTHERS]}  # beside what every release runs


@pytest.mark.slow
@pytest.mark.parametrize("release", releases.RELEASES)
def test_release(release: str, shared: Path, tmp_path: Path) -> None:
    releases.rtx_libraries()
    env = releases.environment(release, tmp_path / "engines")
    env = {name: value for name, value in env.items() if not name.startswith("PYTEST_")}
    env["EDAFORMER_TEST_SHARED"] = str(shared)
    env["PYTHONFAULTHANDLER"] = "1"
    if "PYTEST_XDIST_WORKER" in os.environ:  # one core is ours
        env["OMP_NUM_THREADS"] = "1"
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
               f"--junitxml={report}", f"--basetemp={tmp_path / 'inside'}",
               "tests/classic/inside", *FILES.get(release, [])]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=900
    )
    said = (done.stdout + done.stderr)[-6000:]
    assert report.is_file(), f"TensorRT {release}: the process ended\n{said}"
    cases = list(ET.parse(report).getroot().iter("testcase"))
    failed = [case.get("name") for case in cases if case.find("failure") is not None
              or case.find("error") is not None]  # fmt: skip
    assert not failed, f"TensorRT {release}: {', '.join(map(str, failed))}\n{said}"
    assert done.returncode == 0, f"TensorRT {release}\n{said}"
    assert sum(case.find("skipped") is None for case in cases) > 50
    kept = releases.CACHE / "reports"
    kept.mkdir(exist_ok=True)
    (kept / f"{release}.xml").write_bytes(report.read_bytes())
