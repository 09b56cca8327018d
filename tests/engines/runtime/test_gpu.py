"""On a real GPU: the kernels through the PTX that is shipped, and CUDA graphs on PyCUDA's stream.

No engine is needed for this; where there is no GPU, PyCUDA or driver, every test skips and says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edaformer.engines.runtime import kernels
from edaformer.engines.runtime.cuda.gpu import Exchange, Gpu, launch
from edaformer.engines.runtime.cuda.graphs import Graphs
from edaformer.engines.runtime.kernels import Resizing
from edaformer.engines.runtime.tables import Tables
from edaformer.errors import EdaformerError
from edaformer.labels.geometry import Geometry, labels_from_logits, resize_labels
from edaformer.labels.resize import resize_picture
from edaformer.machine.gpu import gpu_visible
from edaformer.preprocess import MEAN, RESIZES, STD, Resize
from tests.standins.kernels import run

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def gpu() -> Iterator[Gpu]:
    if not gpu_visible():
        pytest.skip("needs an NVIDIA GPU and its driver")
    try:
        found = Gpu()
    except EdaformerError as error:
        pytest.skip(str(error))
    with found.current():
        yield found
    found.close()


@pytest.fixture
def stream(gpu: Gpu) -> Any:
    return gpu.stream()


@pytest.fixture(scope="module")
def loaded(gpu: Gpu) -> dict[str, Any]:
    return gpu.load_kernels()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("classes", [2, 19, 150])
@pytest.mark.parametrize("source", [(128, 256), (97, 203), (540, 960), (31, 17)])
def test_labels_bit_for_bit(
    gpu: Gpu, loaded: Any, stream: Any, source: tuple[int, int], classes: int, *, half: bool
) -> None:
    geometry = Geometry(source, (120, 250), (128, 256))
    dtype = np.float16 if half else np.float32
    logits = Exchange(gpu, (2, classes, 16, 32), dtype)
    labels = Exchange(gpu, (2, *source), np.uint8)
    margin = Exchange(gpu, (2, *source), np.float32)
    logits.host[:] = np.random.default_rng(classes).standard_normal(logits.host.shape)
    logits.upload(stream)
    for where in (None, margin.address):
        work = kernels.argmax(
            logits.address, logits.host.shape, labels.address, geometry, half=half, margin=where
        )
        launch(loaded, work, stream)
        labels.download(stream)
        margin.download(stream)
        stream.synchronize()
        for index in range(2):
            expected, gap = labels_from_logits(np.array(logits.host[index]), geometry)
            np.testing.assert_array_equal(labels.host[index], expected)
            if where is not None:
                np.testing.assert_array_equal(margin.host[index], gap)


@pytest.mark.parametrize("rule", RESIZES)
@pytest.mark.parametrize("source", [(360, 480), (720, 1280), (33, 77), (2160, 3840)])
def test_frames_bit_for_bit(
    gpu: Gpu, loaded: Any, stream: Any, source: tuple[int, int], rule: Resize
) -> None:
    geometry = Geometry(source, (256, 513), (256, 513))
    tables = Tables(gpu, rule)
    tables.prepare(geometry, stream)
    frames, out = (
        Exchange(gpu, (1, *source, 3), np.uint8),
        Exchange(gpu, (1, 256, 513, 3), np.uint8),
    )
    frames.host[:] = np.random.default_rng(0).integers(0, 256, frames.host.shape)
    frames.upload(stream)
    work = kernels.frame_to_image(
        frames.address, out.address, 1, geometry, tables[geometry],
        size=geometry.valid, fill=(0, 0, 0), reversed_colours=False,
    )  # fmt: skip
    launch(loaded, work, stream)
    out.download(stream)
    stream.synchronize()
    expected = resize_picture(np.array(frames.host[0]), (256, 513), rule)
    np.testing.assert_array_equal(out.host[0], expected)
    tables.free()


@pytest.mark.parametrize("rule", RESIZES)
def test_tensors_bit_for_bit(gpu: Gpu, loaded: Any, stream: Any, rule: Resize) -> None:
    """As the kernel compiled for the host has them, outside the valid area too."""
    geometry = Geometry((97, 203), (120, 250), (128, 256))
    frames = Exchange(gpu, (2, 97, 203, 3), np.uint8)
    out = Exchange(gpu, (2, 3, 128, 256), np.float32)
    frames.host[:] = np.random.default_rng(0).integers(0, 256, frames.host.shape)
    frames.upload(stream)
    colours = {"reversed_colours": True, "mean": MEAN, "std": STD, "fill": (1.0, 2.0, 3.0)}
    tables = Tables(gpu, rule)
    tables.prepare(geometry, stream)
    on_gpu, on_host = tables[geometry], Resizing.of(rule, geometry)
    on_host = replace(on_host, address=on_host.tables.ctypes.data)
    work = kernels.frame_to_tensor(frames.address, out.address, 2, geometry, on_gpu, **colours)
    launch(loaded, work, stream)
    out.download(stream)
    stream.synchronize()
    expected, given = np.empty(out.host.shape, np.float32), np.ascontiguousarray(frames.host)
    addresses = (given.ctypes.data, expected.ctypes.data)
    run(kernels.frame_to_tensor(*addresses, 2, geometry, on_host, **colours))
    np.testing.assert_array_equal(out.host, expected)
    tables.free()


@pytest.mark.parametrize("source", [(128, 256), (97, 203), (540, 960)])
def test_nearest_labels(gpu: Gpu, loaded: Any, stream: Any, source: tuple[int, int]) -> None:
    geometry = Geometry(source, (120, 250), (120, 250))
    held, labels = Exchange(gpu, (2, 128, 256), np.uint8), Exchange(gpu, (2, *source), np.uint8)
    held.host[:] = np.random.default_rng(0).integers(0, 256, held.host.shape)
    held.upload(stream)
    work = kernels.labels_nearest(held.address, labels.address, 2, geometry, (128, 256))
    launch(loaded, work, stream)
    labels.download(stream)
    stream.synchronize()
    for index in range(2):
        expected = resize_labels(np.array(held.host[index, :120, :250]), source)
        np.testing.assert_array_equal(labels.host[index], expected)


def test_graphs_on_pycuda_s_stream(gpu: Gpu, loaded: Any, stream: Any) -> None:
    """Captured and launched again and again, with new contents and without growth."""
    geometry = Geometry((128, 256), (128, 256), (128, 256))
    logits = Exchange(gpu, (1, 19, 16, 32), np.float32)
    labels = Exchange(gpu, (1, 128, 256), np.uint8)
    graphs, rng = Graphs(), np.random.default_rng(0)

    def work() -> None:
        logits.upload(stream)
        launch(
            loaded,
            kernels.argmax(logits.address, (1, 19, 16, 32), labels.address, geometry, half=False),
            stream,
        )
        labels.download(stream)

    for _ in range(5):
        logits.host[:] = rng.standard_normal(logits.host.shape)
        graphs.run("labels", stream, work)
        stream.synchronize()
        expected = labels_from_logits(np.array(logits.host[0]), geometry)[0]
        np.testing.assert_array_equal(labels.host[0], expected)
    free, _ = gpu.cuda.mem_get_info()
    for _ in range(10_000):
        graphs.run("labels", stream, work)
    stream.synchronize()
    assert free - gpu.cuda.mem_get_info()[0] < 4 << 20
    graphs.close()
