"""What a setting costs: multiply-adds, modelled seconds, measured seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edaformer.engines.tune.device.afar import AT_ONCE, Measured, measure_there
from edaformer.engines.tune.device.measure import measure
from edaformer.engines.tune.device.roofline import Roofline
from edaformer.engines.tune.device.targets import Target
from edaformer.engines.tune.search.rows import Latency
from edaformer.engines.tune.search.trials import Trials
from edaformer.errors import GateError, RemoteError
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.table import count
from edaformer.isr import ISR

Size = tuple[int, int]  # (H, W)


@dataclass
class Costs:
    """Of one checkpoint at one size, on a device where one is named."""

    checkpoint: Checkpoint
    size: Size  # valid pixels
    padded: Size  # that the network runs at
    device: Target | None
    measured: dict[ISR, Latency] = field(default_factory=dict)
    refused: dict[ISR, str] = field(default_factory=dict)  # by the device, and why
    _scale: float = 1.0  # from the model's seconds to base's measured ones

    def __post_init__(self) -> None:
        variant, classes = self.checkpoint.variant, self.checkpoint.num_classes
        ceilings = None if self.device is None else self.device.ceilings
        self.roofline = None
        if ceilings is not None:
            self.roofline = Roofline(variant, classes, self.padded, ceilings)

    @property
    def base(self) -> ISR:
        """What the model was trained at."""
        return self.checkpoint.places.base

    def gmacs(self, isr: ISR) -> float:
        """10^9 multiply-adds of a frame."""
        variant, classes = self.checkpoint.variant, self.checkpoint.num_classes
        return count(variant, classes, self.padded, isr).gmacs

    def modelled(self, isr: ISR) -> float | None:
        """Seconds of a frame, so that base takes what it was measured at; None without a model."""
        return None if self.roofline is None else self._scale * self.roofline.seconds(isr)

    def seconds(self, isr: ISR) -> float:
        """What the search goes by: a GPU that nothing is published of follows the multiply-adds."""
        modelled = self.modelled(isr)
        return self._scale * self.gmacs(isr) if modelled is None else modelled

    def measure(
        self, settings: Sequence[ISR], trials: Trials, on_step: Callable[[str], None]
    ) -> None:
        """Time ``settings`` where the device can be asked; what the trials hold is taken.

        Base's time sets the model's scale. Others that a device refuses are left out.

        Raises:
            GateError: if base cannot be measured.
            RemoteError: if the device is gone.
        """
        device = self.device
        if device is None or device.measured_on is None:
            return
        known = trials.latencies
        missing = [isr for isr in settings if (isr, device.label) not in known]
        for batch in _batches(missing, None if device.host is None else AT_ONCE):
            made = self._measured(device, batch, on_step)
            for isr, latency in made.latencies.items():
                trials.add_latency(isr, device.label, latency)
            self.refused |= made.refused
        if self.base in self.refused:
            raise GateError(
                f"{self.base}, which everything is compared with, cannot be measured on "
                f"{device.host}: {self.refused[self.base]}"
            )
        self.measured |= {
            isr: known[isr, device.label] for isr in settings if isr not in self.refused
        }
        self._scale *= self.measured[self.base].seconds / self.seconds(self.base)

    def _measured(
        self, device: Target, settings: Sequence[ISR], on_step: Callable[[str], None]
    ) -> Measured:
        if device.host is not None:
            try:
                return measure_there(
                    self.checkpoint, settings, self.size, host=device.host, on_step=on_step
                )
            except RemoteError as error:
                raise RemoteError(f"{error}; what was tried stays: go on with --resume") from error
        assert device.measured_on is not None
        on = device.measured_on
        return Measured(measure(self.checkpoint, settings, self.size, on=on, on_step=on_step))


def _batches(settings: Sequence[ISR], most: int | None) -> list[Sequence[ISR]]:
    size = most or max(len(settings), 1)
    return [settings[at : at + size] for at in range(0, len(settings), size)]
