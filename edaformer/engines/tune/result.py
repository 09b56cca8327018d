"""What a tuning found: the front, the pick and its reason, each place alone.

Changes are points of mIoU against base: minus is worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edaformer.engines.tune.budget import Budget
from edaformer.evaluation.bootstrap import LEVEL, Interval
from edaformer.isr import ISR
from edaformer.preprocess import format_size

Source = Literal["modelled", "measured"]


@dataclass(frozen=True)
class Point:
    """One setting, tried on all images."""

    isr: ISR
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

    @property
    def worst_change(self) -> float:
        """The least of those that a budget is held against."""
        held = [] if self.change_held is None else [self.change_held]
        return min(self.change, self.change_tuned, *held)

    def to_json(self) -> dict[str, Any]:
        """ISR in full text form, changes in points, saving as a fraction, latency in ms."""
        return {
            "isr": str(self.isr),
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
    refused: tuple[tuple[ISR, str], ...] = ()  # by the device that measures, and why

    @property
    def base(self) -> Point:
        """As trained."""
        return self.named[0]

    @property
    def shown(self) -> tuple[Point, ...]:
        """The front, the pick and the named settings, by descending cost."""
        points = {point.isr: point for point in (*self.front, *self.named, self.pick)}
        return tuple(sorted(points.values(), key=lambda point: (-cost_of(point), -point.miou)))

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
            "refused": [{"isr": str(isr), "reason": reason} for isr, reason in self.refused],
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
    """What the front is drawn over: seconds on the device, or GMACs without one."""
    return point.gmacs if point.latency is None else point.latency
