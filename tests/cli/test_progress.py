"""What a person who waits is told, and when."""

from __future__ import annotations

import threading
import time

import pytest

from edaformer.cli import progress


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SILENCE", 0.05)


def test_images_have_rate_and_time_left() -> None:
    assert progress._line(25, 100, 5.0) == "... 25 of 100, 5.00 images/s, 15 s left"
    assert progress._line(25, None, 5.0) == "... 25, 5.00 images/s"
    assert progress._line(0, 100, 5.0) == "... no image yet, 5 s"  # the first was skipped
    told = progress._line(25, 100, 5.0, "2 workers, 1 died")
    assert told == "... 25 of 100, 5.00 images/s, 15 s left, 2 workers, 1 died"


def test_images_are_counted_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.image_progress() as on_image:
        on_image(0, 100)
        wait_for("... no image yet, ", capsys)
        on_image(25, 100)
        wait_for("... 25 of 100, ", capsys)
    assert threads() == []


def test_a_step_that_takes_long_is_said_again(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        with progress.steps("loading") as on_step:
            wait_for("... loading, ", capsys)
            on_step("tracing the graph")
            wait_for("... tracing the graph\n... tracing the graph, ", capsys)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert threads() == []


def test_a_quick_first_step_is_not_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SILENCE", 60)
    with progress.steps("loading"):
        pass
    assert capsys.readouterr() == ("", "")
    assert threads() == []


def wait_for(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    told, deadline = "", time.monotonic() + 60
    while words not in told:
        assert time.monotonic() < deadline, told
        time.sleep(0.02)
        told += capsys.readouterr().err


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "progress"]
