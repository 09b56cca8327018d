"""What is timed: an ONNX file, a plan, PyTorch eager or compiled, all from frame to label map.

A frame is uint8 RGB (B, H, W, 3) in host memory, and so are its labels, uint8 (B, H, W): transfers
are inside every wall time. B is the artifact's batch, 1 where that is dynamic.
"""

from __future__ import annotations

import importlib
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.artifact.preflight import preflight
from edaformer.engines.segmenters.segmenter import Images, Labels
from edaformer.errors import InputError, MissingError, require
from edaformer.labels.geometry import Geometry
from edaformer.labels.upsample_argmax import upsample_argmax
from edaformer.manifest import Manifest
from edaformer.preprocess import network_input

Kind = Literal["onnx", "plan", "torch", "torch-compile"]
Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Contender:
    """What to open, in words that another process understands."""

    kind: Kind
    artifact: Path  # PyTorch takes its size, ISR and precision from it
    device: Device
    threads: int  # of the CPU
    checkpoint: str | None = None  # for PyTorch: a path, or an id of the Hub at a commit
    runtime_cache: bool = True  # for plans
    witness: bool = True  # for plans: whether its frames are asked before it is timed

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.artifact.name if self.kind in {"onnx", "plan"} else self.kind


@dataclass(frozen=True)
class Split:
    """Where a frame's time goes, in seconds; None: inside another part, or not to be told apart."""

    preprocess: float | None
    copy_in: float | None
    network: float | None
    postprocess: float | None
    copy_out: float | None
    wall: float


class Runner(Protocol):
    """A contender, opened."""

    description: str
    settings: dict[str, Any]
    pipelines: bool  # whether ``stream`` overlaps successive frames

    def frame(self, images: Images) -> Labels:
        """One frame, to its end."""

    def split(self, images: Images) -> tuple[Labels, Split]:
        """One frame, with its parts."""

    def stream(self, frames: Iterable[Images]) -> Iterator[Labels]:
        """Labels of successive frames, in order."""

    def close(self) -> None:
        """Give back what it holds."""


def open_runner(contender: Contender, manifest: Manifest) -> Runner:
    """Open it on this machine.

    Raises:
        InputError: if the artifact does not run here.
        MissingError: if a package, GPU or compiler is missing.
    """
    if contender.kind == "onnx":
        return OnnxRunner(contender, manifest)
    if contender.kind == "plan":
        return PlanRunner(contender, manifest)
    return TorchRunner(contender, manifest)


class OnnxRunner:
    """ONNX Runtime; labels from logits are made by upsample_argmax."""

    def __init__(self, contender: Contender, manifest: Manifest) -> None:
        from edaformer.export.runtime import OnnxSession

        on_gpu = contender.device == "cuda"
        self.session = OnnxSession(
            str(contender.artifact), cuda=on_gpu, threads=contender.threads, eager=True
        )
        self.manifest = manifest
        self.geometry = Geometry.of_input(manifest.input, manifest.size)
        names = self.session.output_names
        self.output = next(n for n in ("labels", "logits", "probabilities") if n in names)
        self.pipelines = True
        provider = "CUDA" if on_gpu else "CPU"
        self.description = f"ONNX Runtime {provider}, {manifest.precision}, {self.output} output"
        self.settings = {
            "provider": provider,
            "threads": contender.threads,
            "spin": "within a run",
            "transfers_in_wall": True,
            "cuda_graph": False,
            "pipeline": "two threads share the session",
        }
        if manifest.half and not on_gpu:
            self.settings["float16"] = "computed in float32, as ONNX Runtime does on a CPU"

    def frame(self, images: Images) -> Labels:
        """One frame."""
        return self.split(images)[0]

    def split(self, images: Images) -> tuple[Labels, Split]:
        """One frame; with image input preprocessing is in the network's time."""
        spec, start = self.manifest.input, time.perf_counter()
        feed = network_input(images, spec.name, spec.normalisation)
        fed = time.perf_counter()
        made = self.session.run({self.session.input_name: feed})[self.output]
        ran = time.perf_counter()
        if self.output == "logits":
            made = np.stack([upsample_argmax(one, self.geometry) for one in made])
        elif self.output == "probabilities":
            made = made.argmax(axis=1)
        end = time.perf_counter()
        parts = Split(
            preprocess=fed - start if spec.name != "image" else None,
            copy_in=None,
            network=ran - fed,
            postprocess=end - ran if self.output != "labels" else None,
            copy_out=None,
            wall=end - start,
        )
        return np.asarray(made, np.uint8), parts

    def stream(self, frames: Iterable[Images]) -> Iterator[Labels]:
        """Two frames at a time, side by side where the session leaves cores free."""
        with ThreadPoolExecutor(2) as pool:
            waiting: deque[Future[Labels]] = deque()
            for images in frames:
                waiting.append(pool.submit(self.frame, images))
                if len(waiting) > 2:
                    yield waiting.popleft().result()
            yield from (future.result() for future in waiting)

    def close(self) -> None:
        """The session is freed with this object."""


class _FrameTimes(Protocol):
    """What Engine.timed says, in seconds."""

    @property
    def copy_in(self) -> float: ...
    @property
    def preprocess(self) -> float: ...
    @property
    def network(self) -> float: ...
    @property
    def postprocess(self) -> float: ...
    @property
    def copy_out(self) -> float: ...
    @property
    def wall(self) -> float: ...


class _Engine(Protocol):
    """What the benchmark needs of edaformer.engines.runtime.Engine."""

    description: str

    def __call__(self, image: NDArray[np.uint8]) -> Labels: ...
    def stream(self, frames: Iterable[NDArray[np.uint8]]) -> Iterator[Labels]: ...
    def timed(self, image: NDArray[np.uint8]) -> tuple[Labels, _FrameTimes]: ...
    def warmup(self) -> None: ...
    def close(self) -> None: ...


def load_engine(path: Path, *, runtime_cache: bool, witness: bool) -> _Engine:
    """Engine.load, whose module is imported only where a plan is run."""
    runtime = importlib.import_module("edaformer.engines.runtime")
    asking = "once" if witness else "never"
    return cast("_Engine", runtime.Engine.load(path, runtime_cache=runtime_cache, witness=asking))


class PlanRunner:
    """A TensorRT engine through this package's own runtime."""

    def __init__(self, contender: Contender, manifest: Manifest) -> None:
        preflight(contender.artifact, asked_by="edaformer-bench").require()
        self.engine = load_engine(
            contender.artifact, runtime_cache=contender.runtime_cache, witness=contender.witness
        )
        self.single = (manifest.input.batch or 1) == 1
        self.description = self.engine.description
        self.pipelines = True
        self.settings = {
            "cuda_graph": True,
            "spin": False,
            "transfers_in_wall": True,
            "runtime_cache": contender.runtime_cache,
            "pipeline": "Engine.stream",
        }

    def frame(self, images: Images) -> Labels:
        """One frame."""
        return self._whole(self.engine(self._own(images)))

    def split(self, images: Images) -> tuple[Labels, Split]:
        """One frame; the parts are CUDA events'."""
        labels, times = self.engine.timed(self._own(images))
        return self._whole(labels), Split(
            preprocess=times.preprocess,
            copy_in=times.copy_in,
            network=times.network,
            postprocess=times.postprocess,
            copy_out=times.copy_out,
            wall=times.wall,
        )

    def stream(self, frames: Iterable[Images]) -> Iterator[Labels]:
        """Preprocessing, network and readback of successive frames overlap."""
        for labels in self.engine.stream(self._own(images) for images in frames):
            yield self._whole(labels)

    def close(self) -> None:
        """Free the engine."""
        self.engine.close()

    def _own(self, images: Images) -> NDArray[np.uint8]:
        return images[0] if self.single else images

    def _whole(self, labels: Labels) -> Labels:
        return labels[None] if labels.ndim == 2 else labels


class TorchRunner:
    """PyTorch, whole frame on one device: normalise, pad, network, resize, argmax, crop.

    On the CPU float32; on a GPU the artifact's precision, with labels copied back to the host.
    """

    def __init__(self, contender: Contender, manifest: Manifest) -> None:
        torch = require("torch", "export")
        from edaformer.engines.bench.torch_frame import make_frame

        torch.set_num_threads(contender.threads)
        half = contender.device == "cuda" and manifest.half
        if contender.device == "cuda" and not torch.cuda.is_available():
            raise MissingError(
                "PyTorch sees no GPU here; install its CUDA build, or compare on the CPU"
            )
        if contender.checkpoint is None:
            raise InputError("PyTorch needs the checkpoint; name it with --checkpoint")
        model = make_frame(contender.checkpoint, manifest, half=half).to(contender.device)
        compiled = contender.kind == "torch-compile"
        mode = "max-autotune" if contender.device == "cuda" else "default"
        self.torch, self.device = torch, contender.device
        self.model: Any = torch.compile(model, mode=mode, dynamic=False) if compiled else model
        self.pipelines = False
        how = f"compiled, {mode}" if compiled else "eager"
        types = "float16" if half else "float32"
        self.description = f"PyTorch {torch.__version__} {contender.device}, {types}, {how}"
        self.settings = {
            "threads": contender.threads,
            "transfers_in_wall": True,
            "cuda_graph": compiled and contender.device == "cuda",
            "inference_mode": True,
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY"),
        }
        if compiled:
            self._compile(manifest)

    def frame(self, images: Images) -> Labels:
        """One frame."""
        return self.split(images)[0]

    def split(self, images: Images) -> tuple[Labels, Split]:
        """One frame; its parts are not told apart, for that would cost PyTorch its asynchrony."""
        start = time.perf_counter()
        with self.torch.inference_mode():
            made = self.model(self.torch.from_numpy(images).to(self.device)).cpu().numpy()
        wall = time.perf_counter() - start
        return made, Split(None, None, None, None, None, wall)

    def stream(self, frames: Iterable[Images]) -> Iterator[Labels]:
        """One after the other."""
        return map(self.frame, frames)

    def close(self) -> None:
        """The model is freed with this object."""

    def _compile(self, manifest: Manifest) -> None:
        """The first frame compiles; a compiler that is not here is found out now."""
        images = np.zeros((manifest.input.batch or 1, *manifest.size, 3), np.uint8)
        try:
            self.frame(images)
        except RuntimeError as error:  # what Dynamo's and Inductor's errors are
            reason = next((line for line in str(error).splitlines() if line.strip()), "no reason")
            raise MissingError(
                f"torch.compile does not work here ({reason}); install a C++ compiler, or leave "
                "torch-compile out of --against"
            ) from error
