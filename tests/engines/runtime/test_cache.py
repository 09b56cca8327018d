from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from edaformer.engines.runtime.cache import RuntimeCache, path_beside


class Cache:
    """TensorRT-RTX's IRuntimeCache, as its docstrings have it; test_api compares the names."""

    def __init__(self) -> None:
        self.content = b"fresh"

    def deserialize(self, blob: bytes) -> bool:
        if not blob.startswith(b"good"):
            return False
        self.content = bytes(blob)
        return True

    def serialize(self) -> memoryview:
        return memoryview(self.content)


class Config:
    def __init__(self) -> None:
        self.cache: Cache | None = None

    def create_runtime_cache(self) -> Cache:
        return Cache()

    def set_runtime_cache(self, cache: Cache) -> bool:
        self.cache = cache
        return True


def test_cold_then_warm(tmp_path: Path) -> None:
    path, config = tmp_path / "a.cache", Config()
    cold = RuntimeCache(path, config)
    assert not cold.was_warm
    assert config.cache is cold.cache
    cold.cache.content = b"good, compiled"
    cold.save()
    warm = RuntimeCache(path, Config())
    assert warm.was_warm
    assert warm.cache.content == b"good, compiled"
    before = path.stat().st_ino
    warm.save()
    assert path.stat().st_ino == before


def test_what_does_not_fit_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.cache"
    path.write_bytes(b"of another driver")
    cache = RuntimeCache(path, Config())
    assert not cache.was_warm
    cache.save()
    assert path.read_bytes() == b"fresh"


def test_nothing_to_keep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = RuntimeCache(tmp_path / "a.cache", Config())
    monkeypatch.setattr(Cache, "serialize", lambda _: None)
    cache.save()
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.cache").mkdir()
    RuntimeCache(tmp_path / "a.cache", Config()).save()
    assert "the next load compiles again" in caplog.text


def test_two_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.cache"
    caches = [RuntimeCache(path, Config()) for _ in range(4)]
    for number, cache in enumerate(caches):
        cache.cache.content = b"good %d" % number * 100_000
    threads = [threading.Thread(target=cache.save) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in {cache.cache.content for cache in caches}


def test_its_name() -> None:
    path = path_beside(
        Path("/m/model.plan"),
        "abcdef0123456789",
        "NVIDIA RTX 4090",
        (8, 9),
        "1.7.1",
        suffix="cache",
    )
    assert path == Path("/m/model.plan.abcdef012345-nvidia-rtx-4090-sm89-1.7.1.cache")


def test_api() -> None:
    trt: Any = pytest.importorskip("tensorrt_rtx")
    for standin, real in ((Cache, trt.IRuntimeCache), (Config, trt.IRuntimeConfig)):
        assert {name for name in vars(standin) if not name.startswith("_")} <= set(dir(real))
    assert {"create_runtime_config", "create_execution_context"} <= set(dir(trt.ICudaEngine))
    assert "is_stream_capturable" in dir(trt.IExecutionContext)
    assert "runtime_config:" in trt.ICudaEngine.create_execution_context.__doc__
    assert "tensorrt_rtx" in sys.modules
