"""ONNX Runtime, reduced to what verification and validation need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaformer.border import border
from edaformer.errors import InputError, MissingError, require
from edaformer.machine.gpu import gpu_visible
from edaformer.machine.threads import threads as share

# On a CPU, ONNX Runtime 1.31's fused kernel takes three times as long as Add and LayerNormalization
# on rows of 32 and 64 channels
_SLOWER_ON_CPU = ["SkipLayerNormFusion"]


class OnnxSession:
    """One model in ONNX Runtime, on the CPU unless ``cuda`` is asked for.

    ``frugal`` runs a node as soon as it can be, so that a tensor dies with its last reader even
    where many outputs hang on the graph: with the ranges of EDAFormer-T at 1024x1024 measured, the
    default order takes 9.6 GB and this one 1.3. ``threads`` of the CPU compute (None: as
    ``machine.threads`` says), and sleep while they wait, unless they are ``eager``: then they spin
    within a run, which is quicker on cores of their own and is what edaformer-bench times.
    ``profile`` is the path prefix of ONNX Runtime's own profile, which ``end_profile`` completes.
    """

    def __init__(
        self,
        model: bytes | str,
        *,
        cuda: bool = False,
        frugal: bool = False,
        threads: int | None = None,
        eager: bool = False,
        profile: str | None = None,
    ) -> None:
        ort = require("onnxruntime", "export")
        options = ort.SessionOptions()
        options.log_severity_level = 3  # errors only; the rest is about missing GPUs
        if frugal:
            options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        options.intra_op_num_threads = share(threads)
        if profile is not None:
            options.enable_profiling, options.profile_file_prefix = True, profile
        # Its threads spin while they wait for work, and by default after each run, which halves the
        # speed of whoever shares the cores; validation alternates it with PyTorch
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if not eager:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Q/DQ pairs compute what they say: moved across a transposition in FP8, as it does by
        # default, they make a graph that it then refuses
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        provider = "CUDAExecutionProvider" if cuda else "CPUExecutionProvider"
        with border(lambda said: InputError(f"ONNX Runtime cannot load this model: {said}")):
            self.session: Any = ort.InferenceSession(
                model,
                options,
                providers=[provider],
                disabled_optimizers=None if cuda else _SLOWER_ON_CPU,
                enable_fallback=0,
            )
        if provider not in self.session.get_providers():  # it logs, and takes the CPU
            raise MissingError(
                "ONNX Runtime's CUDA provider does not load here; install the CUDA and cuDNN "
                "it was built for, or use --provider cpu"
            )
        self.input_name: str = self.session.get_inputs()[0].name
        self.output_names: list[str] = [output.name for output in self.session.get_outputs()]

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs by name.

        Raises:
            InputError: if ONNX Runtime refuses, as it does a damaged graph, at work.
        """
        with border(lambda said: InputError(f"ONNX Runtime cannot run this model: {said}")):
            made = self.session.run(None, dict(feed))
        return {
            name: np.asarray(value) for name, value in zip(self.output_names, made, strict=True)
        }

    def end_profile(self) -> str:
        """Stop profiling; the path of the JSON file it wrote."""
        return str(self.session.end_profiling())


def uses_cuda(provider: str) -> bool:
    """Whether ONNX Runtime computes on the GPU, for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        MissingError: if ``cuda`` is asked for and not to be had.
    """
    available = cuda_available()
    if provider == "cuda" and not available:
        raise MissingError(
            "ONNX Runtime has no CUDA provider here; install onnxruntime-gpu and a driver, or "
            "use --provider cpu"
        )
    return available and provider != "cpu"


def cuda_available() -> bool:
    """Whether ONNX Runtime has its CUDA provider and a GPU to run it on."""
    ort = require("onnxruntime", "export")
    return "CUDAExecutionProvider" in ort.get_available_providers() and gpu_visible()
