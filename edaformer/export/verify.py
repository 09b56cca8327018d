"""Compare an exported graph with PyTorch float32, on images, before it gets its final name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor

from edaformer.errors import GateError, NaNError
from edaformer.evaluation.eight_bits import LEAST_AGREEMENT, LEAST_AGREEMENT_WORST
from edaformer.evaluation.metrics import confusion_matrix, score
from edaformer.export.graph import scope
from edaformer.export.ranges import measure_ranges
from edaformer.export.runtime import OnnxSession
from edaformer.export.twin import is_half, rounding_twin
from edaformer.export.wrapper import Deployment
from edaformer.families.fuse import upsample
from edaformer.manifest import Verification

FP32_TOLERANCE = 1e-4  # on logits, absolute
FP16_SHARE = 0.02  # of the logits' standard deviation plus of their largest magnitude
MIN_DECIDED_AGREEMENT = 0.999
_LABELS = 256  # that uint8 holds: a wrong graph may give any
_NO_VOID = 256  # PyTorch's labels have none


@dataclass(frozen=True)
class LabelRule:
    """What eight bits have to keep of PyTorch's labels: their logits are off by design."""

    agreement: float = LEAST_AGREEMENT
    worst: float = LEAST_AGREEMENT_WORST
    # points, PyTorch's labels being the truth: 98 of CamVid's 11 classes, but 90 of 150 classes on
    # random weights, whose rare ones have a few pixels each
    miou: float = 85.0

    @property
    def text(self) -> str:
        """In words."""
        return (
            f"labels agree on at least {self.agreement:.1%}, on the worst image {self.worst:.1%}; "
            f"mIoU with PyTorch's labels at least {self.miou:g}"
        )


@dataclass(frozen=True)
class Images:
    """What to verify on: the input array and where it came from."""

    array: NDArray[np.generic]  # uint8 (N, H, W, 3), or float32 (N, 3, H, W): the graph's input
    source: str

    def batches(self, batch: int | None) -> list[NDArray[np.generic]]:
        """In batches the graph takes, the last one filled up by repeating the last image.

        None, a dynamic batch, is all at once and then one by one.
        """
        if batch is None:
            return [self.array, *(self.array[i : i + 1] for i in range(len(self.array)))]
        count = -(-len(self.array) // batch)
        order = np.minimum(np.arange(count * batch), len(self.array) - 1)
        return [self.array[order[i * batch : (i + 1) * batch]] for i in range(count)]


def natural_noise(count: int, size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Seeded uint8 RGB (count, H, W, 3) with the 1/f spectrum of photographs.

    Zeros or white noise would leave most of the network's range untouched.
    """
    generator = np.random.default_rng(seed)
    height, width = size
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = 1.0
    white = np.fft.rfft2(generator.standard_normal((count, 3, height, width)))
    white[:, 1:] = 0.7 * white[:, :1] + 0.3 * white[:, 1:]  # channels correlate
    noise = np.fft.irfft2(white / frequency, s=size)
    noise -= noise.mean(axis=(2, 3), keepdims=True)
    noise /= noise.std(axis=(2, 3), keepdims=True) + 1e-12
    pixels = np.clip(115 + 55 * noise, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))


class Probe:
    """A graph that will be shipped, run on the CPU: a half one as its rounding twin."""

    def __init__(self, shipped: ir.Model) -> None:
        self.half = is_half(shipped)
        self.batch = _fixed_batch(shipped)
        data = ir.to_proto(shipped).SerializeToString()
        data = rounding_twin(data) if self.half else data
        self._graph = ir.from_proto(onnx.load_from_string(data))
        _expose_logits(self._graph)
        self._session = OnnxSession(ir.to_proto(self._graph).SerializeToString())

    def run(self, batch: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
        """All outputs, logits among them.

        Raises:
            GateError: if a logit is not finite, naming the first block that overflows.
        """
        name = self._session.input_name
        made = self._session.run({name: batch})
        if not np.isfinite(made["logits"]).all():
            raise _overflow(self._graph, batch, name)
        return made


def verify(
    probe: Probe,
    reference: Deployment,
    images: Images,
    *,
    tolerance: float | None = None,
    rule: LabelRule | None = None,
) -> Verification:
    """Compare a graph with ``reference`` on ``images``.

    Args:
        probe: the graph as it will be written.
        reference: the unrewritten float32 model, its first outputs labels and logits.
        images: at least one; a fixed batch is filled by repeating the last.
        tolerance: on the largest logit error; None uses the rule of the precision.
        rule: of eight bits, which are judged by their labels.

    Raises:
        GateError: if it misses the tolerance, naming the first block that overflows if one does.
    """
    figures = _Figures(judges_labels=rule is not None)
    for batch in images.batches(probe.batch):
        with torch.inference_mode():
            labels, logits = reference(torch.from_numpy(batch))[:2]
        check_finite(logits, f"an image of {images.source}")
        made = probe.run(batch)
        made["logits"] = made["logits"][:, : logits.shape[1]]  # without pad-classes' copies
        geometry = reference.geometry
        padded = (labels.shape[1], labels.shape[2]) if geometry.dynamic else geometry.padded
        figures.add(logits, labels, made, padded)
    why = "--tolerance"
    if rule is not None:
        why = rule.text
    elif tolerance is None:
        tolerance, why = logit_tolerance(figures.expected, half=probe.half)
    result = Verification(
        images=len(images.array),
        source=images.source,
        rounding_emulated=probe.half,
        max_logit_error=figures.max_error,
        mean_logit_error=figures.mean_error,
        cosine=figures.cosine,
        label_agreement=figures.agreement(),
        label_agreement_decided=figures.agreement(decided=True),
        tolerance=tolerance,
        tolerance_rule=why,
        label_agreement_worst=None if rule is None else figures.worst_agreement,
        label_miou=None if rule is None else figures.miou,
    )
    if rule is None:
        _gate(result)
    else:
        _gate_labels(result, rule)
    return result


def check_finite(logits: Tensor, what: str) -> None:
    """Refuse a reference that is no number: nothing can be measured against it.

    Raises:
        NaNError: if it is not.
    """
    if not torch.isfinite(logits).all():
        raise NaNError(
            f"PyTorch float32 itself gives logits that are not finite on {what}; the checkpoint is "
            "damaged, or its weights are too large for float32"
        )


def run_shipped(shipped: bytes, images: Images, batch: int | None) -> None:
    """Load and run the very bytes that will be written, once."""
    session = OnnxSession(shipped)
    session.run({session.input_name: images.batches(batch)[0]})


class _Figures:
    """Sums over images; logits are compared at 1/8, labels at the valid size."""

    def __init__(self, *, judges_labels: bool) -> None:
        self.judges_labels = judges_labels
        self.errors: list[NDArray[np.float32]] = []
        self.expected: list[NDArray[np.float32]] = []
        self.got: list[NDArray[np.float32]] = []
        self.same: list[tuple[Tensor, NDArray[np.bool_]]] = []
        self.confusion: NDArray[np.int64] | None = None

    def add(
        self, logits: Tensor, labels: Tensor, made: dict[str, NDArray[np.generic]],
        padded: tuple[int, int],
    ) -> None:  # fmt: skip
        expected, got = logits.numpy(), np.asarray(made["logits"], np.float32)
        self.expected.append(expected)
        self.got.append(got)
        self.errors.append(np.abs(expected - got))
        height, width = labels.shape[1:]
        if "labels" in made:
            winner = np.asarray(made["labels"])
        elif "probabilities" in made:
            winner = np.asarray(made["probabilities"]).argmax(axis=1)
        else:
            winner = upsample(torch.from_numpy(got), padded).argmax(1)[:, :height, :width].numpy()
        same = winner == labels.numpy()
        if self.judges_labels:
            own = confusion_matrix(labels.numpy(), winner.astype(np.uint8), _LABELS, _NO_VOID)
            self.confusion = own if self.confusion is None else self.confusion + own
        top = upsample(logits, padded)[:, :, :height, :width].topk(min(2, logits.shape[1]), dim=1)
        margin = top.values[:, 0] - top.values[:, -1] if logits.shape[1] > 1 else top.values[:, 0]
        self.same.append((margin, same))

    @property
    def max_error(self) -> float:
        return max(float(error.max()) for error in self.errors)

    @property
    def mean_error(self) -> float:
        return float(np.mean([error.mean() for error in self.errors]))

    @property
    def cosine(self) -> float:
        a, b = (np.concatenate([x.ravel() for x in xs]) for xs in (self.expected, self.got))
        a, b = a.astype(np.float64), b.astype(np.float64)
        return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300))

    @property
    def worst_agreement(self) -> float:
        """Equal labels of the image that has fewest."""
        return min(float(image.mean()) for _, same in self.same for image in same)

    @property
    def miou(self) -> float:
        """Points, PyTorch's labels being the truth."""
        assert self.confusion is not None
        return score(self.confusion).miou

    def agreement(self, *, decided: bool = False) -> float:
        """Equal labels as a fraction of all pixels, or of those beyond any rounding tie."""
        equal = total = 0
        for margin, same in self.same:
            counted = (margin > 2 * self.max_error).numpy() if decided else np.ones_like(same)
            equal += int((same & counted).sum())
            total += int(counted.sum())
        return equal / total if total else self.agreement()


def logit_tolerance(expected: list[NDArray[np.float32]], *, half: bool) -> tuple[float, str]:
    """The largest logit error that a precision may make, and the rule in words."""
    if not half:
        return FP32_TOLERANCE, f"{FP32_TOLERANCE:g} absolute"
    bound = FP16_SHARE * scale_of(np.concatenate([x.ravel() for x in expected]))
    return bound, "2 % of the logits' standard deviation + 2 % of their largest magnitude"


def scale_of(expected: NDArray[np.float32]) -> float:
    """What an error is a share of: the standard deviation and the largest magnitude."""
    return float(expected.std() + np.abs(expected).max())


def _gate(result: Verification) -> None:
    assert result.tolerance is not None
    if not result.max_logit_error <= result.tolerance:
        raise GateError(
            f"the exported graph differs from PyTorch by {result.max_logit_error:.3g} in a logit, "
            f"more than {result.tolerance:.3g} ({result.tolerance_rule}); nothing was written. "
            "Export with --precision fp32, or allow it with --tolerance"
        )
    if result.label_agreement_decided < MIN_DECIDED_AGREEMENT:
        raise GateError(
            "the exported graph's labels agree with PyTorch on "
            f"{result.label_agreement_decided:.3%} of the pixels "
            f"that rounding cannot decide, less than {MIN_DECIDED_AGREEMENT:.1%}; "
            "nothing was written. Export with --precision fp32"
        )


def _gate_labels(result: Verification, rule: LabelRule) -> None:
    worst, miou = result.label_agreement_worst, result.label_miou
    assert worst is not None
    assert miou is not None
    if result.label_agreement < rule.agreement or worst < rule.worst or miou < rule.miou:
        raise GateError(
            f"in eight bits the labels agree with PyTorch's on {result.label_agreement:.2%}, on "
            f"the worst image on {worst:.2%}, and have an mIoU of {miou:.1f} with them; expected: "
            f"{rule.text}; nothing was written. Calibrate on more images of the scenes it was "
            "trained for, leave parts out with --quantise, or allow it with --min-agreement"
        )


def _fixed_batch(model: ir.Model) -> int | None:
    shape = model.graph.inputs[0].shape
    batch = shape[0] if shape is not None else None
    return batch if isinstance(batch, int) else None


def _expose_logits(model: ir.Model) -> None:
    """Make the 1/8 logits an output, whatever the shipped graph gives."""
    if any(value.name == "logits" for value in model.graph.outputs):
        return
    for node in model.graph:
        for value in node.outputs:
            if value.name == "logits":
                model.graph.outputs.append(value)
                return
    raise AssertionError("every graph we trace has a tensor called logits")


def _overflow(twin: ir.Model, batch: NDArray[np.generic], name: str) -> GateError:
    """Name the first block whose tensors are not finite."""
    ranges = measure_ranges(twin, [batch], name=name)
    for node in twin.graph:
        if any(not np.isfinite(ranges.get(value.name or "", 0.0)) for value in node.outputs):
            return GateError(
                f"FLOAT16 overflows in {scope(node) or node.name}; nothing was written. "
                "Export with --precision fp32, or verify on typical images with --data so that "
                "this block is recognised and kept in FP32"
            )
    return GateError("the exported graph's logits are not finite; export with --precision fp32")
