"""The rows of the results file: each sealed with a hash over its key and its content.

A row is read only if its seal fits, so one changed bit costs its image and changes no result; and
only if what it holds can be: hits among the true and the predicted pixels, both of them all pixels
that count.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.tune.search.setting import Setting, parse_setting
from edaformer.errors import InputError
from edaformer.isr import Places

Counts = NDArray[np.int64]  # (3, classes): hits, true pixels, predicted pixels


@dataclass(frozen=True)
class Latency:
    """A measured frame."""

    seconds: float  # median wall time, image to labels
    file_bytes: int  # of what was run: a plan, or an ONNX file
    spread: float = 0.0  # how far its rounds' medians lie apart, a fraction of ``seconds``


@dataclass(frozen=True)
class Built:
    """What a builder's layer table says of an engine."""

    kernels: int
    traffic_bytes: int  # read and written by all kernels
    fused_blocks: int  # of attention
    dequantise_kernels: int
    file_bytes: int  # of the plan


class ImageRow(NamedTuple):
    """An image that was tried."""

    at: int
    sha256: str


class TrialRow(NamedTuple):
    """A setting on an image."""

    isr: str
    at: int
    counts: bytes  # little-endian 64-bit integers, as Counts has them


class LatencyRow(NamedTuple):
    """A setting that was measured."""

    isr: str
    runs_on: str
    seconds: float
    file_bytes: int
    spread: float


class BuiltRow(NamedTuple):
    """A setting that was built."""

    setting: str
    built_by: str
    kernels: int
    traffic_bytes: int
    fused_blocks: int
    dequantise_kernels: int
    file_bytes: int


@dataclass(frozen=True)
class Seal:
    """Seals the rows of one results file, and reads those whose seal fits."""

    bound: str  # hash of what all rows depend on

    @classmethod
    def of(cls, bound: Mapping[str, str]) -> Seal:
        """For a file of that."""
        return cls(_digest(sorted(bound.items())))

    def image(self, row: ImageRow) -> str:
        """Of an image."""
        return _digest([self.bound, "image", *row])

    def trial(self, row: TrialRow, image_sha256: str) -> str:
        """Of a setting on an image: of that one alone."""
        return _digest([self.bound, "trial", row.isr, row.at, image_sha256, row.counts.hex()])

    def latency(self, row: LatencyRow) -> str:
        """Of a measured setting."""
        return _digest([self.bound, "latency", *row])

    def built(self, row: BuiltRow) -> str:
        """Of a setting that was built."""
        return _digest([self.bound, "built", *row])

    def read_image(self, columns: Sequence[Any]) -> ImageRow | None:
        """None where it is not as it was written."""
        *content, seal = columns
        row = ImageRow(*content)
        return row if _are(row, int, str) and seal == self.image(row) else None

    def read_trial(
        self, columns: Sequence[Any], images: Mapping[int, str], places: Places
    ) -> tuple[Setting, int, Counts] | None:
        """None where it is not as it was written, or its image is not."""
        *content, seal = columns
        row = TrialRow(*content)
        if not _are(row, str, int, bytes) or row.at not in images:
            return None
        if seal != self.trial(row, images[row.at]):
            return None
        setting, counts = _parsed(row.isr, places), _counts(row.counts)
        return None if setting is None or counts is None else (setting, row.at, counts)

    def read_latency(
        self, columns: Sequence[Any], places: Places
    ) -> tuple[Setting, str, Latency] | None:
        """None where it is not as it was written."""
        *content, seal = columns
        row = LatencyRow(*content)
        if not _are(row, str, str, float, int, float) or seal != self.latency(row):
            return None
        setting = _parsed(row.isr, places)
        sound = math.isfinite(row.seconds) and row.seconds > 0 and row.file_bytes >= 0
        sound = sound and math.isfinite(row.spread) and row.spread >= 0
        made = Latency(row.seconds, row.file_bytes, row.spread)
        return (setting, row.runs_on, made) if setting and sound else None

    def read_built(
        self, columns: Sequence[Any], places: Places
    ) -> tuple[Setting, str, Built] | None:
        """None where it is not as it was written."""
        *content, seal = columns
        row = BuiltRow(*content)
        if not _are(row, str, str, int, int, int, int, int) or seal != self.built(row):
            return None
        setting, made = _parsed(row.setting, places), Built(*row[2:])
        sound = made.kernels > 0 and made.traffic_bytes > 0 and min(row[2:]) >= 0
        return (setting, row.built_by, made) if setting and sound else None


def _digest(content: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _are(row: Sequence[Any], *types: type) -> bool:
    """SQLite's columns take any type, whatever they were declared as."""
    return all(type(value) is kind for value, kind in zip(row, types, strict=True))


def _parsed(text: str, places: Places) -> Setting | None:
    try:
        return parse_setting(text, places)
    except InputError:
        return None


def _counts(data: bytes) -> Counts | None:
    """None where no prediction gives such counts."""
    if not data or len(data) % 24:
        return None
    counts = np.frombuffer(data, "<i8").astype(np.int64).reshape(3, -1)
    hits, true, predicted = counts
    sound = (hits >= 0).all() and (hits <= true).all() and (hits <= predicted).all()
    return counts if sound and true.sum() == predicted.sum() else None
