"""Where a ladder's rungs are built: never here for a machine that is not this one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edaformer.engines.tune import rungs
from edaformer.engines.tune.budget import Budget
from edaformer.engines.tune.result import Point, Runs, Tuning
from edaformer.export.options import ExportOptions
from edaformer.families.checkpoint import Checkpoint
from edaformer.isr import BASE

POINT = Point(BASE, 80.0, 0.0, 0.0, None, None, 3.5, 0.0, None, None, 1, "modelled", 1, name="base")


def tuning(device: Runs | None) -> Tuning:
    return Tuning(
        "EDAFormer-T, 5 classes", "0" * 64, "data", 1, 1, 0, (64, 64), 32, "native", Budget(),
        device, 1, 1, 1, (POINT,), POINT, "reason", (POINT,), (), (), 1.0, "edaformer-export",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("device", "gpu", "built", "later"),
    [
        (None, False, True, False),
        (Runs("orin-nano", "Jetson", "modelled", "roofline", None), False, False, True),
        (Runs("orin-nano", "Jetson", "modelled", "roofline", None), True, False, True),
        (Runs("this", "NVIDIA L4", "measured", "median", None), True, True, False),
        (Runs("this", "a CPU", "measured", "median", None), False, False, False),
        (Runs("cpu", "a CPU", "measured", "median", None), True, False, False),
    ],
)
def test_plans_are_built_where_they_will_run(
    device: Runs | None, gpu: bool, built: bool, later: bool, tiny_checkpoint: Checkpoint,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked: list[bool] = []

    def make(_: Any, options: ExportOptions, folder: Path, *, build: bool) -> Path:
        asked.append(build)
        return folder / options.default_name(tiny_checkpoint)

    monkeypatch.setattr(rungs, "make_artifact", make)
    monkeypatch.setattr(rungs, "gpu_visible", lambda: gpu)
    monkeypatch.setattr(rungs.backend, "is_installed", lambda _: True)
    made = rungs.make_ladder(tiny_checkpoint, tuning(device), 1, tmp_path / "a" / "ladder")
    assert asked == [built]
    name = "tiny_base_64x64_fp16.onnx"
    assert made.to_build == ((tmp_path / "a" / "ladder" / name,) if later else ())
    assert json.loads(made.index.read_text())["rungs"][0]["artifact"] == name
