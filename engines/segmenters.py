"""Segmenters: PyTorch, ONNX Runtime and TensorRT behind one contract.

A segmenter turns uint8 RGB images (B, H, W, 3) of its size into uint8 labels (B, H, W). Validation
knows only that.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edaformer.engines import backend
from edaformer.engines.onnx_file import read_onnx_manifest
from edaformer.engines.plan import Plan, is_plan, read_plan
from edaformer.errors import InputError, MissingError, require
from edaformer.manifest import Manifest
from edaformer.preprocess import aligned, normalise

if TYPE_CHECKING:
    from edaformer.model import EDAFormer

_log = logging.getLogger(__name__)

Images = NDArray[np.uint8]  # RGB (B, H, W, 3)
Labels = NDArray[np.uint8]  # (B, H, W)


class Segmenter(Protocol):
    """Images in, labels out."""

    description: str  # one line: what computes, in which precision

    def segment(self, images: Images) -> Labels:
        """Labels of every image."""

    def close(self) -> None:
        """Give back what it holds."""


class TorchSegmenter:
    """The reference: PyTorch float32 on the CPU, padded as the artifact pads."""

    def __init__(self, model: EDAFormer, align: int | None) -> None:
        self.model = model
        self.align = align
        self.description = "PyTorch float32"

    def segment(self, images: Images) -> Labels:
        """Labels of every image, one by one: memory does not grow with the batch."""
        return np.stack([self._segment(image) for image in images])

    def close(self) -> None:
        """Nothing to give back."""

    def _segment(self, image: NDArray[np.uint8]) -> Labels:
        import torch

        height, width = image.shape[:2]
        rows, columns = aligned((height, width), self.align)
        pixels = np.zeros((1, 3, rows, columns), np.float32)  # zero after normalisation
        pixels[:, :, :height, :width] = normalise(image[None])
        with torch.inference_mode():
            logits = self.model(torch.from_numpy(pixels)).numpy()
        return labels_from_logits(logits, (rows, columns))[0, :height, :width]


class ArtifactSegmenter:
    """What ONNX and plan have in common: the manifest's input and outputs, fixed batches."""

    def __init__(self, manifest: Manifest, description: str) -> None:
        self.manifest = manifest
        self.description = description

    def segment(self, images: Images) -> Labels:
        """Labels of every image; a fixed batch is filled up by repeating the last."""
        if images.shape[1:3] != self.manifest.size:
            got, own = (f"{h}x{w}" for h, w in (images.shape[1:3], self.manifest.size))
            raise InputError(
                f"the images are {got} and the artifact takes {own}; export it with --size {got}"
            )
        batch = self.manifest.input.batch or len(images)
        made = [
            self._labels(_filled(images[i : i + batch], batch))[: len(images) - i]
            for i in range(0, len(images), batch)
        ]
        return np.concatenate(made)

    def infer(self, feed: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run once: the input array in, outputs by name."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what it holds."""

    def _labels(self, images: Images) -> Labels:
        spec = self.manifest.input
        outputs = self.infer(images if spec.name == "image" else normalise(images))
        if "labels" in outputs:
            return np.asarray(outputs["labels"], np.uint8)
        padded = (spec.padded_height, spec.padded_width)
        return labels_from_logits(outputs["logits"], padded)[:, : spec.height, : spec.width]


class OnnxSegmenter(ArtifactSegmenter):
    """ONNX Runtime; on the CPU an FP16 graph runs as its rounding twin."""

    def __init__(self, path: Path, *, provider: str = "auto") -> None:
        from edaformer.export.runtime import OnnxSession, cuda_available

        manifest = read_onnx_manifest(path)
        if provider == "cuda" and not cuda_available():
            raise MissingError(
                "ONNX Runtime has no CUDA provider here; install onnxruntime-gpu and a driver, or "
                "use --provider cpu"
            )
        on_gpu = provider == "cuda" or (provider == "auto" and cuda_available())
        description = f"ONNX {manifest.precision}, ONNX Runtime {'CUDA' if on_gpu else 'CPU'}"
        if manifest.precision == "fp16" and not on_gpu:
            self.session = OnnxSession(_twin_of(path))
            description += ", float16 rounding emulated"
        else:
            self.session = OnnxSession(str(path), cuda=on_gpu)
        super().__init__(manifest, description)

    def infer(self, feed: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run once."""
        return self.session.run({self.session.input_name: feed})


class PlanSegmenter(ArtifactSegmenter):
    """A TensorRT engine on this machine's GPU, run through Polygraphy."""

    def __init__(self, path: Path) -> None:
        plan = read_plan(path)
        manifest = plan.known_manifest()
        backend.require_gpu(f"running {path.name}")
        chosen = backend.use(plan.flavour)
        super().__init__(manifest, f"{plan.flavour} {chosen.version} {manifest.precision}")
        self.path = path
        self.logger = backend.make_logger()
        self.runner = _activate(plan, self.logger)

    def infer(self, feed: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run once; Polygraphy reuses its output buffers, hence the copies."""
        from polygraphy.exception import PolygraphyException

        try:
            outputs = self.runner.infer({self.manifest.input.name: feed})
        except PolygraphyException as error:
            raise InputError(
                f"{self.path} does not run a batch of {len(feed)} here "
                f"({backend.last_errors(self.logger)}); build it for this batch and this machine"
            ) from error
        return {name: np.array(value) for name, value in outputs.items()}

    def close(self) -> None:
        """Free the engine and its device memory."""
        self.runner.deactivate()


def artifact_manifest(path: Path) -> Manifest:
    """The manifest of an ``.onnx`` or ``.plan``, told apart by content.

    Raises:
        InputError: if it is neither.
        ManifestError: if it has none.
    """
    return read_plan(path).known_manifest() if is_plan(path) else read_onnx_manifest(path)


def open_artifact(path: Path, *, provider: str = "auto") -> ArtifactSegmenter:
    """The segmenter of an ``.onnx`` or ``.plan``, told apart by content.

    Raises:
        InputError: if it is neither.
        MissingError: for a plan without a GPU.
    """
    if not is_plan(path):
        return OnnxSegmenter(path, provider=provider)
    if provider != "auto":
        raise InputError(f"--provider is for ONNX Runtime, and {path.name} is a plan; leave it out")
    return PlanSegmenter(path)


def labels_from_logits(logits: NDArray[np.float32], size: tuple[int, int]) -> Labels:
    """Resize (B, classes, h, w) to ``size`` bilinearly with half-pixel centres, then argmax."""
    import torch

    from edaformer.model.decoder import upsample

    with torch.inference_mode():
        winner = upsample(torch.from_numpy(np.asarray(logits, np.float32)), size).argmax(dim=1)
    return winner.numpy().astype(np.uint8)


def _filled(images: Images, batch: int) -> Images:
    return images[np.minimum(np.arange(batch), len(images) - 1)]


def _twin_of(path: Path) -> bytes:
    require("onnx", "export")
    import onnx_ir as ir

    from edaformer.export.twin import rounding_twin

    data: bytes = ir.to_proto(rounding_twin(ir.load(path))).SerializeToString()
    return data


def _activate(plan: Plan, logger: Any) -> Any:
    """A running Polygraphy runner.

    The plan is loaded with TensorRT's own runtime: for its reasons, and because Polygraphy's loader
    lets it run host code out of the plan.
    """
    wanted = plan.flavour == "tensorrt-rtx"
    os.environ["POLYGRAPHY_USE_TENSORRT_RTX"] = "1" if wanted else "0"  # read at its first import
    from polygraphy import config
    from polygraphy.backend.trt import TrtRunner
    from polygraphy.exception import PolygraphyException
    from polygraphy.logger import G_LOGGER

    if wanted != config.USE_TENSORRT_RTX:
        raise InputError(
            f"Polygraphy serves the other TensorRT in this process; run {plan.path} in another one"
        )
    G_LOGGER.use_python_logging_system = True  # it would print warnings to stdout, and for want of
    G_LOGGER.colors = False  # a package for colours does so all the same
    engine = backend.trt.Runtime(logger).deserialize_cuda_engine(plan.path.read_bytes())
    try:
        if engine is not None:
            runner = TrtRunner(engine)
            runner.activate()
            return runner
    except PolygraphyException as error:
        _log.debug("%s", error)
    except OSError as error:
        raise MissingError(
            f"Polygraphy finds no CUDA runtime here ({error}); install it and name the folder of "
            "libcudart.so in LD_LIBRARY_PATH"
        ) from error
    raise InputError(
        f"{plan.flavour} refuses {plan.path} on this machine ({backend.last_errors(logger)}); it "
        f"was built by version {plan.version}: build it again here with edaformer-build"
    )
