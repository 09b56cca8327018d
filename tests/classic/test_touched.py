"""The table of what our code touches of TensorRT is that of our code."""

from __future__ import annotations

import json

from tests.classic import releases
from tests.classic.touched import touched

TABLE = json.loads((releases.HERE / "api.json").read_text())
# Asked for with hasattr or getattr, or reached only where TensorRT-RTX is
GUARDED = {
    "BuilderFlag.REQUIRE_USER_ALLOCATION",
    "ComputeCapability",
    "DynamicShapesKernelSpecializationStrategy",
    "IBuilderConfig.num_compute_capabilities",
    "IBuilderConfig.set_compute_capability",
    "ICudaEngine.create_runtime_config",
    "IExecutionContext.is_stream_capturable",
}


def test_it_is_up_to_date() -> None:
    assert sorted(TABLE) == touched(), "run: python -m tests.classic.touched"


def test_what_a_release_lacks_is_guarded() -> None:
    lacking = {name for name, row in TABLE.items() if row != "all"}
    assert lacking == GUARDED


def test_the_calls_of_a_build_are_found() -> None:
    """That the search finds what is there, and not only itself."""
    assert {"IBuilderConfig.clear_flag", "IExecutionContext.execute_async_v3"} <= set(touched())
