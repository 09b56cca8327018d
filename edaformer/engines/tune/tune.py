"""Which ISR? Search the settings on data, cost them on a device, and pick one for a budget."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edaformer.data import Dataset
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.engines.spread.spread import Spread
from edaformer.engines.tune.adapting import AdaptedTo, Adapting
from edaformer.engines.tune.budget import Budget
from edaformer.engines.tune.device.afar import MOST_BUILT
from edaformer.engines.tune.device.costs import Costs
from edaformer.engines.tune.device.measure import ROUNDS
from edaformer.engines.tune.device.targets import Target
from edaformer.engines.tune.points import Points, front_of, names_of, sensitivities
from edaformer.engines.tune.quantising import FOLDER as EIGHT_BITS
from edaformer.engines.tune.quantising import Crossed, Quantising
from edaformer.engines.tune.result import Point, Runs, Tuning, cost_of
from edaformer.engines.tune.search.accuracy import Evaluator
from edaformer.engines.tune.search.search import Search, Split, regret
from edaformer.engines.tune.search.setting import Setting, isr_of
from edaformer.engines.tune.search.space import Space, every_setting
from edaformer.engines.tune.search.trials import Trials
from edaformer.engines.tune.search.trying import hired
from edaformer.engines.validate.answers import check_classes
from edaformer.engines.validate.procedure import Procedure, decide_image
from edaformer.engines.validate.truth import Finding, Stored, examine, stored_counts
from edaformer.errors import GateError, InputError
from edaformer.evaluation.protocol import get_protocol
from edaformer.families.checkpoint import Checkpoint, demo_checkpoint
from edaformer.families.given import options_of
from edaformer.isr import ISR
from edaformer.preprocess import ALIGN, aligned, format_size

HOLDOUT = 0.5
TRIALS = 400
TRIALS_FILE = "trials.sqlite"
ADAPTED = "adapted"  # the folder of checkpoints
_EXAMINED = 12  # images on which the truth is asked whether it is the truth
_LEAST_HELD = 16  # images below which none are held out by default


@dataclass(frozen=True)
class TuneOptions:
    """What to look for, and how hard."""

    size: tuple[int, int]  # (H, W), valid pixels
    budget: Budget = field(default_factory=Budget)
    device: Target | None = None  # None: cost is multiply-adds
    trials: int = TRIALS  # settings tried on the first images
    holdout: float | None = None  # fraction of the images; None: HOLDOUT where there are enough
    trust_labels: bool = False  # whatever is found wrong with the truth

    def __post_init__(self) -> None:
        if not 1 <= self.trials <= 100_000:
            raise InputError(f"expected --trials of 1 to 100000, got {self.trials}")
        if self.holdout is not None and not 0 <= self.holdout <= 0.9:
            raise InputError(f"expected --holdout from 0 to 0.9, got {self.holdout:g}")
        if self.budget.kind == "latency" and self.device is None:
            raise InputError("--max-latency is of a device; name it with --device")

    @property
    def padded(self) -> tuple[int, int]:
        """(H, W) that the network runs at."""
        return aligned(self.size, ALIGN)

    @property
    def by_time(self) -> bool:
        """Whether the cost is seconds; else multiply-adds."""
        return self.device is not None and self.budget.kind != "gmacs"


def tune(
    checkpoint: Checkpoint,
    data: Dataset,
    options: TuneOptions,
    out: Path,
    *,
    adapting: Adapting | None = None,
    quantising: Quantising | None = None,
    resume: bool = False,
    spread: Spread | None = None,
    on_step: Callable[[str], None] = lambda _: None,
    on_image: Callable[[int, int], None] = lambda *_: None,
) -> Tuning:
    """Find the ISR of ``checkpoint`` for a budget.

    Args:
        checkpoint: as loaded.
        data: images with their truth.
        options: what to look for.
        out: an existing folder; TRIALS_FILE in it holds every trial.
        adapting: what to adapt settings with that miss the budget; None: nothing.
        quantising: which parts may be in eight bits; None: none.
        resume: go on with the trials that are there.
        spread: over which processes settings are tried; None: this one.
        on_step: told what is being done.
        on_image: told how many images of a step are done, and of how many.

    Raises:
        InputError: if the budget is below the cheapest setting, or the trials are of another run.
        DataError: if data and checkpoint do not belong together.
        GateError: if nothing that was tried meets the budget, or the truth is found not to be
            the truth.
        WorkerError: if processes die of one image again and again.
    """
    start = time.perf_counter()
    check_classes(checkpoint, data)
    if quantising is not None:
        data = quantising.judged(data)
    places = checkpoint.places
    settings = every_setting(options.padded, places=places)
    split = Split.of(len(data), _holdout(options, len(data)))
    protocol = get_protocol(data.protocol)
    finding = _examined(checkpoint, data, Procedure(protocol, options.size, "resize"))
    if finding is not None and not options.trust_labels:
        raise GateError(f"{data.name}: {finding.refusal}")
    bound = _bound(checkpoint, data, options)
    procedure = Procedure(protocol, options.size, "resize")
    with (
        Trials.open(out / TRIALS_FILE, bound, places, resume=resume, on_note=on_step) as trials,
        hired(spread, checkpoint, data, procedure, ALIGN) as crew,
    ):
        costs = Costs(checkpoint, options.size, options.padded, options.device)
        if options.device is not None and options.device.host is not None:
            on_step(f"at most {MOST_BUILT} settings are built on {options.device.host}, base first")
        costs.measure([places.base], trials, on_step)
        space = Space.of(settings, costs.seconds if options.by_time else costs.gmacs)
        _check_reachable(options, space)
        evaluator = Evaluator(checkpoint.model(), data, procedure, ALIGN, trials, on_image, crew)
        named = tuple(isr for isr in names_of(places) if isr in space.index)
        search = Search(space, evaluator, split, options.budget, options.trials, named, on_step)
        done = [one for one in search.run() if isinstance(one, ISR)]
        worth = _worth_measuring(search, done)
        kept = {places.base, *named}
        if options.device is not None and options.device.host is not None:
            worth = _thinned(worth, kept, search.pick(done), MOST_BUILT)
            on_step(f"to be built and measured on {options.device.host}: {len(worth)} settings")
        costs.measure(worth, trials, on_step)
        crossed = Crossed() if quantising is None else quantising.run(
            search, costs, lambda most: _thinned(worth, kept, search.pick(done), most),
            out / EIGHT_BITS, spread,
        )  # fmt: skip
        maker = Points(search, costs)
        points = {one: maker.point(one) for one in dict.fromkeys((*done, *crossed.done))}
        costed: Container[Setting] = costs.built or costs.measured or points
        compared = [point for one, point in points.items() if one in costed]
        pick = _pick(options.budget, compared)
        front = front_of(compared)
        adapted = () if adapting is None else adapting.run(
            AdaptedTo(checkpoint, maker, procedure, options.budget, bound, out / ADAPTED, spread),
            front, pick, on_step,
        )  # fmt: skip
        return Tuning(
            model=f"{checkpoint.variant.title}, {checkpoint.num_classes} classes",
            checkpoint_sha256=checkpoint.sha256,
            data=data.name,
            images=len(data),
            tuned_on=len(split.tuned),
            held_out=len(split.held),
            size=options.size,
            align=ALIGN,
            protocol=protocol.label,
            budget=options.budget,
            device=_runs(options.device),
            settings=len(space),
            trials=len(trials.counts),
            evaluations=len(trials),
            front=front,
            pick=pick,
            reason=_reason(options.budget, len(compared) if costs.built else len(done), split),
            named=tuple(points[isr] for isr in named if isr in costed),
            sensitivity=sensitivities(points[one] for one in space.alone()),
            notes=(
                *data.notes,
                *_overruled(finding),
                *_notes(options, pick, split),
                *_within_noise(front, costs),
                *([] if quantising is None else quantising.notes(crossed, pick, points)),
                *(
                    f"{one} is left out: {reason}"
                    for one, reason in costs.refused.items()
                    if one not in crossed.alone  # which have a table of their own
                ),
            ),
            refused=tuple(costs.refused.items()),
            seconds=time.perf_counter() - start,
            export_command=export_command(checkpoint, pick.setting, options.size, quantising),
            adapted=adapted,
            quantised=None if quantising is None else quantising.report(crossed, costs, points),
            half=points.get(pick.isr),
        )


def _examined(checkpoint: Checkpoint, data: Dataset, procedure: Procedure) -> Finding | None:
    """What is wrong with the truth, by the base setting on a few images over all of the data."""
    segmenter = TorchSegmenter(checkpoint.model(), ALIGN)
    counts = np.zeros((256, len(data.classes)), np.int64)
    for at in np.unique(np.linspace(0, len(data) - 1, _EXAMINED).round().astype(int)).tolist():
        sample = data.load(at)
        height, width = sample.labels.shape
        labels = decide_image(segmenter, sample.image, procedure.passes((height, width))).labels
        counts += stored_counts(sample.labels, labels, len(data.classes))
    palette = data.palette or checkpoint.palette
    return examine(Stored(counts, data.classes, data.ignore_label, data.labels, palette))


def _overruled(finding: Finding | None) -> tuple[str, ...]:
    return () if finding is None else (f"overruled with --trust-labels: {finding.text}",)


def export_command(
    checkpoint: Checkpoint, setting: Setting, size: tuple[int, int],
    quantising: Quantising | None = None,
) -> str:  # fmt: skip
    """The line that exports it."""
    named = [] if checkpoint.path == demo_checkpoint() else [checkpoint.called]
    at = ["--isr", str(isr_of(setting)), "--size", format_size(size)]
    eight = [] if quantising is None else quantising.words(setting)
    return shlex.join(["edaformer-export", *named, *at, *eight, *options_of(checkpoint)])


def _worth_measuring(search: Search, done: Sequence[ISR]) -> list[ISR]:
    """The front of what was tried on all images, the named settings, and the pick so far."""
    miou = search.miou(done, search.split.every)
    behind = regret(search.space.cost[search.space.at(done)], miou)
    front = [isr for isr, one in zip(done, behind, strict=True) if one <= 0]
    pick = search.pick(done)
    worth = (*search.named, *front, *([] if pick is None else [pick]))
    return [one for one in dict.fromkeys(worth) if isinstance(one, ISR)]


def _thinned(
    worth: list[ISR], named: Container[Setting], pick: Setting | None, most: int
) -> list[ISR]:
    """``most`` at most: those with a name, the pick so far, and some along the front."""
    kept = [isr for isr in worth if isr in named or isr == pick]
    others = [isr for isr in worth if isr not in kept]
    room = max(most - len(kept), 0)
    if len(others) > room:
        at = np.linspace(0, len(others) - 1, room).round().astype(int).tolist()
        others = [others[index] for index in at]
    return [isr for isr in worth if isr in {*kept, *others}]


def _pick(budget: Budget, points: Sequence[Point]) -> Point:
    """The best within the budget, by Budget's rule."""
    cost = [point.gmacs if budget.kind == "gmacs" else cost_of(point) for point in points]
    miou = np.array([point.miou for point in points])
    drop = np.array([-point.worst_change for point in points])
    at = budget.pick(np.array(cost), miou, drop)
    if at is None:
        nearest = min(range(len(points)), key=lambda at: cost[at])
        raise GateError(
            f"no setting that was tried takes {budget.text}; the cheapest, {points[nearest].isr}, "
            f"takes {budget.shown(cost[nearest])}: allow more, or use a smaller --size"
        )
    return points[at]


def _runs(device: Target | None) -> Runs | None:
    if device is None:
        return None
    if device.measured_on is None:
        how = f"roofline, a lower bound; {device.source}"
        return Runs(device.name, device.label, "modelled", how, device.memory_bytes)
    where = device.host or "this machine"
    how = f"median of {ROUNDS} interleaved rounds of whole frames on {where}"
    return Runs(device.name, device.label, "measured", how, device.memory_bytes)


def _reason(budget: Budget, complete: int, split: Split) -> str:
    """Why it is the pick."""
    best, where = "most accurate", ""
    if budget.kind == "miou-drop":
        best = "cheapest"
        if split.held:
            parts = f"{len(split.tuned)} images tuned on, the {len(split.held)} held out"
            where = f" on the {parts} and all {len(split.every)}"
    return f"the {best} of the {complete} settings tried on all images with {budget.text}{where}"


def _notes(options: TuneOptions, pick: Point, split: Split) -> tuple[str, ...]:
    """What a reader of the pick must know."""
    made = []
    if not split.held:
        made.append("no images are held out: the change is of the images it was chosen on")
    memory = None if options.device is None else options.device.memory_bytes
    if memory is not None and pick.memory_bytes > memory:
        made.append("the pick's modelled memory is more than the device has")
    return tuple(made)


def _within_noise(front: Sequence[Point], costs: Costs) -> tuple[str, ...]:
    """Whether the measured front is shorter than what one setting's own rounds differ by."""
    measured = [costs.measured[p.setting] for p in front if p.setting in costs.measured]
    if not measured:
        return ()
    seconds = [one.seconds for one in measured]
    worth, noise = 1 - min(seconds) / max(seconds), max(one.spread for one in measured)
    if worth >= noise:
        return ()
    return (
        f"at this size ISR is worth {worth:.1%} of a frame's time on this device, less than the "
        f"noise: the rounds of one setting differ by {noise:.1%}",
    )


def _holdout(options: TuneOptions, images: int) -> float:
    if options.holdout is not None:
        return options.holdout
    return HOLDOUT if images >= _LEAST_HELD else 0.0


def _bound(checkpoint: Checkpoint, data: Dataset, options: TuneOptions) -> dict[str, str]:
    """What a trial depends on, beside its setting and its image."""
    import torch

    return {
        "format": "3",
        "checkpoint": checkpoint.sha256,
        "prepared": checkpoint.prepared,
        "network": str(checkpoint.variant),
        "classes": ", ".join(data.classes),
        "size": format_size(options.size),
        "align": str(ALIGN),
        "protocol": data.protocol,
        "torch": torch.__version__,
    }


def _check_reachable(options: TuneOptions, space: Space) -> None:
    """Refuse a cost below the cheapest setting before an image is read."""
    budget, least = options.budget, float(space.cost.min())
    if budget.kind != "miou-drop" and least > budget.limit:
        cheapest = space.settings[int(space.cost.argmin())]
        raise InputError(
            f"the cheapest setting, {cheapest}, takes {budget.shown(least)} at "
            f"{format_size(options.size)}, and {budget.text} is asked for; allow more, or use a "
            "smaller --size"
        )
