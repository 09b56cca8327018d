"""``edaformer-build --target``: a folder for Triton or DeepStream, of an ONNX file or a plan."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.cli.common import print_json, print_pairs, say, say_next
from edaformer.errors import InputError

if TYPE_CHECKING:
    from edaformer.engines.build.build import BuildResult
    from edaformer.engines.build.compiler import BuildOptions
    from edaformer.engines.handover import HandOver, Target


def hand_over_command(
    model: Path | None,
    target: Target,
    output: Path | None,
    options: BuildOptions,
    build: Callable[[Path, Path], BuildResult],
    *,
    own_runtime: bool,
    on_built: Callable[[BuildResult], None],
    as_json: bool,
) -> None:
    """Build where that is needed, pack, and print.

    Args:
        model: an ``.onnx``, or a plan that is packed as it is.
        target: whom for.
        output: the folder; None: beside the model.
        options: of the build; ``backend`` may also be the one that runs ONNX for the target.
        build: (ONNX, plan) -> the build's result.
        own_runtime: whether our own runtime answers; nothing is built then.
        on_built: told it, once the plan is where it will stay.
        as_json: whether to print JSON.
    """
    from edaformer.engines.artifact.kind import artifact_manifest, is_plan
    from edaformer.engines.build.compiler import BuildOptions
    from edaformer.engines.handover import check_manifest, hand_over, hand_over_runtime
    from edaformer.files import check_new_folder

    if model is None:
        raise InputError("expected a MODEL.onnx or MODEL.plan; make one with edaformer-export")
    path = output or _default(model, target)
    check_manifest(artifact_manifest(model), target, path)
    check_new_folder(path)
    if own_runtime:
        if options != BuildOptions():
            raise InputError(
                f"--runtime edaformer packs {model} as it is; leave the options of a build out"
            )
        _print(hand_over_runtime(model, path), as_json=as_json)
        return
    if is_plan(model):
        if options != BuildOptions():
            raise InputError(
                f"{model} is a plan and is packed as it is; leave the options of a build out"
            )
        _print(hand_over(model, target, path), as_json=as_json)
        return
    _print(_from_onnx(model, target, path, options, build, on_built), as_json=as_json)


def _default(model: Path, target: Target) -> Path:
    if target == "triton":
        return model.parent / "model_repository" / model.stem
    return model.with_name(f"{model.stem}-deepstream")


def _from_onnx(
    model: Path,
    target: Target,
    path: Path,
    options: BuildOptions,
    build: Callable[[Path, Path], BuildResult],
    on_built: Callable[[BuildResult], None],
) -> HandOver:
    """The ONNX file itself where its own backend is asked for, else the plan built of it."""
    from edaformer.engines.artifact.onnx_file import read_onnx_manifest
    from edaformer.engines.build.build import check_bounds
    from edaformer.engines.build.compiler import BuildOptions
    from edaformer.engines.handover import SERVED_AS_ONNX, hand_over
    from edaformer.machine import backend

    runs_onnx = SERVED_AS_ONNX[target]
    if options.backend == runs_onnx:
        only = BuildOptions(options.backend, batches=options.batches, sizes=options.sizes)
        if options != only:
            raise InputError(
                f"--backend {runs_onnx} packs the ONNX file, and nothing is built; leave the "
                "options of a build out, bounds excepted"
            )
        bounds = check_bounds(options, read_onnx_manifest(model))
        return hand_over(model, target, path, bounds=bounds)
    chosen = backend.use(options.backend)
    if chosen.flavour != "tensorrt":
        raise InputError(
            f"{target} loads plans of tensorrt, and here {chosen.flavour} would build; build where "
            f"it will run with --backend tensorrt, or hand the ONNX file over with --backend "
            f"{runs_onnx}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
        plan = Path(folder) / "model.plan"
        result = build(model, plan)
        made = hand_over(plan, target, path)
    on_built(replace(result, path=_plan_in(made)))
    return made


def _plan_in(made: HandOver) -> Path:
    return next(made.path / name for name in made.files if name.endswith("model.plan"))


def _print(made: HandOver, *, as_json: bool) -> None:
    from edaformer.engines.handover.trtexec import trtexec_line

    if as_json:
        print_json(made.to_json())
    else:
        print_pairs(str(made.path), [("for", made.target), *(("", name) for name in made.files)])
    if made.manifest.engine is not None:
        say(f"alone: {trtexec_line(_plan_in(made), made.manifest)}")
    if made.target == "triton":
        say_next("tritonserver", f"--model-repository={made.path.parent}")
    else:
        config = shlex.quote(str(made.path / "config_infer.txt"))
        say(f"next, in a pipeline of GStreamer: nvinfer config-file-path={config}")


def check_runtime(runtime: str | None, target: str | None) -> None:
    """Refuse --runtime where no Triton would use it."""
    if runtime is not None and target != "triton":
        raise InputError("--runtime is for --target triton; add that, or leave --runtime out")


def check_alone(*, repeat: bool, from_manifest: bool, force: bool) -> None:
    """Refuse what makes no sense with --target."""
    if repeat or from_manifest:
        raise InputError("--target packs one build; leave out --repeat and --from-manifest")
    if force:
        raise InputError("--target never replaces a folder; remove it, and leave out --force")
