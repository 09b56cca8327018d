"""Every figure that needs an NVIDIA GPU, in one run of at most --budget seconds.

    python benchmarks/gpu.py --prepare plans/       # anywhere: exports and builds with TensorRT-RTX
    python benchmarks/gpu.py --plans plans/ -o gpu.json    # on the machine with the GPU
    python benchmarks/gpu.py --dry-run -o dry.json         # on a CPU: every section, tiny sizes

With --checkpoint and --data, given to both, a trained network's labels are held against PyTorch's.

Sections stand alone: one that fails, or finds something missing, is recorded as such with its
reason, and the others run. The JSON is written again after each, so that a run cut short keeps what
it had. benchmarks/performance.py makes docs/performance.md from it. Runs from the checkout with
PYTHONPATH=. and imports what a section needs only there.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

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
SOAK_FRAMES = 100_000
TRAINED = "trained"  # the stem of the plan made from --checkpoint
TRAINED_SIZE, TRAINED_ISR = (360, 480), "16,8,4,1"


class Skipped(Exception):  # noqa: N818 - it is no error
    """A section that cannot run here; its message says why."""


@dataclass(frozen=True)
class Run:
    """What the sections are given."""

    dry: bool
    plans: Path | None
    deadline: float  # of time.monotonic()
    device: str  # cuda, or cpu in a dry run
    checkpoint: Path | None = None  # of TRAINED's plan
    data: str | None = None

    def left(self) -> float:
        """Seconds left."""
        return self.deadline - time.monotonic()


# --- the kernels --------------------------------------------------------------------------------


class Kernels(Protocol):
    """The two kernels on torch tensors of the same device, without host copies."""

    def preprocess(self, frame: Any, network: tuple[int, int]) -> Any:
        """uint8 RGB (H, W, 3) -> floats (1, 3, *network), resized and normalised."""

    def labels(self, logits: Any, network: tuple[int, int], source: tuple[int, int]) -> Any:
        """float16 logits (1, classes, h, w) -> uint8 (*source): resized, then argmax."""

    def capture(self, frame: Any, logits: Any, network: tuple[int, int]) -> Callable[[], None]:
        """Both kernels on these buffers as a CUDA graph; the result replays it and waits."""


def load_kernels(run: Run) -> Kernels:
    """edaformer.engines.kernels on torch tensors; in a dry run PyTorch itself stands in."""
    if run.dry:
        return _TorchKernels()
    return _OwnKernels()


class _OwnKernels:
    """The shipped PTX through PyCUDA, in PyTorch's context and on one stream with it."""

    def __init__(self) -> None:
        import torch

        from edaformer.engines.cuda.gpu import Gpu

        self.gpu = Gpu()
        with self.gpu.current():
            self.stream = self.gpu.stream()
            self.loaded = self.gpu.load_kernels()
        torch.cuda.set_stream(torch.cuda.ExternalStream(self.stream.handle))
        self.buffers: dict[Any, Any] = {}

    def preprocess(self, frame: Any, network: tuple[int, int]) -> Any:
        import torch

        from edaformer.engines import kernels
        from edaformer.engines.geometry import Geometry
        from edaformer.preprocess import MEAN, STD

        geometry = Geometry((frame.shape[0], frame.shape[1]), network, network)
        out = self._buffer((1, 3, *network), torch.float32)
        self._launch(kernels.frame_to_tensor(
            frame.data_ptr(), out.data_ptr(), 1, geometry,
            reversed_colours=False, mean=MEAN, std=STD,
        ))  # fmt: skip
        return out

    def labels(self, logits: Any, network: tuple[int, int], source: tuple[int, int]) -> Any:
        import torch

        from edaformer.engines import kernels
        from edaformer.engines.geometry import Geometry

        out = self._buffer((1, *source), torch.uint8)
        self._launch(kernels.argmax(
            logits.data_ptr(), tuple(logits.shape), out.data_ptr(),
            Geometry(source, network, network), half=logits.dtype == torch.float16,
        ))  # fmt: skip
        return out[0]

    def capture(self, frame: Any, logits: Any, network: tuple[int, int]) -> Callable[[], None]:
        from edaformer.engines.cuda.graphs import Graph

        def work() -> None:
            self.preprocess(frame, network)
            self.labels(logits, network, (frame.shape[0], frame.shape[1]))

        work()
        with self.gpu.current():
            self.stream.synchronize()
            graph = Graph(self.stream, work)

        def replay() -> None:
            with self.gpu.current():
                graph.launch()
                self.stream.synchronize()

        return replay

    def _buffer(self, shape: tuple[int, ...], dtype: Any) -> Any:
        import torch

        if (shape, dtype) not in self.buffers:
            self.buffers[shape, dtype] = torch.empty(shape, dtype=dtype, device="cuda")
        return self.buffers[shape, dtype]

    def _launch(self, work: Any) -> None:
        from edaformer.engines.cuda.gpu import launch

        with self.gpu.current():
            launch(self.loaded, work, self.stream)


class _TorchKernels:
    """PyTorch against itself: shows that the comparison runs, and nothing else."""

    def preprocess(self, frame: Any, network: tuple[int, int]) -> Any:
        return torch_preprocess(frame, network)

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
            "bytes_per_second": 2 * source.numel() / seconds}  # fmt: skip


def rtx_probe(run: Run) -> dict[str, Any]:
    """Whether TensorRT-RTX takes this GPU: validity, then deserialisation, for both targets."""
    del run
    try:
        import tensorrt_rtx as trt
    except (ImportError, OSError) as error:
        raise Skipped(f"tensorrt_rtx does not import: {error}") from error
    return {
        "version": trt.__version__,
        **{name: _probe_target(trt, name) for name in ("default", "CURRENT")},
    }


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
    import torch

    own = load_kernels(run)
    copied = bandwidth(run)["bytes_per_second"]
    made = []
    for source, network, classes in DRY_KERNEL_SHAPES if run.dry else KERNEL_SHAPES:
        frame, logits = _kernel_inputs(run, source, network, classes)
        moved = {
            "preprocess": frame.numel() + 4 * 3 * network[0] * network[1],
            "labels": 2 * logits.numel() + source[0] * source[1],
        }
        steps = {
            "preprocess": (own.preprocess, torch_preprocess, (frame, network)),
            "labels": (own.labels, torch_labels, (logits, network, source)),
        }
        for name, (ours, theirs, inputs) in steps.items():
            compiled = theirs if run.dry else torch.compile(theirs, mode="max-autotune")
            seconds = timed(run, lambda f=ours, i=inputs: f(*i))
            eager = timed(run, lambda f=theirs, i=inputs: f(*i))
            fused = timed(run, lambda f=compiled, i=inputs: f(*i))
            made.append({
                "kernel": name, "source": source, "network": network, "classes": classes,
                "seconds": seconds, "torch_eager": eager, "torch_compile": fused,
                "times_as_fast_as_compile": fused / seconds,
                "share_of_bandwidth": moved[name] / seconds / copied,
                "difference": _difference(ours(*inputs), theirs(*inputs)),
            })  # fmt: skip
    return {"bandwidth": copied, "kernels": made}


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
    import torch

    source, network, classes = (DRY_KERNEL_SHAPES if run.dry else KERNEL_SHAPES)[0]
    frame, logits = _kernel_inputs(run, source, network, classes)
    replay = load_kernels(run).capture(frame, logits, network)
    for _ in range(100):
        replay()
    before, frames, start = _memory(run), 0, time.perf_counter()
    wanted = 200 if run.dry else SOAK_FRAMES
    while frames < wanted and run.left() > 10:
        replay()
        frames += 1
    seconds = time.perf_counter() - start
    if not run.dry:
        torch.cuda.synchronize()
    after = _memory(run)
    return {"frames": frames, "wanted": wanted, "seconds": seconds, "before": before,
            "after": after}  # fmt: skip


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

    made = []
    for variant, classes, size, isr in DRY_CASES if run.dry else CASES:
        if run.left() < (0 if run.dry else 60):
            made.append({"case": case_name(variant, classes, size, isr), "skipped": "out of time"})
            continue
        model = _torch_frame(run, variant, classes, size, isr)
        image = torch.randint(0, 256, (1, *size, 3), dtype=torch.uint8)
        image = image if run.dry else image.pin_memory()
        mode = "default" if run.dry else "max-autotune"
        runners = {"eager": model, "compile": model if run.dry else torch.compile(model, mode=mode)}
        wall = {name: _wall(run, model_, image) for name, model_ in runners.items()}
        made.append({"case": case_name(variant, classes, size, isr), "mode": mode, **wall})
    return {"torch": torch.__version__, "frames": made}


def _torch_frame(run: Run, variant: str, classes: int, size: tuple[int, int], isr: str) -> Any:
    import torch

    from edaformer.engines.bench.torch_frame import TorchFrame
    from edaformer.export.wrapper import Deployment, Geometry
    from edaformer.isr import ISR
    from edaformer.model import EDAFormer

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
    if run.plans is None:
        raise Skipped("no --plans were given; make them with --prepare")
    from edaformer.engines.bench.benchmark import benchmark
    from edaformer.engines.bench.contenders import BenchOptions
    from edaformer.errors import EdaformerError

    made: list[dict[str, Any]] = []
    for plan in _random_plans(run.plans):
        plain = plan.with_suffix(".plain.plan")
        pair = [path for path in (plan, plain) if path.is_file()]
        try:
            options = BenchOptions(duration=3, rounds=10)
            made.append({"case": plan.stem, "record": benchmark(pair, options).to_json()})
        except EdaformerError as error:  # the refusal's own words are what is wanted
            made.append({"case": plan.stem, "refused": str(error)})
    if not made:
        raise Skipped(f"no *.plan in {run.plans}")
    return {"engines": made}


def _random_plans(folder: Path) -> list[Path]:
    """Ours, without the plain exports and the trained network."""
    plans = sorted(folder.glob("*.plan"))
    return [p for p in plans if p.stem != TRAINED and not p.name.endswith(".plain.plan")]


def overhead(run: Run) -> dict[str, Any]:
    """What a frame takes beyond the GPU's own time.

    The GPU's time is that of a pass without a CUDA graph, by events; the wall's that of a call as
    users make it, with one. A graph makes the GPU faster, so the difference can be below zero.
    """
    if run.plans is None:
        raise Skipped("no --plans were given; make them with --prepare")
    from edaformer.engines.runtime import Engine
    from edaformer.errors import EdaformerError

    def times(plan: Path) -> dict[str, Any]:
        try:
            with Engine.load(plan) as engine:
                return {"case": plan.stem, **_frame_times(engine)}
        except EdaformerError as error:
            return {"case": plan.stem, "refused": str(error)}

    return {"frames": [times(plan) for plan in _random_plans(run.plans)]}


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
    from edaformer.checkpoint import load_checkpoint
    from edaformer.data import open_dataset
    from edaformer.engines.validate import validate

    data = open_dataset(run.data, TRAINED_SIZE)
    made = validate(run.plans / f"{TRAINED}.plan", load_checkpoint(run.checkpoint), data)
    return {"validation": made.to_json()}


SECTIONS: tuple[Callable[[Run], dict[str, Any]], ...] = (
    machine, rtx_probe, bandwidth, kernels, soak, engines, overhead, agreement, torch_frames,
)  # fmt: skip


# --- what the sections share --------------------------------------------------------------------


def torch_preprocess(frame: Any, network: tuple[int, int]) -> Any:
    """The reference: resize (half-pixel bilinear), round to a byte as the kernel, normalise."""
    import torch

    from edaformer.preprocess import MEAN, STD

    pixels = frame.permute(2, 0, 1)[None].float()
    if tuple(frame.shape[:2]) != tuple(network):
        pixels = torch.nn.functional.interpolate(pixels, network, mode="bilinear").round()
    mean = torch.tensor(MEAN, device=frame.device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=frame.device).view(1, 3, 1, 1)
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
    """Median seconds of a step: CUDA events on a GPU, the clock on a CPU."""
    import torch

    times = []
    for _ in range(3 if run.dry else 10):
        step()
    for _ in range(3 if run.dry else repeats):
        if run.device == "cpu":
            before = time.perf_counter()
            step()
            times.append(time.perf_counter() - before)
            continue
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        step()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


def case_name(variant: str, classes: int, size: tuple[int, int], isr: str) -> str:
    """``T_150_512x512_base``."""
    return f"{variant}_{classes}_{size[0]}x{size[1]}_{isr}"


def prepare(
    folder: Path, cases: Any, compute_capabilities: tuple[str, ...], trained: Path | None
) -> None:
    """Export and build every case, the plain export of the same network, and the trained one."""
    import onnx_ir as ir
    import torch

    from edaformer.checkpoint import load_checkpoint, save_checkpoint
    from edaformer.engines.build import build_engine
    from edaformer.engines.compiler import BuildOptions
    from edaformer.export.exporter import ExportOptions, export_model
    from edaformer.export.graph import trace
    from edaformer.export.wrapper import Deployment, Geometry
    from edaformer.isr import ISR
    from edaformer.manifest import ONNX_KEY, OutputSpec
    from edaformer.model import EDAFormer

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


def run_section(section: Callable[[Run], dict[str, Any]], run: Run) -> dict[str, Any]:
    """What a section found, or why it did not."""
    start = time.perf_counter()
    if run.left() <= 0:
        return {"status": "skipped", "reason": "out of time"}
    try:
        result = {"status": "ok", "result": section(run)}
    except Skipped as reason:
        result = {"status": "skipped", "reason": str(reason)}
    except Exception as error:  # noqa: BLE001 - one section must not cost the others
        traceback.print_exc()
        result = {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
    return {**result, "seconds": time.perf_counter() - start}


def main() -> None:
    """Run the sections, writing what is known after each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("gpu.json"))
    parser.add_argument("--plans", type=Path)
    parser.add_argument("--budget", type=float, default=480, help="seconds")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--prepare", type=Path, metavar="DIR")
    parser.add_argument("--compute-capability", default="", help="targets to prepare for")
    parser.add_argument("--checkpoint", type=Path, help="a trained one, for the labels")
    parser.add_argument("--data", help="what it was trained for, such as camvid:DIR")
    given = parser.parse_args()
    if given.prepare is not None:
        targets = tuple(filter(None, given.compute_capability.split(",")))
        cases = DRY_CASES if given.dry_run else CASES
        prepare(given.prepare, cases, targets, given.checkpoint)
        return
    deadline = time.monotonic() + given.budget
    device = "cpu" if given.dry_run else "cuda"
    run = Run(given.dry_run, given.plans, deadline, device, given.checkpoint, given.data)
    record: dict[str, Any] = {"schema_version": SCHEMA, "kind": "gpu", "dry_run": run.dry,
                              "sections": {}}  # fmt: skip
    for section in SECTIONS:
        print(f"... {section.__name__}", file=sys.stderr, flush=True)
        record["sections"][section.__name__] = run_section(section, run)
        given.output.write_text(json.dumps(record, indent=1))
    for name, made in record["sections"].items():
        print(f"{name}: {made['status']} {made.get('reason', '')}")


if __name__ == "__main__":
    main()
