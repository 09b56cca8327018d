"""The PTX that is shipped: what NVRTC 12.6 makes of the sources, readable on JetPack 6."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest

from edaformer.engines.runtime.kernels import PTX
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_kernels", ROOT / "tools/build_kernels.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def nvrtc(tool: ModuleType) -> object:
    try:
        return tool.Nvrtc.installed()
    except SystemExit as reason:
        pytest.skip(str(reason))


def test_jetpack_6_reads_it() -> None:
    text = PTX.read_text()
    version = re.findall(r"^\.version (\d+)\.(\d+)$", text, re.MULTILINE)
    assert [tuple(map(int, found)) <= (8, 5) for found in version] == [True]
    assert re.findall(r"^\.target (.+)$", text, re.MULTILINE) == ["sm_75"]
    entries = re.findall(r"^\.visible \.entry (\w+)\(", text, re.MULTILINE)
    assert sorted(entries) == [
        "argmax_float", "argmax_half", "frame_image", "frame_tensor", "labels_nearest",
        "margin_float", "margin_half",
    ]  # fmt: skip


def test_nothing_is_contracted() -> None:
    """A fused multiply-add rounds once where a host rounds twice; .rn keeps the driver from it."""
    found = set(re.findall(r"\t((?:fma|mul|add|sub)\.(?:\w+\.)*f32)\b", PTX.read_text()))
    assert found == {"mul.rn.f32", "add.rn.f32", "sub.rn.f32"}


def test_it_is_built_from_the_sources(tool: ModuleType, nvrtc: ModuleType) -> None:
    assert nvrtc.compile(tool.ARCHITECTURE) == PTX.read_bytes()


@pytest.mark.parametrize("wanted", ["sm_87", "sm_89", "sm_90", "newest"])
def test_it_compiles_for(nvrtc: ModuleType, wanted: str) -> None:
    """Orin, Ada, Hopper, and Thor (sm_110) or the newest that this compiler knows."""
    newest = max(nvrtc.architectures())
    name = f"sm_{newest}" if wanted == "newest" else wanted
    assert nvrtc.compile(name)[:4] == b"\x7fELF"
