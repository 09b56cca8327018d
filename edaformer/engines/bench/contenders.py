"""Who takes part: the options, the artifacts, and what they are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from edaformer.engines.artifact.kind import artifact_manifest, is_plan, refuse_provider
from edaformer.engines.artifact.preflight import preflight
from edaformer.engines.bench.runners import Contender, Device
from edaformer.engines.bench.state import cores
from edaformer.errors import InputError
from edaformer.families.checkpoint import demo_checkpoint
from edaformer.families.table import Found, find_checkpoint
from edaformer.files import real_path, sha256

Against = Literal["torch", "torch-compile", "onnxruntime"]
AGAINST: tuple[Against, ...] = get_args(Against)


@dataclass(frozen=True)
class BenchOptions:
    """How to measure."""

    data: str = "scenes"
    images: int = 8  # that rotate
    duration: float = 10  # seconds of timed frames for each contender, over all rounds
    rounds: int = 10
    rate: float | None = None  # frames a second of a simulated camera
    against: tuple[Against, ...] = ()
    checkpoint: Path | str | Found | None = None  # for PyTorch; None: the demo's
    provider: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None  # of the CPU; None: all cores
    profile: bool = False

    def __post_init__(self) -> None:
        for name, least, most in (("images", 1, 1000), ("rounds", 1, 1000), ("threads", 1, 1024)):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise InputError(f"expected --{name} of {least} to {most}, got {value}")
        if not 0 < self.duration <= 3600:
            raise InputError(f"expected --duration of up to 3600 s, got {self.duration:g}")
        if self.rate is not None and not 0 < self.rate <= 10000:
            raise InputError(f"expected --rate above 0 and up to 10000, got {self.rate:g}")
        unknown = [name for name in self.against if name not in AGAINST]
        if unknown or len(set(self.against)) != len(self.against):
            known = ", ".join(AGAINST)
            raise InputError(
                f"expected --against out of {known}, each once, got '{','.join(self.against)}'"
            )
        if self.checkpoint is not None and not {"torch", "torch-compile"} & set(self.against):
            raise InputError("--checkpoint is for PyTorch; add --against torch, or leave it out")


def choose(artifacts: Sequence[Path], options: BenchOptions) -> list[Contender]:
    """The artifacts as given, then what the first is compared with.

    Raises:
        InputError: if an artifact is none, or an option does not fit it.
        MissingError: if a GPU or a package is missing.
    """
    if not artifacts:
        raise InputError("expected at least one .onnx or .plan")
    if len({real_path(path) for path in artifacts}) != len(artifacts):
        raise InputError("an artifact is named twice; name each once")
    made = [_artifact(path, options) for path in artifacts]
    others = [_other(name, made[0], options) for name in options.against]
    return [*made, *others]


def _artifact(path: Path, options: BenchOptions) -> Contender:
    plan = is_plan(path)
    if plan:
        preflight(path, asked_by="edaformer-bench").require()
        refuse_provider(path, options.provider)
    else:
        artifact_manifest(path)
    device: Device = "cuda" if plan else _onnx_device(options)
    return Contender("plan" if plan else "onnx", path, device, options.threads or cores())


def _onnx_device(options: BenchOptions) -> Device:
    from edaformer.export.runtime import uses_cuda

    return "cuda" if uses_cuda(options.provider) else "cpu"


def _other(name: Against, first: Contender, options: BenchOptions) -> Contender:
    if name != "onnxruntime":
        checkpoint = find_checkpoint(options.checkpoint or demo_checkpoint())
        made = artifact_manifest(first.artifact)
        if checkpoint.sha256 != made.checkpoint_sha256:
            raise InputError(
                f"{first.artifact} was made from another checkpoint ({made.came_from}) than "
                f"{checkpoint.called}; name its own with --checkpoint"
            )
        return replace(first, kind=name, checkpoint=checkpoint.called)
    if first.kind == "onnx":
        raise InputError(
            f"{first.artifact} runs through ONNX Runtime already; leave it out of --against"
        )
    onnx = first.artifact.with_suffix(".onnx")
    digest = artifact_manifest(first.artifact).onnx_sha256
    if not onnx.is_file() or sha256(onnx) != digest:
        raise InputError(
            f"--against onnxruntime needs the ONNX file that {first.artifact.name} was built from "
            f"(SHA-256 {str(digest)[:12]}...), expected at {onnx}; put it there"
        )
    return replace(first, kind="onnx", artifact=onnx, device=_onnx_device(options))
