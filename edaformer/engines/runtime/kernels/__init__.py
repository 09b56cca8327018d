"""CUDA kernels: their sources, the PTX made of them, and the layout of their arguments.

``kernels.ptx`` is made by tools/build_kernels.py for compute capability 7.5 in a PTX version that
JetPack 6.1's driver reads; a newer GPU's driver compiles it when an engine is loaded. The
structures here are those of the headers, field by field.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edaformer.labels.geometry import Geometry, Size
from edaformer.labels.resize import RULES, tables
from edaformer.preprocess import Resize

FOLDER = Path(__file__).parent
PTX = FOLDER / "kernels.ptx"
FRAME_THREADS = 128  # frame.cuh, as the other three
LABELS_THREADS = 128
CELLS = 32
ARGMAX_THREADS = 512
_ROWS_A_BLOCK = 8  # of labels: at an upsampling by 8, as many as a row of cells has

_INT, _FLOAT, _POINTER = ctypes.c_int, ctypes.c_float, ctypes.c_void_p


class FrameJob(ctypes.Structure):
    """frame.cuh's."""

    _fields_ = [
        ("frame", _POINTER), ("out", _POINTER), ("tables", _POINTER),
        ("row_taps", _INT), ("column_taps", _INT), ("rounding", _INT * 5),
        ("source_height", _INT), ("source_width", _INT),
        ("height", _INT), ("width", _INT), ("out_height", _INT), ("out_width", _INT),
        ("reversed", _INT), ("fill", ctypes.c_uint32),
    ]  # fmt: skip


class Colours(ctypes.Structure):
    """frame.cuh's Normalisation."""

    _fields_ = [("mean", _FLOAT * 3), ("std", _FLOAT * 3), ("fill", _FLOAT * 3)]


class ArgmaxJob(ctypes.Structure):
    """argmax.cuh's."""

    _fields_ = [
        ("logits", _POINTER), ("labels", _POINTER), ("margin", _POINTER),
        ("classes", _INT), ("height", _INT), ("width", _INT),
        ("out_height", _INT), ("out_width", _INT),
        ("scale_y", _FLOAT), ("scale_x", _FLOAT), ("splits", _INT),
    ]  # fmt: skip


class LabelsJob(ctypes.Structure):
    """labels.cuh's."""

    _fields_ = [
        ("labels", _POINTER), ("out", _POINTER), ("held_height", _INT), ("held_width", _INT),
        ("height", _INT), ("width", _INT), ("out_height", _INT), ("out_width", _INT),
        ("scale_y", _FLOAT), ("scale_x", _FLOAT),
    ]  # fmt: skip


@dataclass(frozen=True)
class Resizing:
    """The tables by which frames of one size are resized, and where the kernel finds them."""

    rule: Resize
    row_taps: int
    column_taps: int
    tables: NDArray[np.int32]  # rows', then columns'
    address: int = 0

    @classmethod
    def of(cls, rule: Resize, geometry: Geometry) -> Resizing:
        """For frames of a geometry; whoever puts the tables somewhere adds the address."""
        rows, columns = tables(rule, geometry.source, geometry.valid)
        if len(columns) % 2 == 0:  # the kernel reads pixels by two: one more, of no weight
            columns = np.pad(columns, ((0, 1), (0, 0)))
        flat = np.concatenate([rows.ravel(), columns.ravel()])
        return cls(rule, len(rows) - 1, len(columns) - 1, flat)


@dataclass(frozen=True)
class Launch:
    """One kernel, ready to be put on a stream."""

    kernel: str  # its entry point in kernels.cu
    grid: tuple[int, int, int]
    threads: int  # a block
    parameters: tuple[
        ctypes.Structure, ...
    ]  # each one's size is a multiple of the next's alignment

    @property
    def arguments(self) -> bytes:
        """As the kernel takes them, one behind the other: drivers refuse a byte more."""
        return b"".join(map(bytes, self.parameters))


def frame_to_image(
    frame: int,
    out: int,
    batch: int,
    geometry: Geometry,
    resizing: Resizing,
    *,
    size: Size,
    fill: tuple[int, int, int],
    reversed_colours: bool,
) -> Launch:
    """uint8 (batch, source, 3) -> uint8 (batch, size, 3).

    Args:
        frame: address of the frames.
        out: address of the network's ``image`` input.
        batch: how many.
        geometry: of one.
        resizing: the tables of that geometry, at their address.
        size: (H, W) of the input, which the valid area opens.
        fill: RGB outside the valid area.
        reversed_colours: whether the frames are BGR.
    """
    job = _frame_job(frame, out, geometry, resizing, size, reversed_colours=reversed_colours)
    job.fill = fill[0] | fill[1] << 8 | fill[2] << 16
    return Launch("frame_image", _grid(size, batch, FRAME_THREADS), FRAME_THREADS, (job,))


def frame_to_tensor(
    frame: int,
    out: int,
    batch: int,
    geometry: Geometry,
    resizing: Resizing,
    *,
    reversed_colours: bool,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    fill: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Launch:
    """uint8 (batch, source, 3) -> normalised float32 (batch, 3, padded).

    ``mean`` and ``std`` are RGB on the 0..255 scale, ``fill`` is what the input holds outside the
    valid area, as it is; the rest is as in frame_to_image.
    """
    size = geometry.padded
    job = _frame_job(frame, out, geometry, resizing, size, reversed_colours=reversed_colours)
    grid = _grid(size, batch, FRAME_THREADS)
    return Launch("frame_tensor", grid, FRAME_THREADS, (job, Colours(mean, std, fill)))


def argmax(
    logits: int,
    shape: tuple[int, int, int, int],
    labels: int,
    geometry: Geometry,
    *,
    half: bool,
    margin: int | None = None,
) -> Launch:
    """Logits (batch, classes, h, w) -> uint8 labels (batch, source).

    Args:
        logits: their address.
        shape: theirs.
        labels: where the labels go.
        geometry: of one frame.
        half: whether the logits are float16 rather than float32.
        margin: where float32 top-2 margins (batch, source) go; None leaves them out.
    """
    batch, classes, height, width = shape
    scale_y, scale_x = geometry.logits_scale((height, width))
    splits = max(1, round(1 / scale_y / _ROWS_A_BLOCK))
    job = ArgmaxJob(
        logits, labels, margin, classes, height, width, *geometry.source, scale_y, scale_x, splits
    )
    name = f"{'argmax' if margin is None else 'margin'}_{'half' if half else 'float'}"
    return Launch(name, (-(-width // CELLS), height, batch * splits), ARGMAX_THREADS, (job,))


def labels_nearest(labels: int, out: int, batch: int, geometry: Geometry, held: Size) -> Launch:
    """uint8 labels (batch, held), which the valid area opens -> (batch, source), the nearest."""
    job = LabelsJob(labels, out, *held, *geometry.valid, *geometry.source, *geometry.labels_scale())
    grid = _grid(geometry.source, batch, LABELS_THREADS)
    return Launch("labels_nearest", grid, LABELS_THREADS, (job,))


def _frame_job(
    frame: int,
    out: int,
    geometry: Geometry,
    resizing: Resizing,
    size: Size,
    *,
    reversed_colours: bool,
) -> FrameJob:
    rule = RULES[resizing.rule]
    return FrameJob(
        frame, out, resizing.address, resizing.row_taps, resizing.column_taps,
        (*rule.row, rule.product_shift, *rule.column),
        *geometry.source, *geometry.valid, *size, int(reversed_colours),
    )  # fmt: skip


def _grid(size: Size, batch: int, threads: int) -> tuple[int, int, int]:
    """Four pixels a thread along a row, a block a row."""
    return -(-size[1] // (4 * threads)), size[0], batch
