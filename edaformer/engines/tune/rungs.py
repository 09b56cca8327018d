"""A ladder's artifacts: k settings along the front, exported, built where a builder is, indexed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edaformer.engines.run.ladder_index import SCHEMA
from edaformer.engines.tune.device.measure import make_artifact
from edaformer.engines.tune.quantising import Quantising
from edaformer.engines.tune.result import Point, Runs, Tuning, cost_of
from edaformer.engines.tune.search.setting import InEightBits
from edaformer.errors import InputError
from edaformer.export.options import ExportOptions
from edaformer.families.checkpoint import Checkpoint
from edaformer.files import write_whole
from edaformer.machine import backend
from edaformer.machine.gpu import gpu_visible
from edaformer.manifest import AttentionForm
from edaformer.version import __version__

INDEX = "ladder.json"


@dataclass(frozen=True)
class LadderFiles:
    """The index that was written, and its rungs from the most accurate on."""

    index: Path
    artifacts: tuple[tuple[Point, Path], ...]
    to_build: tuple[Path, ...]  # ONNX files that become plans on their device, not here

    def to_json(self) -> dict[str, Any]:
        """Paths and points."""
        rungs = [{**point.to_json(), "artifact": str(path)} for point, path in self.artifacts]
        return {"index": str(self.index), "rungs": rungs}


def choose_rungs(result: Tuning, count: int) -> tuple[Point, ...]:
    """``count`` settings: the pick, and others of the front, spread over its range of costs.

    Raises:
        InputError: if the front has not so many.
    """
    points = {point.setting: point for point in (*result.front, result.pick)}
    if not 1 <= count <= len(points):
        raise InputError(
            f"expected --ladder from 1 to {len(points)}, the settings on the front; got {count}"
        )
    chosen = [result.pick]
    left = [point for point in points.values() if point.setting != result.pick.setting]
    while len(chosen) < count:
        farthest = max(left, key=lambda one: min(abs(cost_of(one) - cost_of(c)) for c in chosen))
        chosen.append(farthest)
        left.remove(farthest)
    return tuple(sorted(chosen, key=lambda point: (-cost_of(point), -point.miou)))


def make_ladder(
    checkpoint: Checkpoint,
    result: Tuning,
    count: int,
    folder: Path,
    *,
    attention: AttentionForm = "fused",
    quantising: Quantising | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> LadderFiles:
    """Export ``count`` settings, build them where they will run, and index them.

    One in eight bits is exported so, as ``quantising`` calibrated it. They stay ONNX files where
    the tuning was for another machine, whose GPU no plan of this one runs on; an index takes the
    plans that are built beside them later. It is written last: where it is, everything it names is
    there.

    Raises:
        InputError: if the front has not so many settings.
        GateError: if an export or a plan does not verify.
    """
    points = choose_rungs(result, count)
    folder.mkdir(parents=True, exist_ok=True)
    runs_on = _runs_on(result.device)
    builds = runs_on == "this GPU" and any(map(backend.is_installed, backend.FLAVOURS))
    made = []
    for number, point in enumerate(points, start=1):
        on_step(f"rung {number} of {count}: {point.setting}")
        if isinstance(point.setting, InEightBits) and quantising is not None:
            path = quantising.artifact(checkpoint, point.setting, result.size, folder, build=builds)
        else:
            options = ExportOptions(isr=point.isr, size=result.size, attention=attention)
            path = make_artifact(checkpoint, options, folder, build=builds)
        made.append((point, path))
    later = () if builds or runs_on == "this CPU" else tuple(path for _, path in made)
    files = LadderFiles(folder / INDEX, tuple(made), later)
    write_whole(files.index, json.dumps(_index(result, files), indent=1).encode())
    return files


def _runs_on(device: Runs | None) -> Literal["this GPU", "this CPU", "elsewhere"]:
    """Where the rungs will run; without a device nobody says otherwise than here."""
    if device is None:
        return "this GPU"
    if device.source == "modelled":
        return "elsewhere"
    return "this GPU" if device.name != "cpu" and gpu_visible() else "this CPU"


def _index(result: Tuning, files: LadderFiles) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA,
        "tool_version": __version__,
        "checkpoint_sha256": result.checkpoint_sha256,
        "size": list(result.size),
        "rungs": [{**point.to_json(), "artifact": path.name} for point, path in files.artifacts],
    }
