"""What a setting costs: multiply-adds, modelled seconds, measured seconds, bytes moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from edaformer.engines.tune.device.afar import AT_ONCE, measure_there
from edaformer.engines.tune.device.measure import Measured, Step, measure
from edaformer.engines.tune.device.roofline import Roofline
from edaformer.engines.tune.device.table import layer_table, weighed
from edaformer.engines.tune.device.targets import Target
from edaformer.engines.tune.search.rows import Built, Latency
from edaformer.engines.tune.search.setting import Graphs, InEightBits, Setting, isr_of
from edaformer.engines.tune.search.trials import Trials
from edaformer.errors import BuildError, GateError, RemoteError
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.table import count
from edaformer.isr import ISR
from edaformer.machine.backend import Backend

Size = tuple[int, int]  # (H, W)


@dataclass
class Costs:
    """Of one checkpoint at one size, on a device where one is named."""

    checkpoint: Checkpoint
    size: Size  # valid pixels
    padded: Size  # that the network runs at
    device: Target | None
    measured: dict[Setting, Latency] = field(default_factory=dict)
    built: dict[Setting, Built] = field(default_factory=dict)  # where eight bits are weighed so
    refused: dict[Setting, str] = field(default_factory=dict)  # by device or builder, and why
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

    def gmacs(self, setting: Setting) -> float:
        """10^9 multiply-adds of a frame."""
        variant, classes = self.checkpoint.variant, self.checkpoint.num_classes
        return count(variant, classes, self.padded, isr_of(setting)).gmacs

    def modelled(self, setting: Setting) -> float | None:
        """Seconds of a frame, so that base takes what it was measured at; None without a model.

        The model knows no eight bits.
        """
        if self.roofline is None or isinstance(setting, InEightBits):
            return None
        return self._scale * self.roofline.seconds(setting)

    def seconds(self, setting: Setting) -> float:
        """What the search goes by: a GPU that nothing is published of follows the multiply-adds."""
        modelled = self.modelled(setting)
        return self._scale * self.gmacs(setting) if modelled is None else modelled

    def real(self, setting: Setting) -> float:
        """Bytes moved or seconds, of a setting that was built or measured."""
        built = self.built.get(setting)
        return self.measured[setting].seconds if built is None else built.traffic_bytes

    def why_not(self, setting: InEightBits) -> str | None:
        """Why eight bits do not pay here; None where they do."""
        if setting in self.refused:
            return self.refused[setting]
        half, eight = self.built.get(setting.isr), self.built.get(setting)
        if half is not None and eight is not None and eight.fused_blocks < half.fused_blocks:
            return (
                f"attention is fused in {eight.fused_blocks} blocks where FP16 has "
                f"{half.fused_blocks}, which edaformer-build refuses"
            )
        if self.real(setting) < self.real(setting.isr):
            return None
        if half is not None and eight is not None:
            return weighed(half, eight).sentence
        own, its = (self.measured[one].seconds * 1e3 for one in (setting, setting.isr))
        return f"no quicker than FP16: {own:.3f} ms where it takes {its:.3f}"

    def weigh(self, graphs: Graphs, chosen: Backend, trials: Trials, on_step: Step) -> None:
        """Build ``graphs`` and their FP16 twins for their layer tables; the trials' are taken.

        One that cannot be had is left out.
        """
        by = f"{chosen.flavour} {chosen.version}"
        for number, (setting, path) in enumerate(graphs.items(), start=1):
            for one, half in ((setting.isr, True), (setting, False)):
                if (one, by) not in trials.builds:
                    on_step(f"building {one} for its layer table, {number} of {len(graphs)}")
                    try:
                        trials.add_built(one, by, layer_table(path, chosen, half=half))
                    except (BuildError, GateError) as error:
                        self.refused[setting] = str(error)
                        break
                self.built[one] = trials.builds[one, by]

    def measure(
        self, settings: Sequence[Setting], trials: Trials, on_step: Step,
        graphs: Graphs | None = None,
    ) -> None:  # fmt: skip
        """Time ``settings`` where the device can be asked; what the trials hold is taken.

        Base's time sets the model's scale. Others that a device refuses are left out. Of those in
        eight bits ``graphs`` are the exports.

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
            made = self._measured(device, batch, on_step, graphs)
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
        self, device: Target, settings: Sequence[Setting], on_step: Step, graphs: Graphs | None
    ) -> Measured:
        if device.host is not None:
            try:
                return measure_there(
                    self.checkpoint, settings, self.size, host=device.host, on_step=on_step,
                    graphs=graphs,
                )  # fmt: skip
            except RemoteError as error:
                raise RemoteError(f"{error}; what was tried stays: go on with --resume") from error
        assert device.measured_on is not None
        on = device.measured_on
        return measure(self.checkpoint, settings, self.size, on=on, on_step=on_step, graphs=graphs)


def _batches(settings: Sequence[Setting], most: int | None) -> list[Sequence[Setting]]:
    size = most or max(len(settings), 1)
    return [settings[at : at + size] for at in range(0, len(settings), size)]
