"""What a tuning found: the front, the pick and its reason, each place alone.

Changes are points of mIoU against base: minus is worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edaformer.engines.tune.budget import Budget
from edaformer.engines.tune.search.rows import Built
from edaformer.engines.tune.search.setting import InEightBits, Setting, isr_of, parts_of
from edaformer.evaluation.bootstrap import LEVEL, Interval
from edaformer.isr import ISR
from edaformer.preprocess import format_size

Source = Literal["modelled", "measured"]
Cost = Literal["GMACs", "latency", "traffic"]


@dataclass(frozen=True)
class Point:
    """One setting, tried on all images."""

    setting: Setting
    miou: float  # points, over all images
    change: float  # against base; minus is worse
    change_tuned: float  # on the images that were tuned on
    change_held: float | None  # on those held out; None without any
    interval: Interval | None  # of ``change``, 95 % over images
    gmacs: float
    saving: float  # fraction of base's multiply-adds
    latency: float | None  # seconds of a frame; None without a device
    latency_source: Source | None
    engine_bytes: int
    engine_source: Source  # measured: the file's; modelled: the FP16 weights alone
    memory_bytes: int  # modelled: weights and live activations at FP16
    name: str | None = None  # base, paper and the like
    built: Built | None = None  # where eight bits are weighed by what an engine moves

    @property
    def isr(self) -> ISR:
        """The setting's ratios."""
        return isr_of(self.setting)

    @property
    def precision(self) -> str:
        """fp16, or what parts of it are in."""
        return "fp16" if isinstance(self.setting, ISR) else self.setting.precision

    @property
    def worst_change(self) -> float:
        """The least of those that a budget is held against."""
        held = [] if self.change_held is None else [self.change_held]
        return min(self.change, self.change_tuned, *held)

    def to_json(self) -> dict[str, Any]:
        """ISR in full text form, changes in points, saving as a fraction, latency in ms."""
        return {
            "isr": str(self.isr),
            "precision": self.precision,
            "quantised": list(parts_of(self.setting)),
            "name": self.name,
            "miou": self.miou,
            "miou_change": self.change,
            "miou_change_tuned": self.change_tuned,
            "miou_change_held_out": self.change_held,
            "miou_change_interval": self.interval,
            "gmacs": self.gmacs,
            "saving": self.saving,
            "latency_ms": None if self.latency is None else self.latency * 1e3,
            "latency_source": self.latency_source,
            "engine_bytes": self.engine_bytes,
            "engine_source": self.engine_source,
            "memory_bytes": self.memory_bytes,
            "memory_source": "modelled",
            "kernels": None if self.built is None else self.built.kernels,
            "dequantise_kernels": None if self.built is None else self.built.dequantise_kernels,
            "fused_blocks": None if self.built is None else self.built.fused_blocks,
            "traffic_bytes": None if self.built is None else self.built.traffic_bytes,
        }


@dataclass(frozen=True)
class Sensitivity:
    """What one place costs alone, the others at their trained ratios."""

    place: str
    ratio: int
    point: Point

    def to_json(self) -> dict[str, Any]:
        """The place and its point."""
        return {"place": self.place, "ratio": self.ratio, **self.point.to_json()}


@dataclass(frozen=True)
class PartsAlone:
    """What parts in eight bits cost at base, nothing else changed."""

    setting: InEightBits
    point: Point | None  # None: it does not pay, so nothing more was tried
    why_not: str | None
    built: Built | None  # where eight bits are weighed so
    half: Built | None  # base in FP16

    @property
    def parts(self) -> str:
        """With commas."""
        return ", ".join(self.setting.parts)

    def to_json(self) -> dict[str, Any]:
        """The parts, their figures beside FP16's, and their point or why there is none."""
        return {
            "quantised": list(self.setting.parts),
            "why_not": self.why_not,
            "built": None if self.built is None else vars(self.built),
            "built_fp16": None if self.half is None else vars(self.half),
            "point": None if self.point is None else self.point.to_json(),
        }


@dataclass(frozen=True)
class Quantised:
    """What was asked of eight bits, and what came of it."""

    precision: str
    calibrated_on: str  # as --calibrate has it
    images: tuple[tuple[str, str], ...]  # name and SHA-256 of the pixels
    alone: tuple[PartsAlone, ...]
    cost: str  # how it was weighed, in words

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "precision": self.precision,
            "calibrate": self.calibrated_on,
            "calibration_images": [{"name": n, "sha256": digest} for n, digest in self.images],
            "alone": [one.to_json() for one in self.alone],
            "cost": self.cost,
        }


@dataclass(frozen=True)
class AdaptedPoint:
    """A setting with a checkpoint that was adapted to it."""

    point: Point  # changes are against the original checkpoint at base
    before: Point  # the same setting without
    checkpoint: Path
    is_within: bool  # the budget

    def to_json(self) -> dict[str, Any]:
        """The point, what it was before, and where its checkpoint lies."""
        return {
            **self.point.to_json(),
            "miou_before": self.before.miou,
            "checkpoint": str(self.checkpoint),
            "within_budget": self.is_within,
        }


@dataclass(frozen=True)
class Runs:
    """What the latencies are of."""

    name: str  # as --device says it
    label: str
    source: Source
    how: str  # what was run, or what the model takes from where
    memory_bytes: int | None  # that the device has

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return vars(self)


@dataclass(frozen=True)
class Tuning:
    """The answer."""

    model: str
    checkpoint_sha256: str
    data: str
    images: int
    tuned_on: int
    held_out: int
    size: tuple[int, int]  # (H, W), valid pixels
    align: int
    protocol: str
    budget: Budget
    device: Runs | None
    settings: int  # in the space
    trials: int  # settings that were tried at all
    evaluations: int  # settings times images
    front: tuple[Point, ...]  # descending cost, base's side first
    pick: Point
    reason: str
    named: tuple[Point, ...]  # base first
    sensitivity: tuple[Sensitivity, ...]
    notes: tuple[str, ...]
    seconds: float
    export_command: str
    adapted: tuple[AdaptedPoint, ...] = ()
    refused: tuple[tuple[Setting, str], ...] = ()  # by device or builder, and why
    quantised: Quantised | None = None  # where eight bits were asked for
    half: Point | None = None  # of a pick in eight bits: the same ISR in FP16

    @property
    def base(self) -> Point:
        """As trained."""
        return self.named[0]

    @property
    def shown(self) -> tuple[Point, ...]:
        """The front, the pick and the named settings, by descending cost."""
        points = {point.setting: point for point in (*self.front, *self.named, self.pick)}
        return tuple(sorted(points.values(), key=lambda point: (-cost_of(point), -point.miou)))

    @property
    def across(self) -> Cost:
        """What the front is drawn over."""
        if self.pick.built is not None:
            return "traffic"
        return "GMACs" if self.device is None else "latency"

    def to_json(self) -> dict[str, Any]:
        """Everything; ``front`` is a list of points."""
        return {
            "pick": {**self.pick.to_json(), "reason": self.reason},
            "budget": {"kind": self.budget.kind, "limit": self.budget.limit,
                       "text": self.budget.text},
            "front": [point.to_json() for point in self.front],
            "base": self.base.to_json(),
            "named": [point.to_json() for point in self.named],
            "sensitivity": [place.to_json() for place in self.sensitivity],
            "refused": [{"isr": str(one), "reason": reason} for one, reason in self.refused],
            "quantised": None if self.quantised is None else self.quantised.to_json(),
            "across": self.across,
            "adapted": [point.to_json() for point in self.adapted],
            "device": None if self.device is None else self.device.to_json(),
            "model": self.model,
            "checkpoint_sha256": self.checkpoint_sha256,
            "data": self.data,
            "images": self.images,
            "tuned_on": self.tuned_on,
            "held_out": self.held_out,
            "interval_level": LEVEL,
            "size": format_size(self.size),
            "align": self.align,
            "protocol": self.protocol,
            "settings": self.settings,
            "trials": self.trials,
            "evaluations": self.evaluations,
            "seconds": round(self.seconds, 1),
            "notes": list(self.notes),
            "export_command": self.export_command,
        }  # fmt: skip


def cost_of(point: Point) -> float:
    """What the front is drawn over: bytes moved, seconds on the device, or GMACs without one."""
    if point.built is not None:
        return point.built.traffic_bytes
    return point.gmacs if point.latency is None else point.latency
