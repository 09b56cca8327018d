"""What an export is asked for; what cannot be had together is refused here, before any work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edaformer.errors import InputError
from edaformer.export.quantise.parts import DEFAULT, Part
from edaformer.export.rewrites import REWRITES
from edaformer.export.verify import LabelRule
from edaformer.export.wrapper import Geometry
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import BASE, ISR
from edaformer.manifest import EIGHT_BITS, AttentionForm, Precision
from edaformer.preprocess import ALIGN, DEFAULT_SIZE, MAX_SIDE, Resize, format_size

OPSETS = (18, 19, 20)  # what the tracer writes and TensorRT 10.3 reads
_EIGHT_BITS_FROM = 19  # the first opset whose QuantizeLinear takes scales in FLOAT16, and FP8

Output = Literal["labels", "logits", "probabilities"]


@dataclass(frozen=True)
class ExportOptions:
    """What to bake into the graph."""

    isr: ISR = BASE  # EDAFormer's; another model's is read with its places
    size: tuple[int, int] = DEFAULT_SIZE  # (H, W), valid pixels
    dynamic_size: bool = False  # any multiple of 32; ``size`` is then what is traced and verified
    precision: Precision = "fp16"
    outputs: tuple[Output, ...] = ("labels",)
    input: Literal["image", "tensor", "planar"] = "image"
    batch: int | None = 1  # None: dynamic
    opset: int | None = None  # None: 18, and 19 for eight bits
    align: int | None = ALIGN  # None: the size as it is; tensor input is never padded
    resize: Resize | None = None  # of frames of another size; None: as the checkpoint's processor
    tolerance: float | None = None  # on the largest logit error; None: the precision's rule
    quantise: tuple[Part, ...] = DEFAULT  # that compute in int8 or fp8, where asked for
    min_agreement: float | None = None  # of eight bits' labels with PyTorch's; None: the rule
    rewrites: tuple[str, ...] | None = None  # names of rewrites; None: the precision's defaults
    must_apply: tuple[str, ...] = ()  # those of them that have to find something to do
    attention: AttentionForm = "fused"  # unfused: so that no TensorRT fuses it (docs/attention.md)

    def __post_init__(self) -> None:
        height, width = self.size
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise InputError(f"expected sides of 1 to {MAX_SIDE} pixels, got {height}x{width}")
        self._check_opset()
        if not self.outputs or len(set(self.outputs)) != len(self.outputs):
            raise InputError(
                "expected outputs out of labels, logits and probabilities, each at most once"
            )
        if self.batch is not None and not 1 <= self.batch <= 256:
            raise InputError(f"expected a batch of 1 to 256 or 'dynamic', got {self.batch}")
        if self.align is not None and not 1 <= self.align <= MAX_SIDE:
            raise InputError(f"expected --align as 'none' or 1 to {MAX_SIDE}, got {self.align}")
        if self.tolerance is not None and not 0 < self.tolerance < math.inf:
            raise InputError(f"expected --tolerance above 0 and finite, got {self.tolerance:g}")
        if self.input == "tensor" and self.align not in {None, ALIGN}:
            raise InputError(
                "--align has no effect on tensor input, which is never padded; leave it out"
            )
        self._check_rewrites()
        self._check_eight_bits()
        if self.dynamic_size:
            self._check_dynamic_size()
        self.isr.check_fits(*self.geometry.padded)

    def _check_opset(self) -> None:
        if self.opset is None:
            return
        if self.opset not in OPSETS:
            known = ", ".join(map(str, OPSETS))
            raise InputError(
                f"expected an opset out of {known}, got {self.opset}; 18 is the default"
            )
        if self.eight_bits and self.opset < _EIGHT_BITS_FROM:
            raise InputError(
                f"{self.precision} with scales in half precision is of opset {_EIGHT_BITS_FROM} "
                f"on, got {self.opset}; leave --opset out"
            )

    def _check_eight_bits(self) -> None:
        if not self.eight_bits:
            if self.min_agreement is not None:
                raise InputError(
                    f"--min-agreement judges int8 and fp8; {self.precision} is judged by its "
                    "logits (--tolerance)"
                )
            return
        if self.tolerance is not None:
            raise InputError(
                f"--tolerance is for logits, and {self.precision} is judged by its labels: use "
                "--min-agreement"
            )
        if self.min_agreement is not None and not 0 <= self.min_agreement <= 1:
            raise InputError(
                f"expected --min-agreement as a fraction from 0 to 1, got {self.min_agreement:g}"
            )
        if self.attention == "unfused" and "attention" in self.quantise:
            raise InputError(
                "attention in eight bits is there to be fused, and --attention unfused was asked "
                "for; leave one of them out"
            )

    @property
    def eight_bits(self) -> bool:
        """Whether parts compute in eight bits."""
        return self.precision in EIGHT_BITS

    @property
    def operator_set(self) -> int:
        """The ONNX operator set."""
        return self.opset or (_EIGHT_BITS_FROM if self.eight_bits else OPSETS[0])

    @property
    def label_rule(self) -> LabelRule | None:
        """What the labels are judged by, where they are."""
        if not self.eight_bits:
            return None
        if self.min_agreement is None:
            return LabelRule()
        return LabelRule(self.min_agreement, worst=0.0, miou=0.0)

    def _check_rewrites(self) -> None:
        for name in (*(self.rewrites or ()), *self.must_apply):
            if name not in REWRITES:
                raise InputError(f"expected rewrites out of {', '.join(REWRITES)}, got '{name}'")
            if REWRITES[name].fuses and self.attention == "unfused":
                raise InputError(
                    f"{name} is there for fused attention alone, and --attention unfused was asked "
                    f"for; leave it out, with --no-rewrite {name} where a group names it"
                )

    def _check_dynamic_size(self) -> None:
        if any(side % ALIGN for side in self.size):
            raise InputError(
                f"a dynamic size is verified at a multiple of {ALIGN}, got {format_size(self.size)}"
            )
        if self.align not in {None, ALIGN}:
            raise InputError(
                f"--align has no effect on a dynamic size, which is a multiple of {ALIGN}; "
                "leave it out"
            )

    @property
    def geometry(self) -> Geometry:
        """Valid and padded size."""
        if self.dynamic_size:
            return Geometry(self.size, self.size, dynamic=True)
        return Geometry.of(self.size, None if self.input == "tensor" else self.align)

    def default_name(self, checkpoint: Checkpoint) -> str:
        """``best_16-8-4-1_512x512_fp16.onnx``, of ``best.pth`` or of a folder ``best``."""
        size = "dynamic" if self.dynamic_size else format_size(self.size)
        form = "_unfused" if self.attention == "unfused" else ""
        if self.eight_bits and self.quantise != DEFAULT:
            form += f"_{'-'.join(self.quantise)}"
        return f"{checkpoint.stem}_{self.isr.slug}_{size}_{self.precision}{form}.onnx"
