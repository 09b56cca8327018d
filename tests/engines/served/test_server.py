"""A real tritonserver: what it answers over HTTP and gRPC, and what it refuses."""

from __future__ import annotations

import io
import struct
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edaformer.engines.handover import hand_over_runtime
from edaformer.engines.run.labeller import open_labeller
from edaformer.export.exporter import ExportResult
from edaformer.manifest import parse_manifest
from tests.conftest import ROOT
from tests.pages import page
from tools.tritonserver import TritonServer, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no Triton: {why_not()}")
SIZES = ((60, 90), (33, 47), (200, 121))


@pytest.fixture(scope="module")
def server(
    small_export: ExportResult, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonServer]:
    repository = tmp_path_factory.mktemp("repository")
    hand_over_runtime(small_export.path, repository / "frames")
    with TritonServer(repository) as started:
        yield started


@pytest.fixture(params=["http", "grpc"])
def way(request: pytest.FixtureRequest, server: TritonServer) -> Iterator[Any]:
    """(the client's module, a client)."""
    module = pytest.importorskip(f"tritonclient.{request.param}")
    with module.InferenceServerClient(getattr(server, request.param)) as client:
        yield module, client


def ask(
    way: Any, name: str, value: NDArray[Any], *wanted: str, kind: str = "UINT8"
) -> dict[str, NDArray[Any]]:
    module, client = way
    sent = module.InferInput(name, value.shape, kind)
    sent.set_data_from_numpy(value)
    outputs = [module.InferRequestedOutput(one) for one in wanted]
    made = client.infer("frames", [sent], outputs=outputs)
    return {one: made.as_numpy(one) for one in wanted}


def frame(height: int, width: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return noise // 4 + np.linspace(0, 190, width, dtype=np.uint8)[:, None]


def file_of(picture: NDArray[np.uint8], kind: str, **options: Any) -> NDArray[np.uint8]:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return np.frombuffer(file.getvalue(), np.uint8)[None]


@pytest.mark.parametrize("size", SIZES)
def test_labels_are_those_of_edaformer_run(
    way: Any, small_export: ExportResult, size: tuple[int, int]
) -> None:
    labels = open_labeller(small_export.path)(frame(*size))
    made = ask(way, "image", frame(*size)[None], "labels", "areas", "png")
    np.testing.assert_array_equal(made["labels"], labels[None])
    assert made["areas"].tolist() == [np.bincount(labels.ravel(), minlength=5).tolist()]
    picture = Image.open(io.BytesIO(made["png"].tobytes()))
    np.testing.assert_array_equal(np.asarray(picture), labels)


def test_several_frames_of_one_size(way: Any, small_export: ExportResult) -> None:
    frames = np.stack([frame(60, 90), frame(60, 90)[::-1]])
    labeller = open_labeller(small_export.path)
    made = ask(way, "image", frames, "labels", "areas")
    np.testing.assert_array_equal(made["labels"], np.stack([labeller(one) for one in frames]))
    assert made["areas"].sum(axis=1).tolist() == [5400, 5400]


def test_encoded_pictures_are_turned_upright(way: Any, small_export: ExportResult) -> None:
    labeller = open_labeller(small_export.path)
    made = ask(way, "encoded", file_of(frame(60, 90), "PNG"), "labels")
    np.testing.assert_array_equal(made["labels"][0], labeller(frame(60, 90)))
    exif = Image.Exif()
    exif[0x0112] = 3  # by half a turn
    turned = file_of(frame(60, 90), "PNG", exif=exif)
    made = ask(way, "encoded", turned, "labels")
    upright = np.ascontiguousarray(frame(60, 90)[::-1, ::-1])
    np.testing.assert_array_equal(made["labels"][0], labeller(upright))


def bomb() -> NDArray[np.uint8]:
    """A PNG whose header claims 60000x60000 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return np.frombuffer(
        b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 99) + b"IDAT" + bytes(99), np.uint8
    )[None]


BAD: dict[str, tuple[str, NDArray[Any], str, str]] = {
    "no batch": ("image", np.zeros((6, 90, 3), np.uint8), "UINT8", "unexpected shape"),
    "alpha": ("image", np.zeros((1, 60, 90, 4), np.uint8), "UINT8", "unexpected shape"),
    "no rows": ("image", np.zeros((1, 0, 90, 3), np.uint8), "UINT8", "expected an image"),
    "floats": ("image", np.zeros((1, 60, 90, 3), np.float32), "FP32", "expects 'UINT8'"),
    "many": ("image", np.zeros((9, 60, 90, 3), np.uint8), "UINT8", "batch-size must be <= 8"),
    "name": ("frame", np.zeros((1, 60, 90, 3), np.uint8), "UINT8", "unexpected inference input"),
    "no bytes": ("encoded", np.zeros((1, 0), np.uint8), "UINT8", "neither JPEG nor PNG"),
    "noise": ("encoded", np.full((1, 99), 7, np.uint8), "UINT8", "neither JPEG nor PNG"),
    "GIF": ("encoded", file_of(frame(9, 9), "GIF"), "UINT8", "neither JPEG nor PNG"),
    "cut": ("encoded", file_of(frame(60, 90), "JPEG")[:, :900], "UINT8", "cannot be read"),
    "bomb": ("encoded", bomb(), "UINT8", "million pixels; scale it down"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_are_refused_in_words(way: Any, case: str, server: TritonServer) -> None:
    from tritonclient.utils import InferenceServerException

    name, value, kind, words = BAD[case]
    with pytest.raises(InferenceServerException) as caught:
        ask(way, name, value, "labels", kind=kind)
    assert words in str(caught.value)
    assert str(caught.value.status()) in {"400", "StatusCode.INVALID_ARGUMENT"}
    assert "Traceback" not in str(caught.value)
    assert ask(way, "image", frame(60, 90)[None], "labels")["labels"].shape == (1, 60, 90)
    assert len(server.stubs()) == 1


def test_both_or_neither_input_and_an_output_that_is_not_given(way: Any) -> None:
    from tritonclient.utils import InferenceServerException

    module, client = way
    sent = [module.InferInput("image", (1, 60, 90, 3), "UINT8"),
            module.InferInput("encoded", (1, 99), "UINT8")]  # fmt: skip
    for one in sent:
        one.set_data_from_numpy(np.zeros(one.shape(), np.uint8))
    with pytest.raises(InferenceServerException, match="expected either image or encoded"):
        client.infer("frames", sent)
    with pytest.raises(InferenceServerException, match="unexpected inference output 'margins'"):
        ask(way, "image", frame(60, 90)[None], "margins")


def test_the_manifest_is_in_the_configuration(server: TritonServer) -> None:
    import json

    with urllib.request.urlopen(f"http://{server.http}/v2/models/frames/config") as reply:
        config = json.load(reply)
    text = config["parameters"]["edaformer.manifest"]["string_value"]
    assert parse_manifest(text, "x").num_classes == 5
    with urllib.request.urlopen(f"http://{server.metrics}/metrics") as reply:
        assert b'nv_inference_request_success{model="frames"' in reply.read()


@pytest.mark.parametrize("module", ["http", "grpc"])
def test_the_page_s_client_lines(
    module: str, server: TritonServer, small_export: ExportResult, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As they stand there, at this server's port."""
    pytest.importorskip(f"tritonclient.{module}")
    monkeypatch.chdir(tmp_path)
    Image.fromarray(frame(60, 90)).save("street.png")
    (block,) = [
        one.text for one in page.blocks(ROOT / "docs/serving.md")
        if f"tritonclient.{module}" in one.text and '"frames"' in one.text
    ]  # fmt: skip
    text = block.replace("localhost:8000", server.http).replace("localhost:8001", server.grpc)
    assert text != block
    found: dict[str, Any] = {}
    exec(text, found)
    labels = open_labeller(small_export.path)(frame(60, 90))
    np.testing.assert_array_equal(found["labels"], labels)
    found["client"].close()
