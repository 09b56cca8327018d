"""A plan in TensorRT: its input and outputs, their shapes and addresses, and one execution.

What TensorRT 10.3 has is enough; what came later is used where it is there (hasattr).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edaformer.errors import DeviceError, InputError
from edaformer.labels.geometry import Geometry, Size

if TYPE_CHECKING:
    from edaformer.engines.artifact.plan import Plan
    from edaformer.engines.runtime.cache import RuntimeCache
    from edaformer.engines.runtime.cuda.gpu import Gpu

_BYTES = {"FLOAT": 4, "HALF": 2, "UINT8": 1}
_ALIGNMENT = 256  # bytes, of a tensor's address: NvInferRuntime.h, setTensorAddress


@dataclass(frozen=True)
class Shape:
    """What the network is set to: images at once, where they lie in its input, what it gives."""

    batch: int
    geometry: Geometry
    fed: Size  # of the input
    output: tuple[int, ...]  # of logits or probabilities (B, classes, h, w), or labels (B, H, W)


class Network:
    """A loaded plan; everything happens in the GPU's current context."""

    def __init__(self, plan: Plan, gpu: Gpu, *, runtime_cache: bool) -> None:
        from edaformer.machine import backend

        chosen = backend.use(plan.flavour)
        self.manifest = plan.known_manifest()
        self.version = chosen.version
        self.gpu = gpu
        self._logger = backend.make_logger()
        self._reasons = backend.last_errors
        self._runtime: Any = backend.create(backend.trt.Runtime, self._logger)
        self._engine: Any = None
        self._config: Any = None  # TensorRT-RTX's of the context, which lives no longer
        self.cache: RuntimeCache | None = None
        self._context: Any = None
        self._buffers: dict[str, Any] = {}  # by tensor
        self._sizes: dict[str, int] = {}
        self._shape: tuple[int, ...] = ()
        try:
            self._load(plan, runtime_cache=runtime_cache)
        except BaseException:
            self.close()  # now: the error's traceback would keep it beyond the GPU's context
            raise

    @property
    def gives_logits(self) -> bool:
        """Whether the output that is used is logits."""
        return self.output == "logits"

    @property
    def gives_labels(self) -> bool:
        """Whether it is labels."""
        return self.output == "labels"

    @property
    def most_images(self) -> int:
        """The largest batch of one execution."""
        fixed = int(self._engine.get_tensor_shape(self.input)[0])
        if fixed != -1:
            return fixed
        return int(self._engine.get_tensor_profile_shape(self.input, 0)[2][0])

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What the input is set to; empty before the first frame."""
        return self._shape

    def shape_for(self, images: int, source: Size) -> Shape:
        """Set the input for ``images`` frames of ``source`` size; the outputs' memory follows.

        A plan with a fixed batch executes all of it. A plan whose input has a dynamic size runs at
        the frame's own, rounded up to a multiple of 32.

        Raises:
            InputError: if the plan does not take it.
            ISRError: if the frame is smaller than the ISR allows.
        """
        wanted, fed, geometry = self._wanted(images, source)
        if wanted != self._shape:
            if not self._context.set_input_shape(self.input, wanted):
                raise InputError(
                    f"the plan does not take an input of {'x'.join(map(str, wanted))} "
                    f"({self._reasons(self._logger)}); build it with a profile that has it"
                )
            self._shape = wanted
            self._allocate()
        output = tuple(self._context.get_tensor_shape(self.output))
        return Shape(wanted[0], geometry, fed, output)

    def buffer(self, tensor: str) -> int:
        """The address of the network's own memory for a tensor."""
        return int(self._buffers[tensor])

    def execute(self, stream: Any, addresses: dict[str, int]) -> None:
        """Put one execution on ``stream``, tensors at ``addresses``, the others in own memory."""
        for name in self._buffers:
            if not self._context.set_tensor_address(name, addresses.get(name, self.buffer(name))):
                raise self._failure(f"cannot place the tensor {name}")
        if not self._context.execute_async_v3(stream.handle):
            raise self._failure("cannot execute the plan")

    def path_beside(self, plan: Plan, suffix: str) -> Path:
        """Where what is kept of the plan on this machine lies."""
        from edaformer.engines.runtime.cache import path_beside

        gpu = self.gpu
        return path_beside(
            plan.path, plan.sha256, gpu.name, gpu.capability, self.version, suffix=suffix
        )

    def is_capturable(self, stream: Any) -> bool:
        """Whether TensorRT lets this be captured in a CUDA graph; where it cannot say, yes."""
        ask = getattr(self._context, "is_stream_capturable", None)
        return ask is None or bool(ask(stream.handle))

    def close(self) -> None:
        """Free everything, in the order in which it depends on each other."""
        try:
            if self.cache is not None and self._context is not None:
                self.cache.save()
            for buffer in self._buffers.values():
                buffer.free()
        finally:
            self._buffers = {}
            for part in ("_context", "cache", "_config", "_engine", "_runtime"):
                setattr(self, part, None)

    def _load(self, plan: Plan, *, runtime_cache: bool) -> None:
        self._engine = self._runtime.deserialize_cuda_engine(plan.path.read_bytes())
        if self._engine is None:
            raise InputError(
                f"{plan.flavour} {self.version} refuses {plan.path} on this machine "
                f"({self._reasons(self._logger)}); it was built by version {plan.version}: "
                "build it again here with edaformer-build"
            )
        self.input: str = self.manifest.input.name
        self.output = self._choose_output(plan.path)
        self.half = self._dtype(self.output) == "HALF"
        self._context = self._make_context(plan, runtime_cache=runtime_cache)

    def _wanted(self, images: int, source: Size) -> tuple[tuple[int, ...], Size, Geometry]:
        """The input's shape, its (H, W) and the geometry, of a fixed or a dynamic size."""
        spec = self.manifest.input
        fixed = tuple(self._engine.get_tensor_shape(self.input))
        nhwc = spec.layout == "NHWC"
        batch = images if fixed[0] == -1 else int(fixed[0])
        size = (int(fixed[1]), int(fixed[2])) if nhwc else (int(fixed[2]), int(fixed[3]))
        geometry = Geometry.of_input(spec, source)
        if spec.dynamic_size:
            self.manifest.isr_value.check_fits(*geometry.padded)
            size = geometry.padded
        shape = (batch, *size, 3) if nhwc else (batch, 3, *size)
        return shape, size, geometry

    def _allocate(self) -> None:
        """Own memory for every tensor; what is large enough stays."""
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            size = _BYTES[self._dtype(name)]
            for side in self._context.get_tensor_shape(name):
                size *= int(side)
            if size <= self._sizes.get(name, -1):
                continue
            if name in self._buffers:
                self._buffers.pop(name).free()
            self._buffers[name] = self.gpu.allocate(size)
            self._sizes[name] = size

    def _dtype(self, tensor: str) -> str:
        return str(self._engine.get_tensor_dtype(tensor).name)

    def _choose_output(self, path: Path) -> str:
        """Logits where there are any: upsampling and argmax are then one kernel of ours."""
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        known = [name for name in ("logits", "labels", "probabilities") if name in names]
        if self.input not in names or not known:
            raise InputError(
                f"{path} has the tensors {', '.join(names)}, expected {self.input} and logits, "
                "labels or probabilities, as its manifest says; export and build it again"
            )
        odd = [name for name in names if self._dtype(name) not in _BYTES]
        if odd:
            raise InputError(
                f"{path} has {odd[0]} in {self._dtype(odd[0])}, expected one of "
                f"{', '.join(_BYTES)}; export and build it again"
            )
        return known[0]

    def _make_context(self, plan: Plan, *, runtime_cache: bool) -> Any:
        """An execution context; TensorRT-RTX compiles its kernels for this GPU now, or has them."""
        from edaformer.machine import backend

        if hasattr(backend.trt, "DynamicShapesKernelSpecializationStrategy"):  # TensorRT-RTX
            self._config = self._engine.create_runtime_config()
            # By default it compiles in the background and runs kernels for any shape meanwhile,
            # which a CUDA graph would then keep
            strategies: Any = backend.trt.DynamicShapesKernelSpecializationStrategy
            self._config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
            if runtime_cache:
                self.cache = self._open_cache(plan)
            context = self._engine.create_execution_context(runtime_config=self._config)
        else:
            context = self._engine.create_execution_context()
        if context is None:
            raise self._failure(f"cannot make {plan.path} ready to run")
        if self.cache is not None:
            self.cache.save()
        return context

    def _open_cache(self, plan: Plan) -> RuntimeCache:
        from edaformer.engines.runtime.cache import RuntimeCache

        return RuntimeCache(self.path_beside(plan, "cache"), self._config)

    def _failure(self, what: str) -> DeviceError:
        return DeviceError(
            f"TensorRT {what} ({self._reasons(self._logger)}); load the engine again"
        )


def is_aligned(address: int) -> bool:
    """Whether TensorRT takes a tensor at this address."""
    return address % _ALIGNMENT == 0
