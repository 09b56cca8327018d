"""Segmenters: PyTorch, ONNX Runtime and TensorRT behind one contract.

A segmenter turns uint8 RGB images (B, H, W, 3) of its size into uint8 labels (B, H, W), and into
logits where it has them. Validation knows only that.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edaformer.decide import PassLogits, TileLogits, decide
from edaformer.engines import backend
from edaformer.engines.onnx_file import read_onnx_manifest
from edaformer.engines.plan import Plan, is_plan, read_plan, refuse_provider
from edaformer.errors import InputError, MissingError, require
from edaformer.manifest import Manifest
from edaformer.preprocess import aligned, network_input
from edaformer.protocol import Pass, Size, Tile

if TYPE_CHECKING:
    from edaformer.model.network import Network

_log = logging.getLogger(__name__)

Images = NDArray[np.uint8]  # RGB (B, H, W, 3)
Labels = NDArray[np.uint8]  # (B, H, W)
Logits = NDArray[np.float32]  # (B, classes, h, w) at 1/8 (SegFormer: 1/4) of the size it runs at


class Segmenter(Protocol):
    """Images in, labels out; logits where it has them."""

    description: str  # one line: what computes, in which precision

    @property
    def fill(self) -> tuple[int, int, int]:
        """The pixel for what an image leaves uncovered: the mean colour of its normalisation."""

    def segment(self, images: Images) -> Labels:
        """Labels of every image."""

    def logits(self, images: Images) -> Logits:
        """Logits of every image."""

    def ran_at(self, size: Size) -> Size:
        """The size (H, W) that images of ``size`` are padded to, right and bottom."""

    def close(self) -> None:
        """Give back what it holds."""


class TorchSegmenter:
    """The reference: PyTorch float32 on the CPU, padded as the artifact pads."""

    def __init__(self, model: Network, align: int | None) -> None:
        self.model = model
        self.align = align
        self.description = "PyTorch float32"

    @property
    def fill(self) -> tuple[int, int, int]:
        """The network's mean colour."""
        return self.model.normalisation.fill

    def segment(self, images: Images) -> Labels:
        """Labels of every image, one by one: memory does not grow with the batch."""
        height, width = images.shape[1:3]
        made = [labels_from_logits(self._logits(i), self.ran_at((height, width))) for i in images]
        return np.concatenate(made)[:, :height, :width]

    def logits(self, images: Images) -> Logits:
        """Logits of every image, likewise one by one."""
        return np.concatenate([self._logits(image) for image in images])

    def ran_at(self, size: Size) -> Size:
        """``size`` in multiples of the alignment."""
        return aligned(size, self.align)

    def close(self) -> None:
        """Nothing to give back."""

    def _logits(self, image: NDArray[np.uint8]) -> Logits:
        import torch

        size = self.ran_at((image.shape[0], image.shape[1]))
        pixels = network_input(image[None], "tensor", self.model.normalisation, size)
        with torch.inference_mode():
            made: Logits = self.model(torch.from_numpy(pixels)).numpy()
        return made


class ArtifactSegmenter:
    """What ONNX and plan have in common: the manifest's input and outputs, fixed batches."""

    def __init__(self, manifest: Manifest, description: str) -> None:
        self.manifest = manifest
        self.description = description

    @property
    def fill(self) -> tuple[int, int, int]:
        """The manifest's mean colour."""
        return self.manifest.input.normalisation.fill

    @property
    def outputs(self) -> frozenset[str]:
        """Out of labels, logits and probabilities."""
        return frozenset(output.name for output in self.manifest.outputs)

    def segment(self, images: Images) -> Labels:
        """Labels of every image; a fixed batch is filled up by repeating the last."""
        size = (images.shape[1], images.shape[2])
        return np.concatenate([self._labels(*made, size) for made in self._runs(images)])

    def logits(self, images: Images) -> Logits:
        """Logits of every image, likewise.

        Raises:
            InputError: if the artifact has none.
        """
        if "logits" not in self.outputs:
            raise InputError(
                "this needs logits and the artifact gives none; export it with "
                "--outputs labels,logits"
            )
        runs = [outputs["logits"][:count] for outputs, count in self._runs(images)]
        return np.asarray(np.concatenate(runs), np.float32)

    def ran_at(self, size: Size) -> Size:
        """The padded size, as the manifest has it."""
        return self.manifest.input.ran_at(size)

    def infer(self, feed: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run once: the input array in, outputs by name."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what it holds."""

    def _runs(self, images: Images) -> Iterator[tuple[dict[str, NDArray[Any]], int]]:
        """The outputs of each run, and how many of its images are not there to fill it up."""
        spec, size = self.manifest.input, (images.shape[1], images.shape[2])
        self.manifest.isr_value.check_fits(*self.ran_at(size))
        fed = spec.fed_at(size)
        batch = spec.batch or len(images)
        for start in range(0, len(images), batch):
            part = _filled(images[start : start + batch], batch)
            feed = network_input(part, spec.name, spec.normalisation, fed)
            yield self.infer(feed), min(batch, len(images) - start)

    def _labels(self, outputs: dict[str, NDArray[Any]], count: int, size: Size) -> Labels:
        """Cropped to what was padded, where the graph does not do so itself."""
        if "labels" in outputs:
            made = np.asarray(outputs["labels"][:count], np.uint8)
        elif "logits" in outputs:
            made = labels_from_logits(outputs["logits"][:count], self.ran_at(size))
        else:
            made = np.asarray(outputs["probabilities"][:count].argmax(axis=1), np.uint8)
        return made[:, : size[0], : size[1]]


class OnnxSegmenter(ArtifactSegmenter):
    """ONNX Runtime; on the CPU an FP16 graph runs as its rounding twin."""

    def __init__(self, path: Path, *, provider: str = "auto") -> None:
        from edaformer.export.runtime import OnnxSession, uses_cuda

        manifest = read_onnx_manifest(path)
        on_gpu = uses_cuda(provider)
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
    refuse_provider(path, provider)
    return PlanSegmenter(path)


def labels_from_logits(logits: Logits, size: Size) -> Labels:
    """Resize (B, classes, h, w) to ``size`` bilinearly with half-pixel centres, then argmax."""
    whole = Tile(0, 0, *size, fed=size)
    unchanged = Pass((size,), flipped=False, tiles=(whole,))
    made = [PassLogits(unchanged, (TileLogits(whole, one, size),)) for one in logits]
    return np.stack([decide((one,), size).labels for one in made])


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
