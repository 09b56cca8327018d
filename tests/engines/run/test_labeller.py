"""Frames of any size through ONNX Runtime: as the geometry defines it, and as the runtime does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.engines.run.labeller import OnnxLabeller, open_labeller, why_refused
from edaformer.engines.runtime import Engine
from edaformer.errors import InputError
from edaformer.manifest import Bounds, EngineRecord
from tests.engines.runtime.test_engine import (  # fixtures: the runtime on stand-ins
    KINDS,
    expected,
    machine,
    pictures,
    plan,
    trt,
)
from tests.standins.network import Kind, write_small_onnx

__all__ = ["expected", "machine", "plan", "trt"]

SIZES = [(60, 90), (33, 200), (1, 1), (300, 77)]


def frames(sizes: list[tuple[int, int]]) -> list[NDArray[np.uint8]]:
    return [pictures(1, size, seed=index)[0] for index, size in enumerate(sizes)]


def onnx(kind: Kind, folder: Path) -> Path:
    path = folder / "small.onnx"
    write_small_onnx(kind, path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_the_definition_s(kind: str, tmp_path: Path, expected) -> None:  # type: ignore[no-untyped-def]
    given = frames(SIZES)
    labeller = OnnxLabeller(onnx(KINDS[kind], tmp_path))
    for frame, labels in zip(given, labeller.stream(iter(given)), strict=True):
        np.testing.assert_array_equal(labels, expected(kind, frame)[0])


@pytest.mark.parametrize(
    "kind",
    ["logits", "labels", "tensor", "two", "any image", "planar", "probabilities", "antialiased"],
)
def test_a_plan_gives_the_same(kind: str, tmp_path: Path, plan) -> None:  # type: ignore[no-untyped-def]
    given = frames([(33, 100), (128, 64)] if KINDS[kind].dynamic else SIZES)
    by_onnx = list(OnnxLabeller(onnx(KINDS[kind], tmp_path)).stream(given))
    labeller = open_labeller(plan(kind))
    assert isinstance(labeller, Engine)
    by_plan = list(labeller.stream(given))
    labeller.close()
    for first, second in zip(by_onnx, by_plan, strict=True):
        np.testing.assert_array_equal(first, second)


def test_frames_are_taken_as_they_are_needed(tmp_path: Path) -> None:
    asked = []

    def endless() -> Iterator[NDArray[np.uint8]]:
        while True:
            asked.append(1)
            yield pictures(1, (60, 90))[0]

    stream = open_labeller(onnx(Kind(), tmp_path)).stream(endless())
    for _ in range(3):
        next(stream)
    assert len(asked) == 3


def test_sizes_that_a_dynamic_input_does_not_take(tmp_path: Path) -> None:
    fixed = read_onnx_manifest(onnx(Kind(), tmp_path))
    assert why_refused(fixed, (1, 1)) is None
    tensor = read_onnx_manifest(onnx(Kind(dynamic=True, input="tensor"), tmp_path))
    assert why_refused(tensor, (60, 96)) is None
    assert why_refused(tensor, (1, 1)) is None  # padded to 32x32, where every ratio fits
    small = tensor.model_copy(update={"isr": "16,8,4,2-2,4,8"})
    assert "is larger than its 8x8 map" in str(why_refused(small, (20, 20)))
    engine = EngineRecord(
        flavour="tensorrt", version="10.3", compute_capabilities=(), flags=(), warnings=(),
        workspace_bytes=None, plan_sha256="0" * 64, plan_bytes=1,
        bounds=Bounds(least=(1, 64, 64), best=(1, 64, 96), most=(1, 128, 128)),
    )  # fmt: skip
    built = tensor.model_copy(update={"engine": engine})
    assert why_refused(built, (100, 128)) is None
    assert "was built for 64x64 to 128x128" in str(why_refused(built, (130, 64)))


def test_the_provider_is_onnx_runtime_s(plan) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="--provider is for ONNX Runtime"):
        open_labeller(plan("labels"), provider="cpu")
