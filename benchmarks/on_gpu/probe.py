"""Whether TensorRT-RTX takes this GPU: validity, then deserialisation, for both targets."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from on_gpu.run import Skipped

if TYPE_CHECKING:
    from on_gpu.run import Keep, Run

TARGETS = ("default", "CURRENT")
# NvInferRuntime.h: EngineInvalidityDiagnostics, the bits of get_engine_validity's second value
_DIAGNOSTICS = {
    1: "made by another version", 2: "compute capability not supported", 4: "CUDA driver too old",
    8: "CUDA runtime too old", 16: "not enough GPU memory", 32: "malformed engine",
    64: "CUDA error",
}  # fmt: skip


def cases(run: Run) -> tuple[str, ...]:
    """What a plan is built for."""
    del run
    return TARGETS


def work(run: Run, target: str, keep: Keep) -> None:
    """A one-layer network, built for ``target``, and what the runtime says of it."""
    del run
    trt = _rtx()
    keep(version=trt.__version__, built=False)
    logger = _logger(trt, keep)
    plan = _build(trt, logger, target)
    if plan is None:
        return
    keep(built=True, plan_bytes=len(plan))
    runtime = trt.Runtime(logger)
    keep(**decode(runtime.get_engine_validity(plan)))
    engine = runtime.deserialize_cuda_engine(plan)
    keep(deserialised=engine is not None)
    context = engine.create_execution_context() if engine is not None else None
    keep(context=context is not None)


def validity(plan: Path, keep: Keep) -> None:
    """What TensorRT-RTX's runtime says of a plan, where it can say it."""
    trt = _rtx()
    runtime = trt.Runtime(_logger(trt, keep))
    keep(**decode(runtime.get_engine_validity(plan.read_bytes())))


def decode(answer: tuple[Any, Any]) -> dict[str, Any]:
    """get_engine_validity's two values, the second one's bits in words."""
    kind, diagnostics = answer
    number = int(diagnostics.value if isinstance(diagnostics, Enum) else diagnostics)
    words = [text for bit, text in _DIAGNOSTICS.items() if number & bit]
    unknown = number & ~sum(_DIAGNOSTICS)
    return {"validity": getattr(kind, "name", str(kind)), "diagnostics_bits": number,
            "diagnostics": words + [f"unknown bits {unknown:#x}"] * bool(unknown)}  # fmt: skip


def _build(trt: Any, logger: Any, target: str) -> bytes | None:
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    tensor = network.add_input("x", trt.float32, (1, 8))
    network.mark_output(network.add_activation(tensor, trt.ActivationType.RELU).get_output(0))
    config = builder.create_builder_config()
    if target == "CURRENT":
        config.num_compute_capabilities = 1
        config.set_compute_capability(trt.ComputeCapability.CURRENT, 0)
    plan = builder.build_serialized_network(network, config)
    return None if plan is None else bytes(plan)


def _rtx() -> Any:
    try:
        import tensorrt_rtx
    except (ImportError, OSError) as error:
        raise Skipped(f"tensorrt_rtx does not import: {error}") from error
    return tensorrt_rtx


def _logger(trt: Any, keep: Keep) -> Any:
    """Keeps what TensorRT says at once: the next call may raise, or not return."""
    log: list[str] = []

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR, trt.ILogger.WARNING):
                log.append(f"{severity.name}: {msg}")
                keep(log=log)

    return Logger()
