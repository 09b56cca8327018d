"""Our kernels against their definition, bit for bit, and against the same steps in PyTorch.

``definition`` counts what differs from labels/resize.py and labels/geometry.py, and has to be 0.
``pytorch`` is the share of what differs from PyTorch's float arithmetic: bytes before
normalisation, or labels. Logits are smooth (as a network's resized ones), white noise (no class can
be passed over early), and real where a trained checkpoint is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from on_gpu import steps
from on_gpu.cases import Shape, Size, logits_name, shapes
from on_gpu.own import Kernels, own_kernels
from on_gpu.run import Skipped
from on_gpu.state import state
from on_gpu.timing import timed

if TYPE_CHECKING:
    from edaformer.preprocess import Resize
    from on_gpu.run import Keep, Run

MODE = "max-autotune-no-cudagraphs"  # a CUDA graph would copy the inputs first
RULES: dict[str, Resize] = {"preprocess": "opencv-bilinear", "antialiased": "pillow-bilinear"}
LOGITS = ("smooth", "noise", "real")


@dataclass(frozen=True)
class _Case:
    kernel: str
    source: Size
    network: Size
    classes: int
    logits: str = ""

    @property
    def name(self) -> str:
        sizes = (f"{height}x{width}" for height, width in (self.source, self.network))
        return "_".join(filter(None, (self.kernel, self.logits, *sizes, str(self.classes))))


def cases(run: Run) -> list[str]:
    """By name, a shape after the other."""
    return list(_cases(run))


def _cases(run: Run) -> dict[str, _Case]:
    return {case.name: case for shape in shapes(run) for case in _of_shape(shape)}


def _of_shape(shape: Shape) -> list[_Case]:
    source, network, _ = shape
    rules = list(RULES) if source != network else ["preprocess"]  # nothing is resized: one rule
    aligned = all(side % 32 == 0 for side in network)  # a network runs there without padding
    logits = LOGITS if aligned else LOGITS[:2]
    return [_Case(rule, *shape) for rule in rules] + [_Case("labels", *shape, of) for of in logits]


def work(run: Run, case: str, keep: Keep) -> None:
    """One kernel on one shape: seconds first, then what it made."""
    this = _cases(run)[case]
    keep(kernel=this.kernel, source=this.source, network=this.network, logits=this.logits or None)
    with own_kernels(run) as own:
        measured = _frame(run, own, this) if this.kernel in RULES else _labels(run, own, this)
        keep(classes=measured.classes, moved_bytes=measured.moved)
        keep(seconds=timed(run, measured.ours))
        keep(state=state())
        keep(torch_eager=timed(run, partial(measured.theirs, *measured.inputs)))
        keep(definition=measured.against_definition(), pytorch=measured.against_pytorch())
        fused = steps.compiled(run, measured.theirs, MODE)
        keep(torch_compile=timed(run, partial(fused, *measured.inputs)), mode=MODE)


@dataclass(frozen=True)
class _Measured:
    ours: Callable[[], Any]
    theirs: Callable[..., Any]
    inputs: tuple[Any, ...]
    moved: int  # bytes that have to be read and written
    classes: int
    definition: Callable[[], Any]
    bytes_of: Callable[[Any], Any]  # of a result, for the share that differs

    def against_definition(self) -> dict[str, int]:
        """How many values differ in any bit, and of how many."""
        made, told = self.ours().cpu().numpy(), self.definition()
        bits = np.uint32 if made.dtype == np.float32 else np.uint8
        differ = np.count_nonzero(made.reshape(-1).view(bits) != told.reshape(-1).view(bits))
        return {"differ": int(differ), "of": int(made.size)}

    def against_pytorch(self) -> dict[str, float]:
        """The share that differs, and for floats by how much."""
        ours, theirs = self.ours(), self.theirs(*self.inputs)
        differ = {"share": float((self.bytes_of(ours) != self.bytes_of(theirs)).float().mean())}
        if ours.dtype.is_floating_point:
            differ["largest"] = float((ours - theirs).abs().max())
        return differ


def _frame(run: Run, own: Kernels, this: _Case) -> _Measured:
    from edaformer.labels.resize import resize_picture
    from edaformer.preprocess import normalise

    frame, rule = frame_of(run, this.source), RULES[this.kernel]
    mean, std = steps.constants(run.device)
    return _Measured(
        ours=partial(own.preprocess, frame, this.network, rule),
        theirs=steps.preprocess,
        inputs=(frame, this.network, mean, std, rule),
        moved=frame.numel() + 4 * 3 * this.network[0] * this.network[1],
        classes=this.classes,
        definition=lambda: normalise(resize_picture(frame.cpu().numpy(), this.network, rule)[None]),
        bytes_of=lambda made: (made * std + mean).round(),
    )


def _labels(run: Run, own: Kernels, this: _Case) -> _Measured:
    from edaformer.labels.geometry import Geometry, labels_from_logits

    geometry = Geometry(this.source, this.network, this.network)
    logits = {"smooth": smooth_logits, "noise": _noise, "real": _real}[this.logits](
        run, this.network, this.classes
    )
    return _Measured(
        ours=partial(own.labels, logits, this.network, this.source),
        theirs=steps.labels,
        inputs=(logits, this.network, this.source),
        moved=2 * logits.numel() + this.source[0] * this.source[1],
        classes=logits.shape[1],
        definition=lambda: labels_from_logits(logits[0].cpu().numpy(), geometry)[0],
        bytes_of=lambda made: made,
    )


def frame_of(run: Run, source: Size) -> Any:
    """Random bytes (H, W, 3) on the device."""
    import torch

    torch.manual_seed(0)
    return torch.randint(0, 256, (*source, 3), dtype=torch.uint8, device=run.device)


def smooth_logits(run: Run, network: Size, classes: int) -> Any:
    """float16 (1, classes, H / 8, W / 8): noise at 1/32, resized."""
    import torch

    torch.manual_seed(0)
    coarse = torch.randn(1, classes, network[0] // 32, network[1] // 32, device=run.device)
    size = (network[0] // 8, network[1] // 8)
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bilinear")
    return smooth.half().contiguous()


def _noise(run: Run, network: Size, classes: int) -> Any:
    import torch

    torch.manual_seed(0)
    size = (1, classes, network[0] // 8, network[1] // 8)
    return torch.randn(size, device=run.device).half()


def _real(run: Run, network: Size, classes: int) -> Any:
    """A trained network's, as --prepare left them; it has its own number of classes."""
    del classes
    path = run.plans / logits_name(network) if run.plans is not None else None
    if path is None or not path.is_file():
        raise Skipped("no trained network's logits are in --plans; --prepare with --checkpoint")
    import torch

    return torch.from_numpy(np.load(path)).to(run.device)
