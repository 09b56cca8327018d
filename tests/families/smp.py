"""segmentation_models_pytorch's own classes.

Its package and timm import torchvision, of which these use nothing: they are imported with an
empty one in its place, which is taken away again.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Any

import pytest
from torch import nn

from tests.families.segformer.pooled import PooledKeys
from tests.tiny import shaken

ENCODERS = ("mit_b0", "tu-pvt_v2_b0")


class _Anything(type):
    """A class with every attribute, each its own name."""

    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class _Empty(ModuleType):
    """A module with every class; modules to derive from."""

    __path__: Sequence[str] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (nn.Module,), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        del module


@contextmanager
def _empty_torchvision() -> Iterator[None]:
    finder = _Finder()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]


@lru_cache(maxsize=1)
def smp() -> Any:
    """The package."""
    with _empty_torchvision():
        return pytest.importorskip(
            "segmentation_models_pytorch", reason="needs segmentation-models-pytorch: make setup",
        )  # fmt: skip


def smp_model(
    seed: int = 0, *, kind: str = "Segformer", encoder: str = "mit_b0", **changes: Any
) -> Any:
    """One of its models, of five classes, with seeded weights."""
    narrow = {"decoder_segmentation_channels": 24} if kind == "Segformer" else {}
    options = {"classes": 5, **narrow, **changes}
    return shaken(getattr(smp(), kind)(encoder, encoder_weights=None, **options), seed)


def pool_smp(model: Any, factors: Sequence[int], size: tuple[int, int]) -> None:
    """ISR on its own modules, for images of one size."""
    for stage, factor in enumerate(factors, start=1):
        for block in _blocks(model.encoder, stage):
            trained = block.attn.sr.kernel_size[0] if hasattr(block.attn.sr, "kernel_size") else 1
            stride = min(2 << stage, model.encoder.output_stride) * trained
            reduced = (size[0] // stride, size[1] // stride)
            block.attn.kv = PooledKeys(block.attn.kv, reduced, factor)


def _blocks(encoder: Any, stage: int) -> Any:
    """Of its own MiT, or of timm's PVTv2."""
    if hasattr(encoder, "model"):
        return getattr(encoder.model, f"stages_{stage - 1}").blocks
    return getattr(encoder, f"block{stage}")
