"""Which parts in eight bits, together with which ISR: the search's second space.

An ISR is tried in PyTorch in a fraction of a second; a form in eight bits has to be exported,
calibrated at its ISR and built before anybody knows what it costs. So the settings that the search
over ISR left worth an export are taken, and these are crossed with the parts that pay:

1. at base, each part alone and all of them are exported and costed; what is no cheaper than FP16 is
   left out, with its figures;
2. what pays is combined, the part that saves most first, and exported at the settings of the front;
3. the rule of search.py goes over both precisions, on the same images, into the same trials.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import onnxruntime

from edaformer.data import Dataset
from edaformer.data.datasets import Subset
from edaformer.engines.artifact.onnx_file import read_onnx
from edaformer.engines.spread.spread import Spread
from edaformer.engines.tune.budget import Budget
from edaformer.engines.tune.device.costs import Costs
from edaformer.engines.tune.device.devices import get_device
from edaformer.engines.tune.device.measure import make_artifact
from edaformer.engines.tune.device.targets import Target
from edaformer.engines.tune.result import PartsAlone, Point, Quantised
from edaformer.engines.tune.search.rows import Built
from edaformer.engines.tune.search.search import Search
from edaformer.engines.tune.search.setting import InEightBits, Setting
from edaformer.engines.tune.search.space import Space
from edaformer.engines.tune.search.trying import hired
from edaformer.errors import DataError, GateError, InputError, ManifestError
from edaformer.export.options import ExportOptions
from edaformer.export.quantise.calibrate import METHOD, Calibration
from edaformer.export.quantise.parts import PARTS, EightBits, Part
from edaformer.export.verify import Images
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import ISR
from edaformer.machine import backend
from edaformer.machine.backend import Backend
from edaformer.machine.gpu import FP8_FROM, query_gpu, runs_fp8
from edaformer.version import __version__

FOLDER = "eight_bits"  # of the exports
MOST_EXPORTED = 12  # beside those at base


def builder_for(precision: EightBits, budget: Budget, device: Target | None) -> Backend | None:
    """Whose layer tables weigh eight bits; None where a device is measured.

    Raises:
        InputError: if the budget knows no eight bits, or the device runs none of that kind.
        MissingError: without a builder.
    """
    if budget.kind == "gmacs":
        raise InputError(
            f"--max-gmacs counts multiply-adds, of which {precision} has as many; use "
            "--max-miou-drop, or --max-latency on a device that is measured"
        )
    if device is not None:
        _check_runs(precision, device)
    if device is not None and device.measured_on is not None:
        return None
    if budget.kind == "latency":
        raise InputError(
            f"--max-latency would be modelled for {precision}, and the model knows no eight bits; "
            "name a device that is measured (--device this or ssh://HOST), or use --max-miou-drop"
        )
    return backend.use("auto")


def _check_runs(precision: EightBits, device: Target) -> None:
    if device.measured_on == "cpu":
        raise InputError(
            f"on a CPU {precision} runs as it is written, slower than FP16, and says nothing of a "
            "GPU; leave --device out, or name another"
        )
    if precision != "fp8" or device.host is not None:
        return  # a build there says what it can
    gpu = None if device.measured_on is None else query_gpu()
    known = (
        runs_fp8(gpu.compute_capability) if gpu is not None else get_device(device.name).runs_fp8
    )
    if not known:
        raise InputError(
            f"FP8 runs on compute capability {FP8_FROM} and later, which {device.label} is not; "
            "use --precision int8"
        )


@dataclass(frozen=True)
class Crossed:
    """What was found."""

    done: tuple[Setting, ...] = ()  # tried on all images, base first, in both precisions
    alone: tuple[InEightBits, ...] = ()  # parts at base, whether they pay or not
    built: Mapping[Setting, Built] = field(default_factory=dict)


@dataclass(frozen=True)
class Quantising:
    """What may be in eight bits, what it is calibrated on, and how it is weighed."""

    precision: EightBits
    parts: tuple[Part, ...]
    calibration: Calibration
    images: Images | None  # to verify exports on
    min_agreement: float | None = None
    builder: Backend | None = None  # whose layer tables are taken; None: a device is measured

    @cached_property
    def origin(self) -> str:
        """Of all of its settings."""
        content = [
            self.calibration.hashes, METHOD, self.min_agreement, __version__,
            onnxruntime.__version__,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    @property
    def cost(self) -> str:
        """How it is weighed, in words."""
        if self.builder is None:
            return "measured on the device"
        return (
            f"MB that all kernels read and write, by the layer table of {self.builder.flavour} "
            f"{self.builder.version}; no GPU was asked, so what it saves in time is not known"
        )

    def judged(self, data: Dataset) -> Dataset:
        """``data`` without the images that are calibrated on.

        Raises:
            DataError: if none is left.
        """
        own = set(self.calibration.hashes)
        hashes = (hashlib.sha256(sample.image.tobytes()).hexdigest() for sample in data)
        kept = [at for at, digest in enumerate(hashes) if digest not in own]
        if not kept:
            raise DataError(
                f"all {len(data)} images of {data.name} are calibrated on, which says nothing of "
                "others; name more images with --data, or others with --calibrate"
            )
        return data if len(kept) == len(data) else Subset.of(data, kept)

    def options(self, setting: InEightBits, size: tuple[int, int]) -> ExportOptions:
        """Of the setting's export."""
        return ExportOptions(
            setting.isr, size, precision=setting.precision, quantise=setting.parts,
            min_agreement=self.min_agreement,
        )  # fmt: skip

    def artifact(
        self, checkpoint: Checkpoint, setting: InEightBits, size: tuple[int, int], folder: Path, *,
        build: bool = False,
    ) -> Path:  # fmt: skip
        """Its export in ``folder``, or the plan built from it."""
        return make_artifact(
            checkpoint, self.options(setting, size), folder, build=build,
            images=self.images, calibration=self.calibration,
        )  # fmt: skip

    def report(self, crossed: Crossed, costs: Costs, points: Mapping[Setting, Point]) -> Quantised:
        """What is told of it beside the points."""
        built, half = crossed.built, crossed.built.get(costs.base)
        return Quantised(
            precision=self.precision,
            calibrated_on=self.calibration.source,
            images=tuple(zip(self.calibration.names, self.calibration.hashes, strict=True)),
            alone=tuple(
                PartsAlone(one, points.get(one), costs.refused.get(one), built.get(one), half)
                for one in crossed.alone
            ),
            cost=self.cost,
        )

    def notes(
        self, crossed: Crossed, pick: Point, points: Mapping[Setting, Point]
    ) -> tuple[str, ...]:
        """What a reader of the pick must know."""
        made = [f"eight bits are calibrated on {len(self.calibration.names)} images of "
                f"{self.calibration.source}, none of which is judged"]  # fmt: skip
        if not crossed.done:
            made.append(f"no part pays in {self.precision} here: the front is of FP16 alone")
        half = points.get(pick.isr)
        if pick.built is not None and half is not None and half.built is not None:
            more = pick.built.kernels - half.built.kernels
            if more > 0:
                made.append(
                    f"the pick takes {more} kernels more than FP16 at its ISR and moves less: "
                    "which of the two weighs more only its device can say"
                )
        return tuple(made)

    def words(self, setting: Setting) -> list[str]:
        """What edaformer-export is told of it."""
        if isinstance(setting, ISR):
            return []
        least = self.min_agreement
        return [
            "--precision", setting.precision, "--quantise", ",".join(setting.parts),
            "--calibrate", self.calibration.source,
            *([] if least is None else ["--min-agreement", f"{least:g}"]),
        ]  # fmt: skip

    def run(
        self, search: Search, costs: Costs, worth: Callable[[int], Sequence[ISR]], folder: Path,
        spread: Spread | None,
    ) -> Crossed:  # fmt: skip
        """Cross the ISRs that are worth it with what pays.

        Args:
            search: the one over ISR, done.
            costs: of its settings.
            worth: about so many of them.
            folder: of the exports.
            spread: over which processes they are tried; None: this one.
        """
        crossing = _Crossing(self, search, costs, folder / self.origin)
        base = costs.base
        parts = [*((part,) for part in self.parts), self.parts]
        alone = tuple(dict.fromkeys(self._at(base, one) for one in parts))
        forms = _forms(crossing.paying(alone), costs)
        if not forms:
            built = dict(costs.built)
            costs.built.clear()  # nothing stands beside base: the front is of what it was before
            return Crossed((), alone, built)
        isrs = [isr for isr in worth(MOST_EXPORTED // len(forms)) if isr not in costs.refused]
        paying = crossing.paying([*alone, *(self._at(isr, one) for isr in isrs for one in forms)])
        costed = filter(crossing.is_costed, dict.fromkeys((base, *isrs)))
        return Crossed(crossing.tried((*costed, *paying), spread), alone, costs.built)

    def _at(self, isr: ISR, parts: tuple[Part, ...]) -> InEightBits:
        return InEightBits(isr, self.precision, parts, self.origin)


@dataclass(frozen=True)
class _Crossing:
    """One run: exports, their costs, and the search over them."""

    asked: Quantising
    search: Search
    costs: Costs
    folder: Path

    def paying(self, settings: Iterable[InEightBits]) -> list[InEightBits]:
        """Those that cost less than FP16; the others' reasons are told once."""
        wanted, costs, tell = list(dict.fromkeys(settings)), self.costs, self.search.on_step
        graphs = self._exported([one for one in wanted if not self._is_known(one)])
        trials = self.search.evaluator.trials
        if self.asked.builder is not None:
            costs.weigh(graphs, self.asked.builder, trials, tell)
        else:
            costs.measure([costs.base, *graphs], trials, tell, graphs)
        for one in graphs:
            reason = costs.why_not(one)
            if reason is not None:
                costs.refused[one] = reason
                tell(f"{one} is left out: {reason}")
        return [one for one in wanted if one not in costs.refused]

    def is_costed(self, setting: Setting) -> bool:
        """Whether it can stand in one front with the others."""
        return setting in (self.costs.measured if self.asked.builder is None else self.costs.built)

    def tried(self, settings: tuple[Setting, ...], spread: Spread | None) -> tuple[Setting, ...]:
        """The search's rule over these, in both precisions."""
        first = self.search.evaluator
        graphs = {one: self._path(one) for one in settings if isinstance(one, InEightBits)}
        with hired(
            spread, self.costs.checkpoint, first.data, first.procedure, first.align, graphs=graphs
        ) as crew:
            return replace(
                self.search,
                space=Space.of(settings, self.costs.real),
                evaluator=replace(first, hired=crew, graphs=graphs),
                named=tuple(one for one in self.search.named if one in settings),
            ).run()

    def _is_known(self, setting: InEightBits) -> bool:
        return setting in self.costs.refused or self.is_costed(setting)

    def _exported(self, settings: Sequence[InEightBits]) -> dict[InEightBits, Path]:
        """Their files; one that cannot be had is left out, with its reason."""
        made, tell = {}, self.search.on_step
        for number, one in enumerate(settings, start=1):
            path = self._path(one)
            if not self._is_there(path):
                tell(f"exporting {one}, {number} of {len(settings)}")
                try:
                    self._export(one)
                except (GateError, InputError) as error:
                    self.costs.refused[one] = str(error)
                    tell(f"{one} is left out: {error}")
                    continue
            made[one] = path
        return made

    def _export(self, setting: InEightBits) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.asked.artifact(self.costs.checkpoint, setting, self.costs.size, self.folder)

    def _path(self, setting: InEightBits) -> Path:
        name = self.asked.options(setting, self.costs.size).default_name(self.costs.checkpoint)
        return self.folder / name

    def _is_there(self, path: Path) -> bool:
        """Whether an earlier run wrote it; the folder is of one origin."""
        try:
            file = read_onnx(path)
        except (InputError, ManifestError):
            return False
        own = self.costs.checkpoint.sha256
        return file.changed is None and file.manifest.checkpoint_sha256 == own


def _forms(paying: Sequence[InEightBits], costs: Costs) -> tuple[tuple[Part, ...], ...]:
    """What is crossed with ISR: each that pays, and single parts together, the best first."""
    singles = [one for one in sorted(paying, key=costs.real) if len(one.parts) == 1]
    nested = (
        tuple(part for part in PARTS if any(part in one.parts for one in singles[: count + 1]))
        for count in range(1, len(singles))
    )
    return tuple(dict.fromkeys((*(one.parts for one in paying), *nested)))
