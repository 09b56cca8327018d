"""Artifacts to hand over: plans that are a header and a manifest, all that packing reads."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from edaformer.engines.artifact.plan import write_plan
from edaformer.manifest import Bounds, EngineRecord, Manifest, network_name
from tests.standins.network import Kind, make_manifest

WritePlan = Callable[..., Path]


@pytest.fixture(scope="session")
def schema() -> ModuleType:
    """The generated module alone: its package would import gRPC."""
    package = importlib.util.find_spec("tritonclient")
    assert package is not None
    assert package.submodule_search_locations is not None
    path = Path(package.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def write(tmp_path: Path) -> WritePlan:
    """Write ``model.plan`` of a kind of export."""

    def plan(
        kind: Kind, *, bounds: Bounds | None = None, tag: bytes = b"ftrt", dynamic: bool = False
    ) -> Path:
        manifest = make_manifest(kind).model_copy(
            update={"classes": ("road", 'a "quoted\\" one', "tree; bush", "höhe", "sign")}
        )
        if dynamic:
            spec = manifest.input.model_copy(update={"dynamic_size": True})
            manifest = manifest.model_copy(update={"input": spec})
        return write_header(tmp_path / "model.plan", manifest, bounds, tag)

    return plan


def write_header(path: Path, manifest: Manifest, bounds: Bounds | None, tag: bytes) -> Path:
    data = tag + bytes(20) + bytes([10, 3, 0, 30]) + bytes(8) + network_name(manifest).encode()
    flavour = "tensorrt-rtx" if tag == b"vtrt" else "tensorrt"
    record = EngineRecord(
        flavour=flavour, version="10.3.0.30", compute_capabilities=(), flags=(),
        workspace_bytes=None, warnings=(), plan_sha256=hashlib.sha256(data).hexdigest(),
        plan_bytes=len(data), bounds=bounds,
    )  # fmt: skip
    write_plan(path, data, manifest.model_copy(update={"engine": record}))
    return path
