"""``edaformer-info --device``: a modelled frame rate, without checkpoint or data."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from edaformer.cli.main import app
from edaformer.export.exporter import ExportResult


def info(*arguments: object) -> str:
    ran = CliRunner().invoke(app, ["info", *map(str, arguments)])
    assert ran.exit_code == 0, ran.stderr
    return ran.stdout


def test_of_a_variant() -> None:
    told = info("T", "--size", "384x480", "--isr", "paper", "--device", "orin-nano")
    assert "modelled on    Jetson Orin Nano 8GB, 15 W" in told
    assert "a second at most" in told


def test_of_an_artifact_at_its_own_size_and_isr(small_export: ExportResult) -> None:
    made = json.loads(info(small_export.path, "--device", "rtx-4070", "--json"))
    assert made["modelled"]["device"] == "rtx-4070"
    assert 0 < made["modelled"]["seconds"] < made["modelled"]["seconds_base"]
    assert f"or more at {small_export.manifest.isr}" in info(
        small_export.path, "--device", "rtx-4070"
    )


def test_two_side_by_side(small_export: ExportResult) -> None:
    told = info("T", small_export.path, "--device", "orin-nano")
    assert told.count("a second at most") == 2


@pytest.mark.parametrize("device", ["this", "rtx-4070-ti"])
def test_an_unknown_device_lists_the_known(device: str) -> None:
    ran = CliRunner().invoke(app, ["info", "T", "--device", device])
    assert ran.exit_code == 2
    assert "one of orin-nano, orin-nano-super, orin-nx, agx-orin, thor, rtx-3060" in ran.stderr
