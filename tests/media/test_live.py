"""Cameras on the network: the newest frame, an end that nobody asked for, another attempt."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from edaformer.errors import FrameError
from edaformer.media import live
from edaformer.media.live import LiveVideo
from tests.field.video import film, network_camera, number


def test_the_newest_frame_is_taken_and_the_others_are_counted() -> None:
    with network_camera(50) as (url, sent):
        frames, late = [], []
        for frame in itertools.islice(LiveVideo(url, "s").frames(), 12):
            frames.append(frame)
            late.append(len(sent) - 1 - int(frame.key[-6:]))
            time.sleep(0.15)  # a network of 7 frames a second
    numbers = [int(frame.key[-6:]) for frame in frames]
    assert [number(frame.pixels) for frame in frames] == [index % 12 for index in numbers]
    assert numbers[-1] + 1 == len(numbers) + sum(frame.dropped for frame in frames)
    assert sum(frame.dropped for frame in frames) > 30
    assert max(late[4:]) < 12  # FFmpeg has a buffer of its own, which does not grow
    times = [frame.time for frame in frames]
    assert times[0] == 0
    assert times[-1] == pytest.approx(11 * 0.15, abs=0.8)


def test_an_end_that_nobody_asked_for() -> None:
    with network_camera(40, frames=8) as (url, _):
        frames = LiveVideo(url, "s").frames()
        with pytest.raises(FrameError, match=r"gave \d+ frames and then no more"):
            list(frames)


def test_it_is_opened_again() -> None:
    heard: list[str] = []
    with network_camera(40, frames=8) as (url, _):
        source = LiveVideo(url, "s", reconnect=2, say=heard.append)
        taken = list(itertools.islice(source.frames(), 12))
    assert len({frame.key for frame in taken}) == 12
    assert all(a.time < b.time for a, b in itertools.pairwise(taken))
    assert "and then no more; attempt 1 of 2" in heard[0]


def test_attempts_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_LONGEST_WAIT", 0.05)
    heard: list[str] = []
    source = LiveVideo("rtsp://127.0.0.1:9/none", "s", reconnect=2, say=heard.append)
    with pytest.raises(FrameError, match=r"OpenCV cannot open rtsp://127.0.0.1:9/none"):
        list(source.frames())
    assert len(heard) == 2


def test_silence_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SILENCE", 0.5)
    with (
        network_camera(0.2) as (url, _),
        pytest.raises(FrameError, match=r"(gave \d frames and then none for|did not open)"),
    ):
        list(LiveVideo(url, "s").frames())


def test_stopping_does_not_wait_for_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SILENCE", 60)
    start = time.monotonic()
    stop = lambda: time.monotonic() - start > 0.3  # noqa: E731
    with network_camera(0.2) as (url, _):
        assert len(list(LiveVideo(url, "s", reconnect=9).frames(stop))) <= 1
    assert time.monotonic() - start < 30


def test_a_film_behind_an_address_is_read_whole(tmp_path: Path) -> None:
    """It has an end, so nothing is passed over and its end is no error."""
    film(tmp_path / "v.mp4", [index / 25 for index in range(12)])
    frames = []
    for frame in LiveVideo((tmp_path / "v.mp4").as_uri(), "s").frames():
        time.sleep(0.01)
        frames.append(frame)
    assert [number(frame.pixels) for frame in frames] == list(range(12))
    assert [frame.dropped for frame in frames] == [0] * 12
