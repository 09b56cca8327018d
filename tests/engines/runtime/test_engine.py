"""The runtime by NVIDIA's bindings: a plan by ONNX Runtime, host kernels, streams that lag.

What is real: every call's name and arguments, the kernels' code with its launch geometry, the
network. What is not: time, and the GPU's memory system.
"""

from __future__ import annotations

import functools
import gc
import importlib
import itertools
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edaformer.engines.artifact import preflight
from edaformer.engines.artifact.plan import sidecar_path
from edaformer.engines.runtime import Engine
from edaformer.engines.runtime.cuda import dlpack
from edaformer.errors import DeviceError, InputError, ISRError, MissingError
from edaformer.export.exporter import ExportResult
from edaformer.export.runtime import OnnxSession
from edaformer.export.verify import natural_noise
from edaformer.labels.geometry import Geometry, labels_from_logits, resize_labels
from edaformer.labels.resize import resize_picture
from edaformer.machine import backend
from edaformer.machine.gpu import Gpu
from edaformer.preprocess import Normalisation, aligned, network_input, normalise
from tests import classic
from tests.standins.cuda import Machine, install
from tests.standins.kernels import library
from tests.standins.network import Kind, make_model, write_small_plan

VALID = (60, 90)  # padded to 64x96
COLOURS = Normalisation((127.5, 127.5, 90.0), (127.5, 127.5, 60.0))  # not ImageNet's
KINDS: dict[str, Kind] = {
    "logits": Kind(),
    "half": Kind(half=True),
    "labels": Kind(outputs=("labels",)),
    "both": Kind(outputs=("labels", "logits")),
    "tensor": Kind(size=(64, 96), input="tensor"),
    "planar": Kind(input="planar"),
    "probabilities": Kind(outputs=("probabilities",), input="planar"),
    "dynamic": Kind(batch=None),
    "two": Kind(outputs=("labels",), batch=2),
    "any image": Kind(dynamic=True, align=None),
    "any tensor": Kind(dynamic=True, input="tensor"),
    "any pooled": Kind(dynamic=True, align=None, isr="16,8,4,1-1,2,4"),
    "any labels": Kind(dynamic=True, align=None, outputs=("labels",)),
    "any planar": Kind(dynamic=True, align=None, input="planar"),
    "antialiased": Kind(resize="pillow-bilinear"),
    "antialiased tensor": Kind(size=(64, 96), input="tensor", resize="pillow-bilinear"),
    "own colours": Kind(size=(64, 96), input="tensor", colours=COLOURS),
    "any own colours": Kind(dynamic=True, align=None, colours=COLOURS),
}
Frame = NDArray[np.uint8]
GPU = Gpu("stand-in", "8.7", integrated=False, memory_bytes=8 << 30, cuda_version=(12, 6))
UNKNOWN = preflight.Installed("tensorrt", None)  # JetPack's bindings carry no metadata


pytestmark = pytest.mark.skipif(classic.running() is None, reason=classic.INSIDE)


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch) -> Any:
    if classic.running() is None:
        pytest.skip(classic.INSIDE)
    module = importlib.import_module("tensorrt")
    monkeypatch.setattr(backend._Chosen, "module", None)
    monkeypatch.setattr(backend, "gpu_visible", lambda: True)
    monkeypatch.setattr(preflight, "query_gpu", lambda: GPU)
    monkeypatch.setattr(preflight, "installed_version", lambda _: UNKNOWN)
    return module


@pytest.fixture
def machine(
    trt: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Machine]:
    """A GPU with its own memory, on which streams proceed by chance."""
    library()  # skips where there is no compiler
    machine = Machine(seed=getattr(request, "param", 0))
    for name, module in install(machine).items():
        monkeypatch.setitem(sys.modules, name, module)
    layer = importlib.import_module("tensorrt_libs")
    monkeypatch.setattr(layer, "enqueue", lambda handle, work: machine.streams[handle].put(work))
    yield machine
    if machine.contexts == 0:
        return
    pytest.fail("the context was not given back")


@pytest.fixture
def plan(machine: Machine, tmp_path: Path) -> Callable[[str], Path]:
    def build(kind: str) -> Path:
        path = tmp_path / f"{kind}.plan"
        write_small_plan(KINDS[kind], path)
        return path

    return build


@pytest.fixture
def expected() -> Callable[..., Any]:
    """Labels and margins as the definition says, of logits by ONNX Runtime."""

    def segment(name: str, frame: Frame) -> tuple[Any, Any]:
        kind, source = KINDS[name], (frame.shape[0], frame.shape[1])
        valid, padded = kind.size, kind.padded
        if kind.dynamic:
            valid, padded = source, aligned(source, 32)
        image = resize_picture(frame, valid, kind.resize)[None].repeat(kind.batch or 1, axis=0)
        feed = network_input(image, kind.input, kind.colours, padded if kind.dynamic else None)
        if kind.input == "tensor":
            feed = np.zeros((1, 3, *padded), np.float32)
            feed[:, :, : valid[0], : valid[1]] = normalise(image, kind.colours)
        made = session(name).run({kind.input: feed})
        if "probabilities" in made:
            return labels_from_logits(made["probabilities"][0], Geometry(source, valid, valid))
        if "logits" not in made:
            return resize_labels(made["labels"][0, : valid[0], : valid[1]], source), None
        return labels_from_logits(made["logits"][0], Geometry(source, valid, padded))

    return segment


@functools.cache
def session(name: str) -> OnnxSession:
    return OnnxSession(make_model(KINDS[name]).SerializeToString())


def pictures(count: int, size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    noise = natural_noise(count + seed, size)[seed:]
    return np.ascontiguousarray(noise.astype(np.uint8))


class OnDevice:
    """Somebody else's array on the device."""

    def __init__(self, machine: Machine, array: NDArray[Any], *, shift: int = 0) -> None:
        driver = sys.modules["pycuda.driver"]
        self.machine, self.shift = machine, shift
        gpu = driver.Device(0).retain_primary_context()  # type: ignore[attr-defined]
        gpu.push()
        self.memory = driver.mem_alloc(array.nbytes + shift)  # type: ignore[attr-defined]
        gpu.pop()
        self.context, self.array = gpu, array
        self.write(array)

    def write(self, array: NDArray[Any]) -> None:
        import ctypes

        ctypes.memmove(int(self.memory) + self.shift, array.ctypes.data, array.nbytes)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.array.shape, "typestr": self.array.dtype.str, "version": 3,
            "data": (int(self.memory) + self.shift, False), "strides": None, "stream": None,
        }  # fmt: skip

    def close(self) -> None:
        self.context.detach()
        self.machine.driver_stack.pop()


def read_back(array: Any) -> NDArray[Any]:
    import ctypes

    shown = array.__cuda_array_interface__
    dtype = np.dtype(shown["typestr"])
    size = int(np.prod(shown["shape"])) * dtype.itemsize
    data = bytes((ctypes.c_ubyte * size).from_address(shown["data"][0]))
    return np.frombuffer(data, dtype).reshape(shown["shape"])


class TestLabels:
    @pytest.mark.parametrize(
        "kind",
        [
            "logits", "half", "labels", "both", "tensor", "planar", "probabilities",
            "antialiased", "antialiased tensor",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("size", [VALID, (47, 33), (130, 201), (1, 1)])
    def test_of_any_size(self, plan: Any, expected: Any, kind: str, size: tuple[int, int]) -> None:
        (frame,) = pictures(1, size)
        with Engine.load(plan(kind)) as engine:
            for _ in range(4):  # run, captured, launched, launched
                labels = engine(frame)
                assert (labels.shape, labels.dtype) == (size, np.uint8)
                np.testing.assert_array_equal(labels, expected(kind, frame)[0])

    def test_successive_frames_through_one_graph(self, plan: Any, expected: Any) -> None:
        frames = pictures(5, (70, 80))
        with Engine.load(plan("logits")) as engine:
            for frame in frames:
                np.testing.assert_array_equal(engine(frame), expected("logits", frame)[0])

    def test_changing_shapes(self, plan: Any, expected: Any) -> None:
        with Engine.load(plan("logits")) as engine:
            for size in [(50, 40), VALID, (50, 40), (50, 40), (50, 40), VALID, VALID, VALID]:
                frame = pictures(1, size, seed=size[0])[0]
                np.testing.assert_array_equal(engine(frame), expected("logits", frame)[0])

    @pytest.mark.parametrize("kind", ["logits", "antialiased"])
    def test_more_sizes_than_tables_are_kept(
        self, machine: Machine, plan: Any, expected: Any, kind: str
    ) -> None:
        """What is freed is read by nothing, graphs included, and memory does not grow."""
        sizes = [(40 + step, 120 - step) for step in range(40)]
        blocks = []
        with Engine.load(plan(kind)) as engine:
            for size in [*sizes, sizes[0], sizes[0], *sizes]:
                (frame,) = pictures(1, size)
                for _ in range(3):  # run, captured, launched
                    np.testing.assert_array_equal(engine(frame), expected(kind, frame)[0])
                blocks.append(len(machine.blocks))
        assert max(blocks[:20]) == max(blocks)

    def test_bgr(self, plan: Any, expected: Any) -> None:
        (frame,) = pictures(1, VALID)
        with Engine.load(plan("logits"), colour="bgr") as engine:
            made = engine(np.ascontiguousarray(frame[..., ::-1]))
        np.testing.assert_array_equal(made, expected("logits", frame)[0])

    def test_a_view_of_a_larger_image(self, plan: Any, expected: Any) -> None:
        (whole,) = pictures(1, (80, 120))
        part = whole[5:75:2, 110:10:-1]
        with Engine.load(plan("logits")) as engine:
            made = engine(part)
        np.testing.assert_array_equal(made, expected("logits", np.ascontiguousarray(part))[0])

    @pytest.mark.parametrize("kind", ["logits", "dynamic", "two"])
    @pytest.mark.parametrize("count", [1, 2, 3, 7])
    def test_batches(self, plan: Any, expected: Any, kind: str, count: int) -> None:
        frames = pictures(count, VALID)
        with Engine.load(plan(kind)) as engine:
            made = engine(frames)
            assert made.shape == (count, *VALID)
            for frame, labels in zip(frames, made, strict=True):
                np.testing.assert_array_equal(labels, expected(kind, frame)[0])

    def test_out(self, plan: Any, expected: Any) -> None:
        (frame,) = pictures(1, VALID)
        out = np.zeros(VALID, np.uint8)
        with Engine.load(plan("logits")) as engine:
            assert engine(frame, out=out) is out
            with pytest.raises(InputError, match="contiguous uint8"):
                engine(frame, out=np.zeros(VALID, np.int64))  # type: ignore[arg-type]
        np.testing.assert_array_equal(out, expected("logits", frame)[0])

    def test_margin(self, plan: Any, expected: Any) -> None:
        frames = pictures(3, (66, 44))
        with Engine.load(plan("logits"), margin=True) as engine:
            labels, margins = engine.with_margin(frames)
            for frame, made, margin in zip(frames, labels, margins, strict=True):
                np.testing.assert_array_equal(made, expected("logits", frame)[0])
                np.testing.assert_array_equal(margin, expected("logits", frame)[1])

    def test_integrated_memory_is_not_copied(
        self, machine: Machine, plan: Any, expected: Any
    ) -> None:
        machine.integrated = True
        frames = pictures(6, (50, 70))
        with Engine.load(plan("logits")) as engine:
            for frame in frames:
                np.testing.assert_array_equal(engine(frame), expected("logits", frame)[0])
            streamed = list(engine.stream(frames))
        for frame, labels in zip(frames, streamed, strict=True):
            np.testing.assert_array_equal(labels, expected("logits", frame)[0])
        assert not {"memcpy_htod_async", "memcpy_dtoh_async"} & set(machine.calls)


class TestDynamicSize:
    @pytest.mark.parametrize("kind", ["any image", "any tensor", "any planar", "any labels"])
    def test_at_the_frame_s_own(self, plan: Any, expected: Any, kind: str) -> None:
        with Engine.load(plan(kind)) as engine:
            for size in [(64, 96), (50, 70), (50, 70), (50, 70), (101, 40), (50, 70)]:
                (frame,) = pictures(1, size)
                np.testing.assert_array_equal(engine(frame), expected(kind, frame)[0])

    @pytest.mark.parametrize("kind", ["any image", "any tensor", "any planar", "any labels"])
    def test_in_a_stream(self, plan: Any, expected: Any, kind: str) -> None:
        """A larger one needs other memory: graphs that were captured before it are void."""
        with Engine.load(plan(kind)) as engine:
            sizes = [(50, 70)] * 9 + [(101, 40)] + [(50, 70)] * 4 + [(64, 64)] * 3
            frames = [pictures(1, size)[0] for size in sizes]
            for frame, labels in zip(frames, engine.stream(frames), strict=True):
                np.testing.assert_array_equal(labels, expected(kind, frame)[0])

    def test_too_small_or_outside_the_profile(self, plan: Any) -> None:
        with Engine.load(plan("any pooled")) as engine:
            with pytest.raises(ISRError, match="at least"):
                engine(pictures(1, (20, 64))[0])
            with pytest.raises(InputError, match="build it with a profile"):
                engine(pictures(1, (64, 200))[0])
            assert engine(pictures(1, (64, 64))[0]).shape == (64, 64)


@pytest.mark.parametrize("machine", range(3), indirect=True)
class TestStream:
    @pytest.mark.parametrize("graph", [True, False])
    def test_order_and_labels(self, plan: Any, expected: Any, *, graph: bool) -> None:
        sizes = [(50, 70)] * 6 + [(31, 40), VALID, (50, 70), VALID, VALID, VALID, (31, 40)]
        frames = [pictures(1, size, seed=at)[0] for at, size in enumerate(sizes)]
        with Engine.load(plan("logits"), cuda_graph=graph) as engine:
            made = list(engine.stream(iter(frames)))
        assert len(made) == len(frames)
        for frame, labels in zip(frames, made, strict=True):
            np.testing.assert_array_equal(labels, expected("logits", frame)[0])

    def test_frames_are_on_their_way_at_once(self, plan: Any) -> None:
        taken: list[int] = []

        def camera() -> Iterator[Frame]:
            for number, frame in enumerate(pictures(6, VALID)):
                taken.append(number)
                yield frame

        with Engine.load(plan("logits")) as engine:
            results = engine.stream(camera())
            next(results)
            assert taken == [0, 1, 2, 3]
            results.close()  # type: ignore[attr-defined]

    def test_a_camera_that_reuses_its_buffer(self, plan: Any, expected: Any) -> None:
        frames = pictures(6, VALID)
        buffer = np.empty_like(frames[0])

        def camera() -> Iterator[Frame]:
            for frame in frames:
                buffer[:] = frame
                yield buffer

        with Engine.load(plan("logits")) as engine:
            made = list(engine.stream(camera()))
        for frame, labels in zip(frames, made, strict=True):
            np.testing.assert_array_equal(labels, expected("logits", frame)[0])

    def test_calls_in_between(self, plan: Any, expected: Any) -> None:
        frames, (other,) = pictures(5, VALID), pictures(1, (40, 44), seed=9)
        with Engine.load(plan("dynamic")) as engine:
            for frame, labels in zip(frames, engine.stream(frames), strict=True):
                np.testing.assert_array_equal(labels, expected("dynamic", frame)[0])
                both = engine(np.stack([other, other]))
                np.testing.assert_array_equal(both[1], expected("dynamic", other)[0])

    def test_abandoned(self, machine: Machine, plan: Any) -> None:
        with Engine.load(plan("logits")) as engine:
            engine.warmup()  # tables stay, by size of frame
            before = machine.pinned
            for _ in engine.stream(pictures(5, VALID)):
                break
            assert machine.pinned == before
            assert engine(pictures(1, VALID)[0]).shape == VALID

    def test_a_wrong_frame_ends_it(self, machine: Machine, plan: Any) -> None:
        with Engine.load(plan("logits")) as engine:
            frames: list[Any] = [*pictures(2, VALID), "no image"]
            with pytest.raises(InputError, match="got str"):
                list(engine.stream(frames))
            with pytest.raises(InputError, match="one frame"):
                list(engine.stream([pictures(2, VALID)]))
            assert engine(pictures(1, VALID)[0]).shape == VALID


class TestGraphs:
    def test_captured_once(self, trt: Any, machine: Machine, plan: Any) -> None:
        (frame,) = pictures(1, VALID)
        with Engine.load(plan("logits")) as engine:
            assert engine.description == f"tensorrt {trt.__version__} fp32, CUDA graph, no witness"
            for _ in range(5):
                engine(frame)
            assert machine.calls.count("cuStreamBeginCapture") == 1
            assert machine.calls.count("cuGraphLaunch") == 4
            before = len(machine.calls)
            engine(frame)
            assert machine.calls[before:] == ["cuGraphLaunch", "synchronize"]
        assert machine.graphs == set()

    def test_not_wanted(self, machine: Machine, plan: Any) -> None:
        with Engine.load(plan("logits"), cuda_graph=False) as engine:
            engine.warmup()
            assert engine.description.endswith("no CUDA graph, no witness")
        assert "cuStreamBeginCapture" not in machine.calls

    def test_they_do_not_grow(self, machine: Machine, plan: Any) -> None:
        with Engine.load(plan("logits")) as engine:
            for side in range(8, 48):
                for _ in range(2):
                    engine(pictures(1, (side, 40))[0])
            assert len(machine.graphs) <= 16
            engine.warmup()  # the tables of this size come and stay
            blocks = len(machine.blocks)
            for _ in range(5):
                list(engine.stream(pictures(4, VALID)))
            assert len(machine.blocks) == blocks

    def test_warmup_captures(self, machine: Machine, plan: Any) -> None:
        with Engine.load(plan("logits")) as engine:
            engine.warmup((33, 44, 3))
            assert machine.calls.count("cuStreamBeginCapture") == 1
            engine(pictures(1, (33, 44))[0])
            assert machine.calls.count("cuStreamBeginCapture") == 1


class TestOnDevice:
    @pytest.mark.parametrize(("size", "shift"), [(VALID, 0), (VALID, 1), ((40, 50), 0)])
    def test_array_interface(
        self, machine: Machine, plan: Any, expected: Any, size: tuple[int, int], shift: int
    ) -> None:
        frames = pictures(3, size)
        with Engine.load(plan("logits"), margin=True) as engine:
            image = OnDevice(machine, frames[0], shift=shift)
            for frame in frames:
                image.write(frame)
                labels, margin = engine.with_margin(image)
                np.testing.assert_array_equal(read_back(labels), expected("logits", frame)[0])
                np.testing.assert_array_equal(read_back(margin), expected("logits", frame)[1])
            assert machine.calls.count("memcpy_htod_async") == 1  # the tables
            assert "memcpy_dtoh_async" not in machine.calls
            image.close()

    def test_it_is_read_where_it_lies(self, machine: Machine, plan: Any) -> None:
        image = OnDevice(machine, pictures(1, VALID)[0])
        with Engine.load(plan("logits")) as engine:
            engine(image)
            assert machine.kernels == ["argmax_float"]
            image.close()

    @pytest.mark.parametrize("machine", range(4), indirect=True)
    @pytest.mark.parametrize("version", [2, 3])
    def test_its_stream_is_waited_for(
        self, machine: Machine, plan: Any, expected: Any, version: int
    ) -> None:
        """Version 2, as PyTorch's, names none: what the default stream was given comes first."""
        first, second = pictures(2, VALID)
        with Engine.load(plan("logits")) as engine:
            image = OnDevice(machine, first)
            shown = image.__cuda_array_interface__ | {"version": version}
            if version == 2:
                del shown["stream"]
                producer = machine.add_stream(1)
            else:
                shown["stream"] = 1002  # any that is not the one that computes
                producer = machine.streams[1002]

            class Late:
                __cuda_array_interface__ = shown

            engine(image)  # what is made once, and waits for everything, is made
            producer.put(lambda: image.write(second))
            labels = read_back(engine(Late()))
            np.testing.assert_array_equal(labels, expected("logits", second)[0])
            image.close()

    @pytest.mark.parametrize("machine", range(4), indirect=True)
    def test_dlpack_comes_first(self, machine: Machine, plan: Any, expected: Any) -> None:
        """Its producer makes our stream wait."""
        first, second = pictures(2, VALID)
        with Engine.load(plan("logits")) as engine:
            image = OnDevice(machine, first)

            class Both:
                __cuda_array_interface__ = None

                def __dlpack_device__(self) -> tuple[int, int]:
                    return dlpack.CUDA, 0

                def __dlpack__(self, *, stream: int) -> object:
                    machine.streams[stream].put(lambda: image.write(second))
                    address = image.__cuda_array_interface__["data"][0]
                    return dlpack.export(
                        image, address, second.shape, second.dtype, self.__dlpack_device__()
                    )

            labels = read_back(engine(Both()))
            np.testing.assert_array_equal(labels, expected("logits", second)[0])
            image.close()

    def test_another_gpu_s_image_is_refused(self, machine: Machine, plan: Any) -> None:
        image = OnDevice(machine, pictures(1, VALID)[0])
        machine.ordinals[int(image.memory)] = 1

        class Elsewhere:
            def __dlpack_device__(self) -> tuple[int, int]:
                return dlpack.CUDA, 1

            def __dlpack__(self, *, stream: int) -> object:
                raise AssertionError("is not asked")

        with Engine.load(plan("logits")) as engine:
            for other in (image, Elsewhere()):
                with pytest.raises(InputError, match="first visible GPU, got one on number 1"):
                    engine(other)
            image.close()

    def test_results_outlive_the_engine_and_go_in_any_thread(
        self, machine: Machine, plan: Any, expected: Any
    ) -> None:
        (frame,) = pictures(1, VALID)
        image, made = OnDevice(machine, frame), []
        with Engine.load(plan("logits")) as engine:
            made.append(engine(image))
            image.close()
        assert machine.contexts == 1
        np.testing.assert_array_equal(read_back(made[0]), expected("logits", frame)[0])
        thread = threading.Thread(target=made.clear)
        thread.start()
        thread.join()
        gc.collect()
        assert (machine.contexts, machine.blocks, machine.driver_stack) == (0, {}, [])

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"typestr": "<f4"}, "uint8"),
            ({"strides": (300, 3, 1)}, "contiguous"),
            ({"shape": (60, 90)}, "expected an image"),
        ],
    )
    def test_refused(
        self, machine: Machine, plan: Any, change: dict[str, Any], reason: str
    ) -> None:
        image = OnDevice(machine, pictures(1, VALID)[0])

        class Changed:
            __cuda_array_interface__ = image.__cuda_array_interface__ | change

        with Engine.load(plan("logits")) as engine:
            with pytest.raises(InputError, match=reason):
                engine(Changed())
            assert engine(image).shape == VALID
            image.close()


class TestTimed:
    def test_labels_and_steps(self, plan: Any, expected: Any) -> None:
        (frame,) = pictures(1, (50, 70))
        with Engine.load(plan("logits")) as engine:
            labels, times = engine.timed(frame)
        np.testing.assert_array_equal(labels, expected("logits", frame)[0])
        # the stand-in's clock counts kernels, in ms
        assert (times.preprocess, times.postprocess) == (1e-3, 1e-3)
        assert (times.copy_in, times.network, times.copy_out) == (0, 0, 0)
        assert times.wall > 0
        assert set(times.to_json()) == {
            "copy_in", "preprocess", "network", "postprocess", "copy_out", "wall"
        }  # fmt: skip

    def test_no_step_waits_for_the_host(self, machine: Machine, plan: Any) -> None:
        """What is timed stands behind a run of the same, and nobody waits in between."""
        (frame,) = pictures(1, VALID)
        with Engine.load(plan("logits")) as engine:
            engine(frame)
            machine.calls.clear()
            machine.kernels.clear()
            engine.timed(frame)
            waits = [at for at, call in enumerate(machine.calls) if call == "synchronize"]
            uploads = [at for at, call in enumerate(machine.calls) if call == "memcpy_htod_async"]
            assert machine.kernels == ["argmax_float"] * 3
            assert len(waits) == 2
            assert [at < waits[0] for at in uploads] == [True, False, False]

    def test_one_batch_at_most(self, plan: Any) -> None:
        with Engine.load(plan("dynamic")) as engine, pytest.raises(InputError, match="at most 3"):
            engine.timed(pictures(4, VALID))


class RuntimeConfig:
    """TensorRT-RTX's IRuntimeConfig."""

    def __init__(self) -> None:
        self.dynamic_shapes_kernel_specialization_strategy = "lazy"

    def create_runtime_cache(self) -> Any:
        return RuntimeCache()

    def set_runtime_cache(self, cache: Any) -> bool:
        return True


class RuntimeCache:
    def serialize(self) -> bytes:
        return b"compiled"


@pytest.mark.parametrize("cached", [False, True])
def test_rtx_s_configuration_lives_as_long_as_its_context(
    trt: Any, plan: Any, monkeypatch: pytest.MonkeyPatch, *, cached: bool
) -> None:
    """And kernels are compiled for a shape before they are captured, not behind its back."""
    path, made = plan("logits"), []
    with Engine.load(path) as engine:
        kind = type(engine._runner.network._engine)  # type: ignore[union-attr]
    plain = kind.create_execution_context

    def create(self: Any, runtime_config: RuntimeConfig) -> Any:
        assert runtime_config.dynamic_shapes_kernel_specialization_strategy == "eager"
        return plain(self)

    def configure(self: Any) -> RuntimeConfig:
        config = RuntimeConfig()
        made.append(weakref.ref(config))
        return config

    strategies = type("Strategies", (), {"EAGER": "eager"})
    monkeypatch.setattr(trt, "DynamicShapesKernelSpecializationStrategy", strategies, raising=False)
    monkeypatch.setattr(kind, "create_runtime_config", configure, raising=False)
    monkeypatch.setattr(kind, "create_execution_context", create)
    engine = Engine.load(path, runtime_cache=cached)
    gc.collect()
    assert made[0]() is not None
    engine.close()
    assert made[0]() is None
    assert len(list(path.parent.glob("*.cache"))) == cached


class TestFailures:
    @pytest.mark.parametrize("step", itertools.chain(
        ["retain_primary_context", "module_from_buffer", "Stream", "mem_alloc", "pagelocked_empty"],
        ["memcpy_htod_async", "launch_kernel", "memcpy_dtoh_async", "synchronize"],
        ["cuStreamBeginCapture", "cuStreamEndCapture", "cuGraphInstantiate", "cuGraphLaunch"],
    ))  # fmt: skip
    def test_a_failed_call_closes_and_loading_again_works(
        self, machine: Machine, plan: Any, expected: Any, step: str
    ) -> None:
        path, (frame,) = plan("logits"), pictures(1, (50, 70))
        machine.fail = step
        engine = None
        with pytest.raises(DeviceError) as caught:  # noqa: PT012  # whichever call it is in
            engine = Engine.load(path)
            for _ in range(3):
                engine(frame)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 3
        if engine is not None:
            with pytest.raises(InputError, match="closed"):
                engine(frame)
            engine.close()
        assert (machine.contexts, machine.stack(), machine.driver_stack) == (0, [], [])
        with Engine.load(path) as again:
            np.testing.assert_array_equal(again(frame), expected("logits", frame)[0])

    def test_in_a_stream(self, machine: Machine, plan: Any) -> None:
        with Engine.load(plan("logits")) as engine:
            results = engine.stream(pictures(8, VALID))
            next(results)
            machine.fail = "event_synchronize"
            with pytest.raises(DeviceError, match="load the engine again"):
                list(results)
            with pytest.raises(InputError, match="closed"):
                next(engine.stream(pictures(1, VALID)))

    def test_tensorrt_refuses_to_execute(
        self, machine: Machine, plan: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = Engine.load(plan("logits"))
        kind = type(engine._runner.network._context)  # type: ignore[union-attr]
        monkeypatch.setattr(kind, "execute_async_v3", lambda self, stream_handle: False)
        with pytest.raises(DeviceError, match="cannot execute the plan"):
            engine(pictures(1, VALID)[0])
        assert machine.contexts == 0

    def test_what_cannot_be_captured_runs_without_a_graph(
        self, machine: Machine, plan: Any, expected: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        machine.refused = {"cuGraphInstantiate"}
        frames = pictures(3, VALID)
        with Engine.load(plan("logits")) as engine:
            assert engine.description.endswith(", CUDA graph, no witness")
            for frame in frames:
                np.testing.assert_array_equal(engine(frame), expected("logits", frame)[0])
            assert engine.description.endswith("no CUDA graph, no witness")
        assert caplog.text.count("runs without a CUDA graph") == 1

    def test_an_engine_that_is_dropped_gives_everything_back(
        self, machine: Machine, plan: Any
    ) -> None:
        engine = Engine.load(plan("logits"))
        engine(pictures(1, VALID)[0])
        del engine
        gc.collect()
        assert (machine.contexts, machine.pinned, machine.driver_stack) == (0, 0, [])

    def test_closing_in_the_midst_of_a_stream(self, machine: Machine, plan: Any) -> None:
        engine = Engine.load(plan("logits"))
        results = engine.stream(pictures(8, VALID))
        next(results)
        engine.close()
        assert (machine.contexts, machine.pinned, machine.graphs) == (0, 0, set())
        with pytest.raises(InputError, match="closed"):
            next(results)

    def test_a_cache_that_fails_leaves_nothing_behind(self, machine: Machine, plan: Any) -> None:
        class Failing:
            def save(self) -> None:
                raise ValueError("not of the GPU")

        engine = Engine.load(plan("logits"))
        engine(pictures(1, VALID)[0])
        engine._runner.network.cache = Failing()  # type: ignore[union-attr, assignment]
        with pytest.raises(ValueError, match="not of the GPU"):
            engine.close()
        assert machine.contexts == 0

    def test_closing(self, machine: Machine, plan: Any) -> None:
        engine = Engine.load(plan("logits"))
        engine(pictures(1, VALID)[0])
        engine.close()
        engine.close()
        assert (machine.contexts, machine.pinned, machine.driver_stack) == (0, 0, [])
        with pytest.raises(InputError, match="closed"):
            engine(pictures(1, VALID)[0])

    def test_closing_in_another_thread(self, machine: Machine, plan: Any) -> None:
        engine = Engine.load(plan("logits"))
        thread = threading.Thread(target=engine.close)
        thread.start()
        thread.join()
        assert machine.contexts == 0

    def test_two_threads(self, machine: Machine, plan: Any) -> None:
        reasons: list[str] = []

        def other(engine: Engine) -> None:
            for work in (lambda: engine(frame), engine.close):
                with pytest.raises(InputError) as caught:
                    work()
                reasons.append(str(caught.value))

        (frame,) = pictures(1, VALID)
        with Engine.load(plan("logits")) as engine:
            thread = threading.Thread(target=other, args=(engine,))
            with engine._at_work():
                thread.start()
                thread.join()
            assert len(reasons) == 2
            assert "load one engine for each thread" in reasons[0]
            assert engine(frame).shape == VALID

    def test_from_another_thread_when_free(self, plan: Any) -> None:
        made: list[Any] = []
        with Engine.load(plan("logits")) as engine:
            frame = pictures(1, VALID)[0]
            thread = threading.Thread(target=lambda: made.append(engine(frame)))
            thread.start()
            thread.join()
            np.testing.assert_array_equal(made[0], engine(frame))


class TestRefusals:
    @pytest.mark.parametrize(
        ("image", "reason"),
        [
            ("picture.png", "got str"),
            (np.zeros((4, 4, 3), np.float32), "uint8"),
            (np.zeros((4, 4), np.uint8), r"got shape \(4, 4\)"),
            (np.zeros((4, 4, 4), np.uint8), r"got shape \(4, 4, 4\)"),
            (np.zeros((0, 4, 3), np.uint8), r"got shape \(0, 4, 3\)"),
        ],
    )
    def test_images(self, plan: Any, image: Any, reason: str) -> None:
        with Engine.load(plan("logits")) as engine, pytest.raises(InputError, match=reason):
            engine(image)

    def test_margin_needs_logits(self, machine: Machine, plan: Any) -> None:
        with pytest.raises(InputError, match="--for runtime"):
            Engine.load(plan("labels"), margin=True)
        assert machine.contexts == 0
        with Engine.load(plan("logits")) as engine, pytest.raises(InputError, match="margin=True"):
            engine.with_margin(pictures(1, VALID)[0])

    def test_colour(self, plan: Any) -> None:
        with pytest.raises(InputError, match="'rgb' or 'bgr'"):
            Engine.load(plan("logits"), colour="gbr")  # type: ignore[arg-type]

    def test_a_damaged_plan(self, machine: Machine, plan: Any) -> None:
        path = plan("logits")
        path.write_bytes(path.read_bytes()[:-100])
        sidecar_path(path).unlink()
        with pytest.raises(InputError, match="build it again"):
            Engine.load(path)
        assert machine.contexts == 0

    def test_no_plan(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="is not there"):
            Engine.load(tmp_path / "no.plan")

    def test_no_pycuda(self, plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        path = plan("logits")
        monkeypatch.setitem(sys.modules, "pycuda.driver", None)
        with pytest.raises(MissingError, match=r"pip install .*\[cuda\]"):
            Engine.load(path)

    def test_no_gpu(self, plan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        path = plan("logits")
        monkeypatch.setattr(preflight, "query_gpu", lambda: None)
        with pytest.raises(MissingError, match="no NVIDIA GPU is visible"):
            Engine.load(path)

    def test_an_onnx_model(self, small_export: ExportResult) -> None:
        with pytest.raises(InputError, match="is an ONNX model; build it first: edaformer-build"):
            Engine.load(small_export.path)


def test_importing_it_is_light() -> None:
    heavy = ("torch", "onnx", "onnxruntime", "tensorrt", "tensorrt_rtx", "pycuda", "cuda",
             "pydantic", "typer", "rich", "polygraphy", "cv2")  # fmt: skip
    code = f"import sys, edaformer.engines.runtime; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
