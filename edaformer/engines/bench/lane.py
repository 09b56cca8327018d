"""A contender on its way through the benchmark: start, warm up, take turns, the rest."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from itertools import islice
from statistics import median

import numpy as np

from edaformer.data import open_dataset
from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.engines.bench.contenders import BenchOptions
from edaformer.engines.bench.energy import EnergyMeter
from edaformer.engines.bench.probe import Start
from edaformer.engines.bench.profile import Layer, profile
from edaformer.engines.bench.record import Result, Subject
from edaformer.engines.bench.recorded import recorded_of
from edaformer.engines.bench.runners import Contender, Runner, Split, open_runner
from edaformer.engines.bench.state import Machine
from edaformer.engines.bench.timing import Camera, Latency, run_slice, warm_up, watch_camera
from edaformer.engines.segmenters.segmenter import Images, Labels
from edaformer.errors import InputError
from edaformer.files import sha256
from edaformer.manifest import Manifest
from edaformer.preprocess import format_size

_SPLIT_FRAMES = 10
_PIPELINED_SHARE = 0.25  # of the duration, spent on pipelined throughput


class Lane:
    """A contender on its way through the benchmark."""

    def __init__(self, contender: Contender, options: BenchOptions, machine: Machine) -> None:
        self.contender, self.options = contender, options
        self.manifest = artifact_manifest(contender.artifact)
        self.frames = rotating_frames(self.manifest, options)
        self.energy = EnergyMeter(machine)
        self.starts: tuple[Start, ...] = ()
        self.times: list[list[float]] = []
        self.cpu_seconds = 0.0

    def open(self) -> Runner:
        """Open the runner."""
        self.runner = open_runner(self.contender, self.manifest)
        return self.runner

    def frame(self, number: int) -> Labels:
        """Process the n-th frame."""
        return self.runner.frame(self.image(number))

    def image(self, number: int) -> Images:
        """The n-th frame."""
        return self.frames[number % len(self.frames)]

    def warm(self) -> None:
        """Run until the rate is stable."""
        self.warmup = warm_up(self.frame, limit=max(3.0, self.options.duration))

    def take_turn(self, seconds: float) -> None:
        """One round of so many seconds."""
        first = sum(map(len, self.times))
        before = time.process_time()
        with self.energy:
            self.times.append(run_slice(self.frame, seconds, first=first))
        self.cpu_seconds += time.process_time() - before

    @property
    def rounds(self) -> tuple[float, ...]:
        """Median frame time of each round, in seconds."""
        return tuple(median(times) for times in self.times)

    def finish(self, on_step: Callable[[str], None]) -> Result:
        """Measure the rest, and sum up."""
        on_step(f"parts, pipeline and memory of {self.contender.name}")
        seconds = [one for times in self.times for one in times]
        images = len(seconds) * len(self.frames[0])
        joules = self.energy.joules
        return Result(
            subject=self._subject(),
            starts=self.starts,
            warmup=self.warmup,
            latency=Latency.of(seconds),
            rounds=self.rounds,
            split=self._split(),
            cpu_seconds_per_image=self.cpu_seconds / images,
            images_per_second=images / sum(seconds),
            images_per_second_pipelined=self._pipelined(),
            joules_per_image=joules / images if joules is not None else None,
            camera=self._camera(),
            layers=self._layers(),
        )

    def _subject(self) -> Subject:
        manifest = self.manifest
        return Subject(
            name=self.contender.name,
            kind=self.contender.kind,
            description=self.runner.description,
            artifact=str(self.contender.artifact),
            sha256=sha256(self.contender.artifact),
            variant=manifest.variant,
            isr=manifest.isr,
            precision=manifest.precision,
            size=format_size(manifest.size),
            batch=len(self.frames[0]),
            outputs=tuple(output.name for output in manifest.outputs),
            settings=self.runner.settings,
            recorded=recorded_of(manifest) if self.contender.kind in {"onnx", "plan"} else None,
        )

    def _split(self) -> Split:
        """Medians, part by part."""
        made = [self.runner.split(self.image(number))[1] for number in range(_SPLIT_FRAMES)]
        return Split(
            preprocess=_median([split.preprocess for split in made]),
            copy_in=_median([split.copy_in for split in made]),
            network=_median([split.network for split in made]),
            postprocess=_median([split.postprocess for split in made]),
            copy_out=_median([split.copy_out for split in made]),
            wall=median(split.wall for split in made),
        )

    def _pipelined(self) -> float | None:
        if not self.runner.pipelines:
            return None
        count = max(4, math.ceil(self.options.duration * _PIPELINED_SHARE / median(self.rounds)))
        stream = self.runner.stream(self.image(number) for number in range(count + 2))
        for _ in islice(stream, 2):  # fills the pipeline
            pass
        (seconds,) = run_slice(lambda _: sum(1 for _ in stream), 0)
        return count * len(self.frames[0]) / seconds

    def _camera(self) -> Camera | None:
        rate = self.options.rate
        return watch_camera(self.frame, rate, self.options.duration) if rate is not None else None

    def _layers(self) -> tuple[Layer, ...] | None:
        if not self.options.profile or self.contender.kind not in {"onnx", "plan"}:
            return None
        return tuple(profile(self.contender, self.manifest, self.frames))


def rotating_frames(manifest: Manifest, options: BenchOptions) -> list[Images]:
    """Rotating frames of the artifact's batch, images following each other."""
    samples = islice(open_dataset(options.data, manifest.size), options.images)
    images = [sample.image for sample in samples]
    for image in images:
        if image.shape[:2] != manifest.size:
            got, own = format_size((image.shape[0], image.shape[1])), format_size(manifest.size)
            raise InputError(
                f"an image of {options.data} is {got} and the artifact takes {own}; name other "
                f"data, or export with --size {got}"
            )
    batch = manifest.input.batch or 1
    return [
        np.stack([images[(start + offset) % len(images)] for offset in range(batch)])
        for start in range(len(images))
    ]


def _median(times: list[float | None]) -> float | None:
    known = [one for one in times if one is not None]
    return median(known) if known else None
