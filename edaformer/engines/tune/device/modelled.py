"""A frame's modelled time on a device that is not here, from a network's sizes alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edaformer.engines.tune.device.devices import Device, get_device
from edaformer.engines.tune.device.roofline import Roofline, memory_bytes
from edaformer.families.architecture import Architecture
from edaformer.isr import ISR

_TRUST = (
    "a lower bound: no launch, copy or resizing, every kernel at its peak; it orders settings, and "
    "no GPU has confirmed it: measure with edaformer-bench"
)


@dataclass(frozen=True)
class Modelled:
    """What published rates allow."""

    device: Device
    isr: ISR
    seconds: float  # at the least
    seconds_base: float
    memory_bytes: int  # weights, the decoder's inputs and the largest layer, likewise

    @property
    def facts(self) -> list[tuple[str, object]]:
        """Names and values for people."""
        base = "" if self.seconds == self.seconds_base else f", at base {_ms(self.seconds_base)}"
        return [
            ("modelled on", self.device.label),
            ("a frame takes", f"{_ms(self.seconds)} or more at {self.isr}{base}"),
            ("frame rate", f"{1 / self.seconds:.0f} a second at most"),
            ("frame memory", f"{self.memory_bytes / 1e6:.1f} MB or more, of {self.device.memory:g} "
             "GB"),
            ("rates from", self.device.rates),
            ("trust", _TRUST),
        ]  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Seconds and bytes are lower bounds."""
        return {
            "device": self.device.name,
            "label": self.device.label,
            "seconds": self.seconds,
            "seconds_base": self.seconds_base,
            "frames_per_second": 1 / self.seconds,
            "memory_bytes": self.memory_bytes,
            "rates": self.device.rates,
            "trust": _TRUST,
        }


def model_frame(
    architecture: Architecture, num_classes: int, size: tuple[int, int], isr: ISR, device: str
) -> Modelled:
    """One frame of a network at FP16.

    Args:
        architecture: the network's sizes.
        num_classes: likewise.
        size: (H, W), padding included.
        isr: pooling ratios.
        device: a row's name.

    Raises:
        InputError: for an unknown device, listing the known ones.
    """
    row = get_device(device)
    roofline = Roofline(architecture, num_classes, size, row.ceilings)
    return Modelled(
        row,
        isr,
        roofline.seconds(isr),
        roofline.seconds(architecture.places.base),
        memory_bytes(architecture, num_classes, size, isr),
    )


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.2f} ms"
