"""What a benchmark found: a record that docs/benchmark.md describes field by field.

Times are seconds, sizes bytes, rates frames a second, agreement fractions of pixels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edaformer.engines.bench.probe import Start
from edaformer.engines.bench.profile import Layer
from edaformer.engines.bench.recorded import Recorded
from edaformer.engines.bench.runners import Split
from edaformer.engines.bench.state import State
from edaformer.engines.bench.timing import Camera, Latency, Warmup
from edaformer.errors import InputError
from edaformer.json_text import read_json

SCHEMA = 1


@dataclass(frozen=True)
class Subject:
    """What was run, and how."""

    name: str
    kind: str
    description: str
    artifact: str
    sha256: str
    variant: str
    isr: str
    precision: str
    size: str  # HxW, valid pixels
    batch: int
    outputs: tuple[str, ...]
    settings: dict[str, Any]
    recorded: Recorded | None = None  # of an artifact: by its manifest


@dataclass(frozen=True)
class Result:
    """One contender's figures; a frame is a batch where the batch is larger than one."""

    subject: Subject
    starts: tuple[Start, ...]  # a plan's: without, filling, and with its runtime cache
    warmup: Warmup
    latency: Latency
    rounds: tuple[float, ...]  # median frame time of each round
    split: Split  # medians
    cpu_seconds_per_image: float  # of all its threads: other processes do not lengthen it much
    images_per_second: float  # serial: images over the sum of frame times
    images_per_second_pipelined: float | None  # None: it does not pipeline
    joules_per_image: float | None
    camera: Camera | None
    layers: tuple[Layer, ...] | None

    def to_json(self) -> dict[str, Any]:
        """All of it; ``missed`` beside the camera's counts."""
        content = asdict(self)
        content["camera"] = self.camera.to_json() if self.camera is not None else None
        return content


@dataclass(frozen=True)
class Comparison:
    """``name`` against the first contender, on the same images, round by round."""

    name: str
    first: str
    ratios: tuple[float, ...]  # its median frame time over the first's, in each round
    ratio: float  # their median: how many times faster the first is
    agreement: float | None  # equal labels; None where sizes or checkpoints differ
    worst_margin: float | None  # largest top-2 margin, in float32 logits, where labels differ


@dataclass(frozen=True)
class Record:
    """The whole benchmark."""

    tool_version: str
    created: str  # ISO 8601, UTC
    machine: dict[str, Any]
    settings: dict[str, Any]
    before: State
    after: State
    others_share: float  # of all cores, taken by other processes meanwhile
    marks: tuple[str, ...]  # why the figures may not be reproducible
    results: tuple[Result, ...]
    comparisons: tuple[Comparison, ...]

    def to_json(self) -> dict[str, Any]:
        """The record as docs/benchmark.md describes it."""
        return {
            "schema_version": SCHEMA,
            "tool_version": self.tool_version,
            "created": self.created,
            "machine": self.machine,
            "settings": self.settings,
            "state_before": asdict(self.before),
            "state_after": asdict(self.after),
            "others_share": self.others_share,
            "marks": list(self.marks),
            "results": [result.to_json() for result in self.results],
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
        }


def read_record(path: Path) -> dict[str, Any]:
    """A record as JSON, its schema checked.

    Raises:
        InputError: if it is no record of this schema.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a benchmark's record ({error}); write one with -o"
        ) from error
    schema = content.get("schema_version") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise InputError(f"{path} has record schema {schema}, this version reads {SCHEMA}")
    return dict(content)
