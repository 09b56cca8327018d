"""``triton://`` addresses in the commands, against a real tritonserver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.engines.artifact.served import ServedModel
from edaformer.engines.handover import hand_over_runtime
from edaformer.engines.run.labeller import open_labeller
from edaformer.export.exporter import ExportResult
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from tests.folder import lay_folder
from tools.tritonserver import TritonServer, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no Triton: {why_not()}")
pytest.importorskip("tritonclient.grpc")
pytest.importorskip("tritonclient.http")


@pytest.fixture(scope="module")
def server(
    small_fp32: ExportResult, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("repository")
    hand_over_runtime(small_fp32.path, repository / "street")
    with TritonServer(repository) as started:
        yield started


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, size in enumerate([(60, 90), (41, 53), (60, 90)]):
        noise = np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{index}.png")
    return folder


def run(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("scheme", ["triton", "triton+grpc"])
def test_the_same_from_a_server_as_from_a_file(
    server: TritonServer, small_fp32: ExportResult, pictures: Path, tmp_path: Path, scheme: str
) -> None:
    host = server.http if scheme == "triton" else server.grpc
    made = {}
    for name, artifact in (("file", small_fp32.path), ("server", f"{scheme}://{host}/street")):
        folder = tmp_path / name
        ran = run("run", artifact, pictures, "-o", folder, "--save", "overlay,ids", "--json")
        assert ran.exit_code == 0, ran.stderr
        files = {
            path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.png"))
        }
        made[name] = (json.loads(ran.stdout)["classes"], files)
    assert len(made["file"][1]) == 6
    assert made["file"] == made["server"]


def test_validated_as_it_is_served(
    server: TritonServer, small_fp32: ExportResult, small_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """All but its name is the file's, where nothing is rounded that a CPU would not round."""
    truth = np.random.default_rng(0).integers(0, 5, (2, 60, 90)).astype(np.uint8)
    data = lay_folder(tmp_path / "data", zip(natural_noise(2, (60, 90)), truth, strict=True))
    asked = ("--checkpoint", small_checkpoint.path, "--data", f"folder:{data}", "--trust-labels")
    made = {}
    for artifact in (str(small_fp32.path), f"triton://{server.http}/street"):
        ran = run("validate", artifact, *asked, "--json")
        assert ran.exit_code == 0, ran.stderr
        made[artifact] = json.loads(ran.stdout)
    file, served = made.values()
    assert served["candidate"].pop("description") == f"served at {artifact}"
    assert file["candidate"].pop("description") == "ONNX fp32, ONNX Runtime CPU"
    assert served == file
    ran = run("validate", artifact, *asked, "--bisect")
    assert ran.exit_code == 2
    assert "--bisect looks into a graph" in ran.stderr


@pytest.mark.parametrize("scheme", ["triton", "triton+grpc"])
def test_threads_that_ask_one_model(
    server: TritonServer, small_fp32: ExportResult, scheme: str
) -> None:
    """As a validation's workers do: each reads in a thread, and asks in another one."""
    frames = natural_noise(6, (60, 90))
    labels = list(open_labeller(small_fp32.path).stream(frames))
    host = server.http if scheme == "triton" else server.grpc
    with closing(ServedModel(Path(f"{scheme}://{host}/street"))) as model:
        with ThreadPoolExecutor(3) as pool:
            made = list(pool.map(lambda frame: model.labels(frame[None])[0], frames))
        np.testing.assert_array_equal(made, labels)


def test_what_the_server_refuses(server: TritonServer, pictures: Path) -> None:
    ran = run("run", f"triton://{server.http}/other", pictures)
    assert ran.exit_code == 2
    assert "refuses" in ran.stderr
    ran = run("run", f"triton://{server.http}/street", pictures, "--provider", "cpu")
    assert ran.exit_code == 2
    assert "served elsewhere; leave it out" in ran.stderr
