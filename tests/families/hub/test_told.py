"""Downloads that take long are told of in bytes, and huggingface_hub says nothing of its own."""

from __future__ import annotations

import logging
import time

import pytest

from edaformer.families.hub.told import bar, hushed


def test_bytes_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    told: list[str] = []
    with bar("model.safetensors", told.append)(
        total=340_000_000, initial=10_000_000, unit="B"
    ) as one:
        one.update(10_000_000)
        assert told == []
        now += 3.5
        one.update(20_000_000)
        one.update(20_000_000)
        assert told == ["fetching model.safetensors: 40.0 of 340.0 MB"]
        now += 3.5
        one.update(-60_000_000)  # from the start again: the server has no ranges
        assert told[1:] == ["fetching model.safetensors: 0.0 of 340.0 MB"]
        one.set_postfix_str("1 MB/s")  # what Xet's reporter does beside
        one.refresh()
        assert one.format_dict["rate"] is None
    with bar("config.json", told.append)(desc="config.json") as one:
        now += 3.5
        one.update(2_000_000)
    assert told[2:] == ["fetching config.json: 2.0 MB"]
    assert capsys.readouterr() == ("", "")


def test_warnings_are_hushed_and_back_afterwards() -> None:
    logger = logging.getLogger("huggingface_hub")
    with hushed():
        assert not logger.isEnabledFor(logging.WARNING)
    before = logger.level
    assert before == logging.WARNING
    logger.setLevel(logging.DEBUG)
    try:
        with hushed():  # whoever wants to hear it does
            assert logger.isEnabledFor(logging.DEBUG)
    finally:
        logger.setLevel(before)
