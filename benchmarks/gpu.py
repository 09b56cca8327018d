"""Every figure that needs an NVIDIA GPU, in one run of at most --budget seconds.

    python benchmarks/gpu.py --prepare plans/       # anywhere: exports and builds with TensorRT-RTX
    python benchmarks/gpu.py --plans plans/ -o gpu.json    # on the machine with the GPU
    python benchmarks/gpu.py --dry-run -o dry.json         # on a CPU: every section, tiny sizes

With --checkpoint and --data, given to both, a trained network's labels are held against PyTorch's.

Sections stand alone: one that fails, or finds something missing, is recorded as such with its
reason, and the others run; so do the cases of a section. Each section has a share of the time left,
and what it does not use goes to the later ones. The JSON is written again after every case, so that
a run cut short keeps what it had. TensorRT runs in processes of its own, whose death is recorded.
benchmarks/performance.py makes docs/performance.md of the JSON. Runs from the checkout with
PYTHONPATH=. and imports what a section needs only there.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from edaformer.preprocess import Resize

T = TypeVar("T")

SCHEMA = 1
CASES = (  # variant, classes, size, ISR
    ("T", 150, (512, 512), "base"),
    ("T", 150, (512, 512), "paper"),
    ("T", 19, (1024, 2048), "base"),
    ("T", 19, (1024, 2048), "paper"),
    ("B", 150, (512, 512), "base"),
    ("B", 19, (1024, 2048), "paper"),
)
DRY_CASES = (("T", 5, (64, 96), "base"),)
KERNEL_SHAPES = (  # source (H, W), network (H, W), classes
    ((512, 512), (512, 512), 150),
    ((1024, 2048), (1024, 2048), 19),
    ((1080, 1920), (512, 1024), 19),
)
DRY_KERNEL_SHAPES = (((48, 64), (48, 64), 5), ((33, 47), (64, 96), 5))
PREPROCESS: dict[str, Resize] = {
    "preprocess": "opencv-bilinear",
    "antialiased": "pillow-bilinear",
}
SOAK_FRAMES = 100_000
PROBED = ("default", "CURRENT")  # targets of TensorRT-RTX
KERNELS_MODE = "max-autotune-no-cudagraphs"  # a CUDA graph would copy the inputs first
_SPIN = 1 << 22  # cycles that the GPU waits for the host: 2 ms at 2 GHz
_MOST_SPIN = 1 << 28
_LINES = 8  # of a dead process's last words
TRAINED = "trained"  # the stem of the plan made from --checkpoint
TRAINED_SIZE, TRAINED_ISR = (360, 480), "16,8,4,1"


class Skipped(Exception):  # noqa: N818 - it is no error
    """A section or a case that cannot run here; its message says why."""


class ChildError(Exception):
    """A process of its own failed or died."""


@dataclass(frozen=True)
class Run:
    """What the sections are given."""

    dry: bool
    plans: Path | None
    deadline: float  # of time.monotonic()
    device: str  # cuda, or cpu in a dry run
    checkpoint: Path | None = None  # of TRAINED's plan
    data: str | None = None
    keep: Callable[[dict[str, Any]], None] = lambda _: None  # what a section has so far

    def left(self) -> float:
        """Seconds left."""
        return self.deadline - time.monotonic()


# --- the kernels --------------------------------------------------------------------------------


class Kernels(Protocol):
    """The two kernels on torch tensors of the same device, without host copies."""

    def preprocess(
        self, frame: Any, network: tuple[int, int], rule: Resize = "opencv-bilinear"
    ) -> Any:
        """uint8 RGB (H, W, 3) -> floats (1, 3, *network), resized and normalised."""

    def labels(self, logits: Any, network: tuple[int, int], source: tuple[int, int]) -> Any:
        """float16 logits (1, classes, h, w) -> uint8 (*source): resized, then argmax."""

    def capture(self, frame: Any, logits: Any, network: tuple[int, int]) -> Callable[[], None]:
        """Both kernels on these buffers as a CUDA graph; the result replays it and waits."""

    @property
    def stream(self) -> str:
        """Whose stream they are on."""


@contextlib.contextmanager
def own_kernels(run: Run, *, pycuda: bool = False) -> Iterator[Kernels]:
    """edaformer.engines.runtime.kernels, on a stream that is torch's current one inside.

    With ``pycuda`` the stream is PyCUDA's, as an engine's is, where PyCUDA imports. In a dry run
    PyTorch itself stands in.
    """
    if run.dry:
        yield _TorchKernels()
        return
    import torch

    with _pycuda_stream() if pycuda else _torch_stream() as (stream, whose):
        torch.cuda.synchronize()  # the context is there, and nothing is under way
        with torch.cuda.stream(stream), contextlib.closing(_OwnKernels(stream, whose)) as own:
            try:
                yield own
            finally:
                torch.cuda.synchronize()


@contextlib.contextmanager
def _torch_stream() -> Iterator[tuple[Any, str]]:
    import torch

    yield torch.cuda.Stream(), "PyTorch's"


@contextlib.contextmanager
def _pycuda_stream() -> Iterator[tuple[Any, str]]:
    """PyCUDA's, which lives as long as the context; torch's, with the reason, without PyCUDA."""
    import torch

    from edaformer.engines.runtime.cuda.gpu import Gpu
    from edaformer.errors import MissingError, require

    try:
        require("pycuda.driver", "cuda")
    except MissingError as error:
        yield torch.cuda.Stream(), f"PyTorch's: {error}"
        return
    torch.cuda.synchronize()  # torch's context is the thread's before PyCUDA's stack begins
    gpu = Gpu()
    with gpu.current():
        stream = gpu.stream()
    try:
        yield torch.cuda.ExternalStream(stream.handle), "PyCUDA's"
    finally:
        with gpu.current():
            del stream
        gpu.close()


def launch(function: Any, work: Any, stream: int) -> None:
    """Put a kernel on a stream, its parameters as one buffer (cuda.h: CU_LAUNCH_PARAM_*)."""
    from edaformer.engines.runtime.cuda.calls import call, driver

    arguments = work.arguments
    buffer = ctypes.create_string_buffer(arguments, len(arguments))
    size = ctypes.c_size_t(len(arguments))
    pointer_key, size_key, end = 1, 2, 0
    extra = (ctypes.c_void_p * 5)(
        pointer_key, ctypes.addressof(buffer), size_key, ctypes.addressof(size), end
    )
    call(
        "cuLaunchKernel", function, *work.grid, work.threads, 1, 1, 0,
        driver().CUstream(stream), None, ctypes.addressof(extra),
    )  # fmt: skip


class _OwnKernels:
    """The shipped PTX through cuda-bindings, in PyTorch's context, on the stream given."""

    def __init__(self, stream: Any, whose: str) -> None:
        from edaformer.engines.runtime.cuda.calls import call
        from edaformer.engines.runtime.kernels import PTX

        self.torch_stream = stream
        self.stream = whose
        self.module = call("cuModuleLoadData", PTX.read_bytes() + b"\0")
        self.functions: dict[str, Any] = {}
        self.buffers: dict[Any, Any] = {}
        self.graphs: list[Any] = []

    def preprocess(
        self, frame: Any, network: tuple[int, int], rule: Resize = "opencv-bilinear"
    ) -> Any:
        import torch

        from edaformer.engines.runtime import kernels
        from edaformer.labels.geometry import Geometry
        from edaformer.preprocess import MEAN, STD

        geometry = Geometry((frame.shape[0], frame.shape[1]), network, network)
        out = self._buffer((1, 3, *network), torch.float32)
        self._launch(kernels.frame_to_tensor(
            frame.data_ptr(), out.data_ptr(), 1, geometry,
            self._resizing(rule, geometry, frame.device),
            reversed_colours=False, mean=MEAN, std=STD,
        ))  # fmt: skip
        return out

    def _resizing(self, rule: Resize, geometry: Any, device: Any) -> Any:
        """The tables, put on the device the first time: never while a graph is captured."""
        import torch

        from edaformer.engines.runtime.kernels import Resizing

        if (rule, geometry) not in self.buffers:
            made = Resizing.of(rule, geometry)
            self.buffers[rule, geometry] = made, torch.from_numpy(made.tables).to(device)
        made, tables = self.buffers[rule, geometry]
        return replace(made, address=tables.data_ptr())

    def labels(self, logits: Any, network: tuple[int, int], source: tuple[int, int]) -> Any:
        import torch

        from edaformer.engines.runtime import kernels
        from edaformer.labels.geometry import Geometry

        out = self._buffer((1, *source), torch.uint8)
        self._launch(kernels.argmax(
            logits.data_ptr(), tuple(logits.shape), out.data_ptr(),
            Geometry(source, network, network), half=logits.dtype == torch.float16,
        ))  # fmt: skip
        return out[0]

    def capture(self, frame: Any, logits: Any, network: tuple[int, int]) -> Callable[[], None]:
        from edaformer.engines.runtime.cuda.graphs import Graph

        def work() -> None:
            self.preprocess(frame, network)
            self.labels(logits, network, (frame.shape[0], frame.shape[1]))

        work()
        self.torch_stream.synchronize()
        graph = Graph(SimpleNamespace(handle=self.torch_stream.cuda_stream), work)
        self.graphs.append(graph)

        def replay() -> None:
            graph.launch()
            self.torch_stream.synchronize()

        return replay

    def close(self) -> None:
        """Give graphs and module back."""
        from edaformer.engines.runtime.cuda.calls import call

        for graph in self.graphs:
            graph.close()
        call("cuModuleUnload", self.module)

    def _buffer(self, shape: tuple[int, ...], dtype: Any) -> Any:
        import torch

        if (shape, dtype) not in self.buffers:
            self.buffers[shape, dtype] = torch.empty(shape, dtype=dtype, device="cuda")
        return self.buffers[shape, dtype]

    def _launch(self, work: Any) -> None:
        from edaformer.engines.runtime.cuda.calls import call

        if work.kernel not in self.functions:
            name = work.kernel.encode()
            self.functions[work.kernel] = call("cuModuleGetFunction", self.module, name)
        launch(self.functions[work.kernel], work, self.torch_stream.cuda_stream)


class _TorchKernels:
    """PyTorch against itself: shows that the comparison runs, and nothing else."""

    stream = "none, a dry run"

    def preprocess(
        self, frame: Any, network: tuple[int, int], rule: Resize = "opencv-bilinear"
    ) -> Any:
        return torch_preprocess(frame, network, *torch_constants(frame.device), rule)

    def labels(self, logits: Any, network: tuple[int, int], source: tuple[int, int]) -> Any:
        return torch_labels(logits, network, source)

    def capture(self, frame: Any, logits: Any, network: tuple[int, int]) -> Callable[[], None]:
        def replay() -> None:
            self.preprocess(frame, network)
            self.labels(logits, network, tuple(frame.shape[:2]))

        return replay


# --- sections -----------------------------------------------------------------------------------


def machine(run: Run) -> dict[str, Any]:
    """Device, driver, clocks, versions."""
    del run
    from dataclasses import asdict

    from edaformer.engines.bench.state import Machine

    here = Machine()
    return {"machine": here.describe(), "state": asdict(here.state())}


def bandwidth(run: Run) -> dict[str, Any]:
    """Device-to-device copy, bytes read and written a second."""
    import torch

    source = torch.ones((1 << 20) if run.dry else (1 << 30), dtype=torch.uint8, device=run.device)
    target = torch.empty_like(source)
    seconds = timed(run, lambda: target.copy_(source))
    return {"bytes": 2 * source.numel(), "seconds": seconds,
            "bytes_per_second": 2 * source.numel() / seconds,
            "l2_flushed_by_bytes": flush_bytes(run)}  # fmt: skip


def rtx_probe(run: Run) -> dict[str, Any]:
    """Whether TensorRT-RTX takes this GPU: validity, then deserialisation, for both targets."""
    found: dict[str, Any] = {}
    for target in PROBED:
        try:
            found[target] = in_child(run, "rtx_probe", target)
        except ChildError as error:
            found[target] = {"failed": str(error)}
        run.keep(found)
    failed = [f"{name}: {made['failed']}" for name, made in found.items() if "failed" in made]
    if failed:
        raise ChildError("; ".join(failed))
    return found


def _probe(run: Run, target: str) -> dict[str, Any]:
    del run
    try:
        import tensorrt_rtx as trt
    except (ImportError, OSError) as error:
        raise Skipped(f"tensorrt_rtx does not import: {error}") from error
    return {"version": trt.__version__, **_probe_target(trt, target)}


def _probe_target(trt: Any, target: str) -> dict[str, Any]:
    """A one-layer network, built for ``target``, and what the runtime says of it."""
    said: list[str] = []

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR, trt.ILogger.WARNING):
                said.append(f"{severity}: {msg}")

    logger = Logger()
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    tensor = network.add_input("x", trt.float32, (1, 8))
    network.mark_output(network.add_activation(tensor, trt.ActivationType.RELU).get_output(0))
    config = builder.create_builder_config()
    if target == "CURRENT":
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.CURRENT, 0)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        return {"built": False, "said": said}
    runtime = trt.Runtime(logger)
    validity = [str(part) for part in runtime.get_engine_validity(bytes(plan))]
    engine = runtime.deserialize_cuda_engine(bytes(plan))
    context = engine.create_execution_context() if engine is not None else None
    return {"built": True, "plan_bytes": len(bytes(plan)), "validity": validity,
            "deserialised": engine is not None, "context": context is not None,
            "said": said}  # fmt: skip


def kernels(run: Run) -> dict[str, Any]:
    """Our kernels against the same steps in PyTorch: equality, speed, share of the bandwidth."""
    found = {
        "bandwidth": bandwidth(run)["bytes_per_second"],
        "l2_flushed_by_bytes": flush_bytes(run),
        "torch_compile": {"mode": KERNELS_MODE, "dynamic": False},
    }
    cases = {
        f"{name}_{source[0]}x{source[1]}_{network[0]}x{network[1]}_{classes}":
            (name, source, network, classes)
        for source, network, classes in (DRY_KERNEL_SHAPES if run.dry else KERNEL_SHAPES)
        for name in (*PREPROCESS, "labels")
    }  # fmt: skip
    with own_kernels(run) as own:

        def work(case: Any, made: dict[str, Any]) -> None:
            _kernel_case(run, own, found["bandwidth"], case, made)

        each(run, found, "kernels", cases, work, reserve=15)
    return found


def _kernel_case(run: Run, own: Kernels, copied: float, case: Any, made: dict[str, Any]) -> None:
    name, source, network, classes = case
    made.update(kernel=name, source=source, network=network, classes=classes)
    frame, logits = _kernel_inputs(run, source, network, classes)
    ours: Callable[[], Any]
    theirs: Callable[..., Any]
    inputs: tuple[Any, ...]
    if name in PREPROCESS:
        moved = frame.numel() + 4 * 3 * network[0] * network[1]
        rule = PREPROCESS[name]
        ours = partial(own.preprocess, frame, network, rule)
        theirs, inputs = torch_preprocess, (frame, network, *torch_constants(frame.device), rule)
    else:
        moved = 2 * logits.numel() + source[0] * source[1]
        ours = partial(own.labels, logits, network, source)
        theirs, inputs = torch_labels, (logits, network, source)
    made["difference"] = _difference(ours(), theirs(*inputs))
    seconds = made["seconds"] = timed(run, ours)
    made["share_of_bandwidth"] = moved / seconds / copied
    made["torch_eager"] = timed(run, partial(theirs, *inputs))
    fused = compiled(run, theirs, KERNELS_MODE)
    made["torch_compile"] = timed(run, partial(fused, *inputs))
    made["times_as_fast_as_compile"] = made["torch_compile"] / seconds


def _kernel_inputs(run: Run, source: Any, network: Any, classes: int) -> tuple[Any, Any]:
    import torch

    torch.manual_seed(0)
    frame = torch.randint(0, 256, (*source, 3), dtype=torch.uint8, device=run.device)
    coarse = torch.randn(1, classes, network[0] // 32, network[1] // 32, device=run.device)
    size = (network[0] // 8, network[1] // 8)
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bilinear")
    return frame, smooth.half().contiguous()


def _difference(ours: Any, theirs: Any) -> dict[str, float]:
    if ours.dtype.is_floating_point:
        return {"largest": float((ours.float() - theirs.float()).abs().max())}
    return {"labels_differ": float((ours != theirs).float().mean())}


def soak(run: Run) -> dict[str, Any]:
    """A captured graph of both kernels, replayed 1e5 times: memory before, after."""
    source, network, classes = (DRY_KERNEL_SHAPES if run.dry else KERNEL_SHAPES)[0]
    frame, logits = _kernel_inputs(run, source, network, classes)
    wanted = 200 if run.dry else SOAK_FRAMES
    with own_kernels(run, pycuda=True) as own:
        replay = own.capture(frame, logits, network)
        for _ in range(100):
            replay()
        before, frames, start = _memory(run), 0, time.perf_counter()
        while frames < wanted and run.left() > 0:
            replay()
            frames += 1
        seconds = time.perf_counter() - start
        after = _memory(run)
    return {"frames": frames, "wanted": wanted, "seconds": seconds, "before": before,
            "after": after, "stream": own.stream}  # fmt: skip


def _memory(run: Run) -> dict[str, int]:
    gc.collect()
    status = Path("/proc/self/status").read_text()
    resident = int(status.partition("VmRSS:")[2].split()[0]) * 1024
    if run.dry:
        return {"host_bytes": resident}
    import torch

    free, total = torch.cuda.mem_get_info()
    return {"host_bytes": resident, "device_bytes": total - free}


def torch_frames(run: Run) -> dict[str, Any]:
    """PyTorch, whole frame: eager and torch.compile max-autotune, FP16, copies included."""
    import torch

    found = {"torch": torch.__version__, "dynamic": False}
    cases = {case_name(*case): case for case in (DRY_CASES if run.dry else CASES)}

    def work(case: Any, made: dict[str, Any]) -> None:
        _torch_case(run, case, made)

    each(run, found, "frames", cases, work, reserve=60)
    return found


def _torch_case(run: Run, case: Any, made: dict[str, Any]) -> None:
    import torch

    model = _torch_frame(run, *case)
    image = torch.randint(0, 256, (1, *case[2], 3), dtype=torch.uint8)
    image = image if run.dry else image.pin_memory()
    made["mode"] = "default" if run.dry else "max-autotune"
    made["eager"] = _wall(run, model, image)
    made["compile"] = _wall(run, compiled(run, model, made["mode"]), image)


def _torch_frame(run: Run, variant: str, classes: int, size: tuple[int, int], isr: str) -> Any:
    import torch

    from edaformer.engines.bench.torch_frame import TorchFrame
    from edaformer.export.wrapper import Deployment, Geometry
    from edaformer.families.edaformer.network import EDAFormer
    from edaformer.isr import ISR

    torch.manual_seed(0)
    model = EDAFormer.from_variant(variant, classes, ISR.parse(isr)).eval()
    deployment = Deployment(model, Geometry.of(size, 32), image_input=True, outputs=("labels",))
    return TorchFrame(deployment.eval(), half=not run.dry).to(run.device)


def _wall(run: Run, model: Any, image: Any) -> dict[str, float]:
    """Median seconds of whole frames: host to host, so every one waits."""
    import torch

    times = []
    with torch.inference_mode():
        for number in range(3 if run.dry else 120):
            start = time.perf_counter()
            model(image.to(run.device, non_blocking=True)).cpu()
            if number >= (1 if run.dry else 20):
                times.append(time.perf_counter() - start)
    return {"p50": statistics.median(times), "p99": float(np.percentile(times, 99))}


def engines(run: Run) -> dict[str, Any]:
    """Every prepared plan through Engine, beside the plain export of the same network."""
    return _each_plan(run, "engines", "engines", reserve=45)


def _bench_plan(run: Run, plan: str) -> dict[str, Any]:
    del run
    from edaformer.engines.bench.benchmark import benchmark
    from edaformer.engines.bench.contenders import BenchOptions
    from edaformer.errors import EdaformerError

    pair = [path for path in (Path(plan), Path(plan).with_suffix(".plain.plan")) if path.is_file()]
    try:
        return {"record": benchmark(pair, BenchOptions(duration=3, rounds=10)).to_json()}
    except EdaformerError as error:  # the refusal's own words are what is wanted
        return {"refused": str(error)}


def _each_plan(run: Run, section: str, key: str, *, reserve: float) -> dict[str, Any]:
    """Every plan of a random network, each in a process of its own."""
    if run.plans is None:
        raise Skipped("no --plans were given; make them with --prepare")
    plans = {plan.stem: str(plan) for plan in _random_plans(run.plans)}
    if not plans:
        raise Skipped(f"no *.plan in {run.plans}")
    found: dict[str, Any] = {}

    def work(plan: str, made: dict[str, Any]) -> None:
        made.update(in_child(run, section, plan))

    each(run, found, key, plans, work, reserve=reserve)
    return found


def _random_plans(folder: Path) -> list[Path]:
    """Ours, without the plain exports and the trained network."""
    plans = sorted(folder.glob("*.plan"))
    return [p for p in plans if p.stem != TRAINED and not p.name.endswith(".plain.plan")]


def overhead(run: Run) -> dict[str, Any]:
    """What a frame takes beyond the GPU's own time.

    The GPU's time is that of a pass without a CUDA graph, by events; the wall's that of a call as
    users make it, with one. A graph makes the GPU faster, so the difference can be below zero.
    """
    return _each_plan(run, "overhead", "frames", reserve=20)


def _time_plan(run: Run, plan: str) -> dict[str, Any]:
    del run
    from edaformer.engines.runtime import Engine
    from edaformer.errors import EdaformerError

    try:
        with Engine.load(Path(plan)) as engine:
            return _frame_times(engine)
    except EdaformerError as error:
        return {"refused": str(error)}


def _frame_times(engine: Any) -> dict[str, Any]:
    from dataclasses import asdict

    image = np.random.default_rng(0).integers(0, 256, (*engine.size, 3), np.uint8)
    engine.warmup()
    parts = [asdict(engine.timed(image)[1]) for _ in range(100)]
    split = {name: statistics.median(part[name] for part in parts) for name in parts[0]}
    walls = []
    for _ in range(300):
        start = time.perf_counter()
        engine(image)
        walls.append(time.perf_counter() - start)
    wall = statistics.median(walls)
    on_gpu = sum(seconds for name, seconds in split.items() if name != "wall")
    return {"split": split, "wall": wall, "gpu": on_gpu, "host": wall - on_gpu}


def agreement(run: Run) -> dict[str, Any]:
    """The trained network's plan against PyTorch float32, as edaformer-validate has it."""
    if run.checkpoint is None or run.data is None:
        raise Skipped("no --checkpoint and --data were given")
    if run.plans is None:
        raise Skipped("no --plans were given; make them with --prepare")
    return {"validation": in_child(run, "agreement", str(run.plans / f"{TRAINED}.plan"))}


def _validate(run: Run, plan: str) -> dict[str, Any]:
    from edaformer.data import open_dataset
    from edaformer.engines.validate.validate import validate
    from edaformer.families.table import load_checkpoint

    assert run.checkpoint is not None
    assert run.data is not None
    data = open_dataset(run.data, TRAINED_SIZE)
    return validate(Path(plan), load_checkpoint(run.checkpoint), data).to_json()


SECTIONS: tuple[tuple[Callable[[Run], dict[str, Any]], int], ...] = (  # each with its share
    (machine, 1), (rtx_probe, 3), (bandwidth, 1), (kernels, 8), (soak, 3), (engines, 15),
    (overhead, 6), (torch_frames, 15), (agreement, 4),
)  # fmt: skip
CHILDREN: dict[str, Callable[[Run, str], dict[str, Any]]] = {
    "rtx_probe": _probe, "engines": _bench_plan, "overhead": _time_plan, "agreement": _validate,
}  # fmt: skip


# --- what the sections share --------------------------------------------------------------------


def each(
    run: Run,
    found: dict[str, Any],
    key: str,
    cases: Mapping[str, T],
    work: Callable[[T, dict[str, Any]], None],
    *,
    reserve: float,
) -> None:
    """Work a section's cases off, keeping what is known after each.

    ``work`` fills a case's entry of ``found[key]``. A case that fails, or for which too little time
    is left (``reserve`` seconds, or what the longest so far took), goes to ``found["missing"]``,
    with its reason and what it had.

    Raises:
        Skipped, RuntimeError: if no case was done.
    """
    made, missing = found.setdefault(key, []), found.setdefault("missing", [])
    longest = 0 if run.dry else reserve
    for name, case in cases.items():
        entry: dict[str, Any] = {"case": name}
        start, left = time.monotonic(), run.left()
        try:
            if left < longest:
                raise Skipped(f"{left:.0f} s were left, and it may take {longest:.0f} s")  # noqa: TRY301
            work(case, entry)
            made.append(entry)
        except Skipped as reason:
            missing.append({**entry, "skipped": str(reason)})
        except Exception as error:  # noqa: BLE001 - one case must not cost the others
            traceback.print_exc()
            missing.append({**entry, "failed": f"{type(error).__name__}: {error}"})
        longest = max(longest, time.monotonic() - start)
        run.keep(found)
    if not made:
        failed = [entry for entry in missing if "failed" in entry]
        if failed:
            raise RuntimeError(f"no case was done; {failed[0]['case']}: {failed[0]['failed']}")
        raise Skipped(missing[0]["skipped"])


def in_child(run: Run, name: str, case: str) -> dict[str, Any]:
    """What ``CHILDREN[name]`` makes of a case in a process of its own.

    Raises:
        Skipped: if it was.
        ChildError: if it failed, died, or took longer than the time left.
    """
    with tempfile.TemporaryDirectory() as folder:
        output, log = Path(folder) / "made.json", Path(folder) / "log"
        given = {"--plans": run.plans, "--checkpoint": run.checkpoint, "--data": run.data}
        options = [str(x) for pair in given.items() if pair[1] is not None for x in pair]
        code = _wait_for(
            [sys.executable, str(Path(__file__).resolve()), "--child", name, case,
             "-o", str(output), "--budget", str(run.left()), *options],
            log, run.left(),
        )  # fmt: skip
        if code != 0:
            said = " | ".join(log.read_text(errors="replace").strip().splitlines()[-_LINES:])
            raise ChildError(f"its process {_ending(code)}; it said last: {said or 'nothing'}")
        made: dict[str, Any] = json.loads(output.read_text())
    if made["status"] == "skipped":
        raise Skipped(made["reason"])
    if made["status"] != "ok":
        raise ChildError(made["reason"])
    result: dict[str, Any] = made["result"]
    return result


def _wait_for(command: list[str], log: Path, seconds: float) -> int | None:
    """The exit code; None if time was up, and the process and all that it started were killed."""
    with log.open("wb") as said:
        child = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
        try:
            return child.wait(timeout=max(seconds, 0))
        except subprocess.TimeoutExpired:
            return None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def _ending(code: int | None) -> str:
    if code is None:
        return "took longer than the time left and was killed"
    return f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def compiled(run: Run, step: Any, mode: str) -> Any:
    """torch.compile for the one shape that comes; in a dry run the step itself.

    Dynamo would make a second shape of the same code dynamic, hence the reset.
    """
    if run.dry:
        return step
    import torch

    torch.compiler.reset()
    return torch.compile(step, mode=mode, dynamic=False)


def torch_constants(device: Any) -> tuple[Any, Any]:
    """Mean and standard deviation as torch_preprocess takes them."""
    import torch

    from edaformer.preprocess import MEAN, STD

    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return mean, std


def torch_preprocess(
    frame: Any, network: tuple[int, int], mean: Any, std: Any, rule: Resize = "opencv-bilinear"
) -> Any:
    """The reference: resize (half-pixel bilinear), round to a byte, normalise.

    The kernel rounds its weights and each row, too: it differs by one level at most.
    """
    import torch

    pixels = frame.permute(2, 0, 1)[None].float()
    if tuple(frame.shape[:2]) != tuple(network):
        resized = torch.nn.functional.interpolate(
            pixels, network, mode="bilinear", antialias=rule == "pillow-bilinear"
        )
        pixels = resized.round()
    return (pixels - mean) / std


def torch_labels(logits: Any, network: tuple[int, int], source: tuple[int, int]) -> Any:
    """The reference: straight to the source's size, argmax; one map, as the kernel has it.

    ``network`` has no padding here, so the composed half-pixel map is one resize of the logits.
    """
    import torch

    del network
    made = torch.nn.functional.interpolate(logits.float(), source, mode="bilinear")
    return made.argmax(1)[0].to(torch.uint8)


def timed(run: Run, step: Callable[[], object], repeats: int = 50) -> float:
    """Median seconds of a step: the GPU's own by CUDA events; on a CPU the clock's."""
    for _ in range(3 if run.dry else 10):
        step()
    if run.device == "cpu":
        return statistics.median(_clock(step) for _ in range(3))
    return _gpu_seconds(step, repeats, flush_bytes(run))


def _clock(step: Callable[[], object]) -> float:
    before = time.perf_counter()
    step()
    return time.perf_counter() - before


def _gpu_seconds(step: Callable[[], object], repeats: int, scratch_bytes: int) -> float:
    """Median seconds from a cold L2, without the host's part.

    Before each round the GPU overwrites more than its L2 holds, and then spins until the host has
    put the whole step on the stream. A round in which the host was late does not count, and the
    next one spins twice as long.
    """
    import torch

    scratch = torch.empty(scratch_bytes, dtype=torch.uint8, device="cuda")
    times: list[float] = []
    spin = _SPIN
    while len(times) < repeats:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        scratch.zero_()
        torch.cuda._sleep(spin)  # noqa: SLF001 - torch has no public one
        start.record()
        step()
        end.record()
        late = start.query()
        end.synchronize()
        if not late:
            times.append(start.elapsed_time(end) / 1e3)
        elif spin < _MOST_SPIN:
            spin *= 2
        else:
            raise RuntimeError("the step waits for the GPU, so its own time cannot be told")
    return statistics.median(times)


def flush_bytes(run: Run) -> int:
    """What is overwritten before each timed step: twice the GPU's L2; nothing on a CPU."""
    if run.device == "cpu":
        return 0
    import torch

    return 2 * int(torch.cuda.get_device_properties(0).L2_cache_size)


def case_name(variant: str, classes: int, size: tuple[int, int], isr: str) -> str:
    """``T_150_512x512_base``."""
    return f"{variant}_{classes}_{size[0]}x{size[1]}_{isr}"


def prepare(
    folder: Path, cases: Any, compute_capabilities: tuple[str, ...], trained: Path | None
) -> None:
    """Export and build every case, the plain export of the same network, and the trained one."""
    import onnx_ir as ir
    import torch

    from edaformer.engines.build.build import build_engine
    from edaformer.engines.build.compiler import BuildOptions
    from edaformer.export.exporter import ExportOptions, export_model
    from edaformer.export.graph import trace
    from edaformer.export.wrapper import Deployment, Geometry
    from edaformer.families.edaformer.loader import save_checkpoint
    from edaformer.families.edaformer.network import EDAFormer
    from edaformer.families.table import load_checkpoint
    from edaformer.isr import ISR
    from edaformer.manifest import ONNX_KEY, OutputSpec

    build = BuildOptions(backend="tensorrt-rtx", compute_capabilities=compute_capabilities)
    folder.mkdir(parents=True, exist_ok=True)
    for variant, classes, size, isr in cases:
        stem = folder / case_name(variant, classes, size, isr)
        torch.manual_seed(0)
        save_checkpoint(stem.with_suffix(".safetensors"), EDAFormer.from_variant(variant, classes))
        checkpoint = load_checkpoint(stem.with_suffix(".safetensors"))
        options = ExportOptions(isr=ISR.parse(isr), size=size, outputs=("logits",))
        made = export_model(checkpoint, options, stem.with_suffix(".onnx"))
        build_engine(made.path, stem.with_suffix(".plan"), build)
        plain = Deployment(checkpoint.model(options.isr), Geometry.of(size, 32),
                           image_input=True, outputs=("labels",)).half()  # fmt: skip
        example = torch.zeros((1, *size, 3), dtype=torch.uint8)
        graph = trace(plain, example, opset=18, dynamic_batch=False)
        output = OutputSpec(name="labels", layout="NHW", dtype="uint8", height=size[0],
                            width=size[1])  # fmt: skip
        changes = {"rewrites": (), "kept_fp32": (), "verification": None, "outputs": (output,)}
        graph.metadata_props[ONNX_KEY] = made.manifest.model_copy(update=changes).to_json()
        ir.save(graph, stem.with_suffix(".plain.onnx"))
        as_it_comes = replace(build, allow_unfused=True)
        build_engine(stem.with_suffix(".plain.onnx"), stem.with_suffix(".plain.plan"), as_it_comes)
        print(f"prepared {stem}", file=sys.stderr)
    if trained is not None:
        options = ExportOptions(isr=ISR.parse(TRAINED_ISR), size=TRAINED_SIZE, outputs=("logits",))
        made = export_model(load_checkpoint(trained), options, folder / f"{TRAINED}.onnx")
        build_engine(made.path, folder / f"{TRAINED}.plan", build)


def run_section(
    section: Callable[[Run], dict[str, Any]],
    run: Run,
    write: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """What a section found, or why it did not; ``write`` gets what is known so far."""
    start = time.perf_counter()
    found: dict[str, Any] = {}

    def made(status: str, reason: str | None = None) -> dict[str, Any]:
        told = {"status": status, "reason": reason, "result": found}
        return {**{key: value for key, value in told.items() if value},
                "seconds": time.perf_counter() - start}  # fmt: skip

    def keep(result: dict[str, Any]) -> None:
        found.update(result)
        write(made("unfinished", "the run ended in this section"))

    if run.left() <= 0:
        return made("skipped", "out of time")
    try:
        keep({})
        found.update(section(replace(run, keep=keep)))
    except Skipped as reason:
        return made("skipped", str(reason))
    except Exception as error:  # noqa: BLE001 - one section must not cost the others
        traceback.print_exc()
        return made("failed", f"{type(error).__name__}: {error}")
    return made("ok")


def run_sections(run: Run, output: Path) -> dict[str, Any]:
    """Every section in its share of the time left; ``output`` always has what is known."""
    record: dict[str, Any] = {"schema_version": SCHEMA, "kind": "gpu", "dry_run": run.dry,
                              "sections": {}}  # fmt: skip
    for number, (section, share) in enumerate(SECTIONS):
        print(f"... {section.__name__}", file=sys.stderr, flush=True)
        seconds = run.left() * share / sum(share for _, share in SECTIONS[number:])
        own = replace(run, deadline=time.monotonic() + seconds)

        def write(made: dict[str, Any], name: str = section.__name__) -> None:
            record["sections"][name] = made
            write_json(output, record)

        write(run_section(section, own, write))
    return record


def write_json(path: Path, record: dict[str, Any]) -> None:
    """The whole JSON or, if the process ends in it, the one that was there."""
    from edaformer.files import write_whole

    write_whole(path, json.dumps(record, indent=1).encode())


def _terminate(number: int, frame: object) -> None:
    """Ends the run by an exception, so that a process that it waits for ends with it."""
    del frame
    raise SystemExit(128 + number)


def main() -> None:
    """Run the sections, writing what is known after each case."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("gpu.json"))
    parser.add_argument("--plans", type=Path)
    parser.add_argument("--budget", type=float, default=480, help="seconds")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--prepare", type=Path, metavar="DIR")
    parser.add_argument("--compute-capability", default="", help="targets to prepare for")
    parser.add_argument("--checkpoint", type=Path, help="a trained one, for the labels")
    parser.add_argument("--data", help="what it was trained for, such as camvid:DIR")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "CASE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.prepare is not None:
        targets = tuple(filter(None, given.compute_capability.split(",")))
        cases = DRY_CASES if given.dry_run else CASES
        prepare(given.prepare, cases, targets, given.checkpoint)
        return
    deadline = time.monotonic() + given.budget
    device = "cpu" if given.dry_run else "cuda"
    run = Run(given.dry_run, given.plans, deadline, device, given.checkpoint, given.data)
    if given.child is not None:
        name, case = given.child
        write_json(given.output, run_section(lambda own: CHILDREN[name](own, case), run))
        return
    signal.signal(signal.SIGTERM, _terminate)
    record = run_sections(run, given.output)
    for name, made in record["sections"].items():
        print(f"{name}: {made['status']} {made.get('reason', '')}")


if __name__ == "__main__":
    main()
