"""Whole frames without TensorRT: PyTorch's ways, and PyTorch's network between our two kernels.

eager           FP16, as the network is written
tuned           with scaled_dot_product_attention, channels_last and cudnn.benchmark
hybrid          our kernel, the tuned network in a CUDA graph, our kernel
compile         torch.compile of the tuned frame, max-autotune
hybrid_compile  our kernel, torch.compile of the tuned network in a CUDA graph, our kernel
compile_plain   torch.compile of the frame as it is written; whether it fused attention is recorded

A frame goes from pinned host memory to host memory, and every one is waited for. What is cheap
comes first, so that a compilation that never ends costs only what needs it. The contenders that
there are take turns (``together``).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from on_gpu import steps
from on_gpu.cases import Size, networks
from on_gpu.own import Kernels, own_kernels
from on_gpu.state import state
from on_gpu.timing import side_by_side

if TYPE_CHECKING:
    from on_gpu.run import Keep, Run

MODE = "max-autotune"
GRAPHLESS = "max-autotune-no-cudagraphs"  # a graph of ours is around it
_COMPILE = 30.0  # seconds without which no further compilation is begun
_ATTENTION = re.compile(r"flash|fmha|attention|sdpa", re.IGNORECASE)  # names of fused kernels
Step = Callable[[], Any]


def cases(run: Run) -> list[str]:
    """The networks' names."""
    return list(networks(run))


def work(run: Run, case: str, keep: Keep) -> None:
    """One network, by every way there is time for."""
    import torch

    torch.manual_seed(0)
    with torch.inference_mode(), own_kernels(run) as own:
        _Frames(run, own, keep, *networks(run)[case]).measure()
    keep(state=state())


@dataclass
class _Frames:
    """One network and its frame, and the ways that have been made ready."""

    run: Run
    own: Kernels
    keep: Keep
    variant: str
    classes: int
    size: Size
    isr: str
    ready: dict[str, Step] = field(default_factory=dict)

    def measure(self) -> None:
        import torch

        self.keep(torch=torch.__version__, size=self.size, kernels_on=self.own.stream)
        self.image = torch.randint(0, 256, (1, *self.size, 3), dtype=torch.uint8)
        if not self.run.dry:
            self.image = self.image.pin_memory()
        plain = _network(self.run, self.variant, self.classes, self.size, self.isr)
        self._alone("eager", lambda: plain)
        torch.backends.cudnn.benchmark = True
        tuned = tune(_network(self.run, self.variant, self.classes, self.size, self.isr))
        self.keep(attentions=_attentions(tuned))
        self._alone("tuned", lambda: tuned)
        self._alone("hybrid", lambda: self._hybrid(tuned.deployment.model))
        self._alone("compile", lambda: self._compiled(tuned, MODE), compiles=True)
        self.ready.pop("eager", None)  # measured without cudnn.benchmark: no part of the rounds
        if not self.ready:
            raise RuntimeError("no way of running the frame worked")
        self.keep(together=side_by_side(self.run, self.ready), differ=self._differ())
        self._alone("hybrid_compile", lambda: self._hybrid(
            self._compiled(tuned.deployment.model, GRAPHLESS)), compiles=True)  # fmt: skip
        self._alone("compile_plain", lambda: self._compiled(plain, MODE), compiles=True)

    def _alone(self, name: str, make: Callable[[], Any], *, compiles: bool = False) -> None:
        """Make a way ready and time it; one that cannot be had costs no other."""
        if compiles and not self.run.dry and self.run.left() < _COMPILE:
            self.keep(**{name: {"skipped": f"{self.run.left():.0f} s were left"}})
            return
        self.keep(**{name: {"failed": "the case ended in it"}})
        before = _counted()
        try:
            made = make()
            step = made if isinstance(made, _Replay) else partial(self._frame, made)
            step()
            times = side_by_side(self.run, {name: step})[name]
        except Exception as error:  # noqa: BLE001 - such as Triton's, where there is no compiler
            self.keep(**{name: {"failed": f"{type(error).__name__}: {error}"}})
            return
        self.ready[name] = step
        if compiles:
            times["attentions_fused"] = _counted() - before
        self.keep(**{name: times})  # known before the profiler is asked, which may not return
        self.keep(**{name: {**times, "attention_kernels": attention_kernels(self.run, step)}})

    def _frame(self, model: Any) -> Any:
        return model(self.image.to(self.run.device, non_blocking=True)).cpu()

    def _compiled(self, module: Any, mode: str) -> Any:
        return steps.compiled(self.run, module, mode)

    def _hybrid(self, network: Any) -> _Replay:
        return _Replay(self.run, self.own, network, self.image, self.size)

    def _differ(self) -> dict[str, float]:
        """The share of labels by which each way differs from the tuned one."""
        labels = {name: step().clone() for name, step in self.ready.items()}
        if "tuned" not in labels:
            return {}
        return {
            name: float((made != labels["tuned"]).float().mean())
            for name, made in labels.items() if name != "tuned"
        }  # fmt: skip


class _Replay:
    """Kernel, network, kernel, captured once; the copies from and to the host are around it."""

    def __init__(self, run: Run, own: Kernels, network: Any, image: Any, size: Size) -> None:
        import torch

        self._image, self._held = image, image.to(run.device)
        self._out = torch.empty((1, *size), dtype=torch.uint8, pin_memory=not run.dry)
        half = torch.float32 if run.dry else torch.float16

        def work() -> None:
            pixels = own.preprocess(self._held[0], size)
            logits = network(pixels.to(half, memory_format=torch.channels_last))
            self._labels = own.labels(logits.contiguous(), size, size)

        self._replay = work if run.dry else _captured(work)
        self._wait = (lambda: None) if run.dry else torch.cuda.current_stream().synchronize

    def __call__(self) -> Any:
        self._held.copy_(self._image, non_blocking=True)
        self._replay()
        self._out[0].copy_(self._labels, non_blocking=True)
        self._wait()
        return self._out


def _captured(work: Callable[[], None]) -> Callable[[], None]:
    """As PyTorch captures it, on the current stream, which is the kernels'."""
    import torch

    for _ in range(3):  # cuDNN's choices, compilation, and our buffers
        work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        work()
    return graph.replay


def _network(run: Run, variant: str, classes: int, size: Size, isr: str) -> Any:
    """The same weights each time."""
    import torch

    from edaformer.engines.bench.torch_frame import TorchFrame
    from edaformer.export.wrapper import Deployment, Geometry
    from edaformer.families.edaformer.network import EDAFormer
    from edaformer.isr import ISR

    torch.manual_seed(0)
    model = EDAFormer.from_variant(variant, classes, ISR.parse(isr)).eval()
    deployment = Deployment(model, Geometry.of(size, 32), image_input=True, outputs=("labels",))
    return TorchFrame(deployment.eval(), half=not run.dry).to(run.device)


def tune(frame: Any) -> Any:
    """As one would run it in PyTorch who wants it fast."""
    import torch
    from torch import nn

    from edaformer.families.attention import Attention

    class Fused(nn.Module):
        """The same function, by the fused operator."""

        def forward(self, q: Any, k: Any, v: Any) -> Any:
            return nn.functional.scaled_dot_product_attention(q, k, v)

    for module in frame.modules():
        if isinstance(module, Attention):
            module.attend = Fused()
    frame.deployment.model.to(memory_format=torch.channels_last)
    return frame


def _attentions(frame: Any) -> int:
    from edaformer.families.attention import Attention

    return sum(isinstance(module, Attention) for module in frame.modules())


def _counted() -> int:
    """Attentions that Inductor's pattern matcher has replaced by the fused operator until now."""
    with contextlib.suppress(ImportError):
        from torch._dynamo.utils import counters

        return int(counters["inductor"]["fuse_attention"])
    return 0


def attention_kernels(run: Run, step: Step) -> dict[str, int] | str:
    """Launches of a frame whose names say fused attention, as PyTorch's profiler has them."""
    from torch.profiler import ProfilerActivity, profile

    activity = ProfilerActivity.CPU if run.dry else ProfilerActivity.CUDA
    try:
        with profile(activities=[activity]) as seen:
            step()
    except Exception as error:  # noqa: BLE001 - CUPTI may be refused to users; nothing hangs on it
        return f"{type(error).__name__}: {error}"
    return {event.key: event.count for event in seen.key_averages()
            if _ATTENTION.search(event.key)}  # fmt: skip
