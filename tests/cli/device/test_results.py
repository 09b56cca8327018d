"""A device's answers are other people's bytes: what is none is one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edaformer.cli.device.results import print_result
from edaformer.engines.artifact.preflight import preflight
from edaformer.engines.build.build import BuildResult
from edaformer.errors import EdaformerError
from edaformer.labels.witness import Trial

SPOILT: tuple[Any, ...] = (None, [], {}, "x", -1, [[]], {"a": [1]})


def answers(plan: BuildResult) -> dict[str, dict[str, Any]]:
    check = preflight(plan.path).to_json() | {"witness": Trial(8, 3, 100, ()).to_json()}
    run = {"artifact": "model.plan", "description": "x", "frames": 1, "dropped": 0, "seconds": 1.0,
           "skipped": [], "classes": [], "pictures": [], "video": None, "stats": None}  # fmt: skip
    return {"check": json.loads(json.dumps(check)), "build": plan.to_json(), "run": run}


@pytest.mark.parametrize("command", ["check", "build", "run"])
def test_spoilt_answers(command: str, small_plan: BuildResult, tmp_path: Path) -> None:
    sound = answers(small_plan)[command]
    print_result(command, sound, tmp_path / "none", small_plan.path)
    changed = [sound | {name: value} for name in sound for value in SPOILT]
    refused = [told for told in changed if is_refused(command, told, small_plan.path)]
    assert len(refused) > len(sound)


def is_refused(command: str, told: dict[str, Any], artifact: Path) -> bool:
    """In a sentence: what else it raises fails the test."""
    try:
        print_result(command, told, artifact.with_name("none"), artifact)
    except EdaformerError:
        return True
    return False


def test_a_wrong_label_is_told(
    small_plan: BuildResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"frame": "noise", "pixels": 70, "margin": 1.5, "tolerance": 0.02}
    told = answers(small_plan)["check"] | {
        "witness": {"right": False, "frames": 8, "ties": 0, "failures": [wrong]}
    }
    print_result("check", told, tmp_path / "none", small_plan.path)
    said = " ".join(capsys.readouterr().out.split())
    assert "WRONG on 1 of 8 witness frames; on 'noise' 70 pixels flipped" in said


@pytest.mark.parametrize("command", ["bench", "validate"])
@pytest.mark.parametrize("told", [{}, {"results": 1}, {"labels": None}])
def test_what_is_no_answer(
    command: str, told: dict[str, Any], small_plan: BuildResult, tmp_path: Path
) -> None:
    with pytest.raises(EdaformerError, match="use the same version on both machines"):
        print_result(command, told, tmp_path / "none", small_plan.path)
