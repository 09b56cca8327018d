"""Video files: times, turns, depths, the right stream, names; and the same again when written."""

from __future__ import annotations

import os
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from edaformer.errors import FrameError
from edaformer.media.frames import Frame
from edaformer.media.video import VideoFile
from edaformer.media.writer import Clock, VideoWriter, frames_in
from tests.field.pictures import card
from tests.field.video import TALL, UNEVEN, WIDE, film, number, numbered


def frames_of(path: Path) -> list[Frame]:
    return list(VideoFile(path, "v").frames())


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts"])
def test_a_variable_rate_stays_one(tmp_path: Path, suffix: str) -> None:
    film(tmp_path / f"v{suffix}", UNEVEN)
    frames = frames_of(tmp_path / f"v{suffix}")
    assert [number(frame.pixels) for frame in frames] == list(range(len(UNEVEN)))
    assert [frame.time for frame in frames] == pytest.approx(UNEVEN, abs=0.001)


def big_card(_: int) -> np.ndarray:
    return np.repeat(np.repeat(card(), 2, 0), 2, 1)


@pytest.mark.parametrize(("rotation", "turns"), [(0, 0), (90, 1), (180, 2), (-90, 3)])
def test_rotation(tmp_path: Path, rotation: int, turns: int) -> None:
    film(tmp_path / "v.mp4", [0, 0.04], picture=big_card, rotation=rotation)
    expected = np.rot90(big_card(0), turns)
    for frame in frames_of(tmp_path / "v.mp4"):
        assert frame.pixels.shape == expected.shape
        middles = (slice(12, None, 24), slice(12, None, 24))
        assert np.abs(frame.pixels[middles].astype(int) - expected[middles]).max() < 12


def test_ten_bits(tmp_path: Path) -> None:
    film(tmp_path / "v.mp4", [0, 0.04, 0.08], codec="libx265", pix_fmt="yuv420p10le")
    assert [number(frame.pixels) for frame in frames_of(tmp_path / "v.mp4")] == [0, 1, 2]


@pytest.mark.parametrize(("name", "cover"), [("v.mp4", "mjpeg"), ("v.mp4", "png"),
                                             ("v.mkv", "mjpeg")])  # fmt: skip
@pytest.mark.parametrize("attached", [True, False])
def test_a_cover_picture_is_not_the_film(
    tmp_path: Path, name: str, cover: str, attached: bool
) -> None:
    times = [index / 25 for index in range(10)]
    film(tmp_path / name, times, cover=cover, attached=attached)
    with av.open(str(tmp_path / name)) as container:
        codecs = [stream.codec_context.name for stream in container.streams.video]
    # FFmpeg writes an attached one into MP4's metadata
    assert codecs == (["h264", cover] if attached and name == "v.mp4" else [cover, "h264"])
    source = VideoFile(tmp_path / name, "v")
    assert source.count == 10
    assert [number(frame.pixels) for frame in source.frames()] == list(range(10))


@pytest.mark.parametrize(
    "name", ["2024-05-01T12:30:05.mp4", "http:x.mp4", "pipe:0.mp4", "-i.mp4", "50%d.mp4",
             os.fsdecode(b"caf\xe9.mp4")],
)  # fmt: skip
def test_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    film(tmp_path / "v.mp4", [0, 0.04])
    (tmp_path / "v.mp4").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(frames_of(Path(name))) == 2


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n",
                                  "ffconcat version 1.0\nfile '{}'\n"])  # fmt: skip
def test_a_playlist_opens_nothing(tmp_path: Path, text: str) -> None:
    film(tmp_path / "secret.ts", [0, 0.04])
    (tmp_path / "v.mp4").write_text(text.format(tmp_path / "secret.ts"))
    with pytest.raises(FrameError, match="FFmpeg cannot read it as a video"):
        frames_of(tmp_path / "v.mp4")


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mp4"])
def test_half_a_film_is_said(tmp_path: Path, suffix: str) -> None:
    """Where the container says how long it is, which a transport stream does not."""
    path = tmp_path / f"v{suffix}"
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (TALL, WIDE, 3)).astype(np.uint8) for _ in range(100)]
    film(path, [index / 25 for index in range(100)], picture=noise.__getitem__)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if suffix == ".ts":
        assert 30 < len(frames_of(path)) < 70
        return
    words = "announces 4.0 seconds" if suffix == ".mkv" else "FFmpeg cannot read it"
    with pytest.raises(FrameError, match=words):
        frames_of(path)


def test_sound_alone(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "v.mp4"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(8000))
    with pytest.raises(FrameError, match="no video, only sound"):
        frames_of(tmp_path / "v.mp4")


@pytest.mark.parametrize("rate", [0.1, 23.976, 29.97, 66.667, 211.222, 1901 / 9, 1000.0])
def test_every_rate_can_be_written(tmp_path: Path, rate: float) -> None:
    with (tmp_path / "v.mp4").open("w+b") as file:
        writer = VideoWriter(file, (TALL, WIDE), rate)
        for index in range(12):
            writer.write(numbered(index), index / rate)
        writer.close()
        assert frames_in(file) == 12
    frames = frames_of(tmp_path / "v.mp4")
    assert [number(frame.pixels) for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == pytest.approx([i / rate for i in range(12)],
                                                             abs=1e-6)  # fmt: skip


def frame(key: str, time: float | None, rate: float | None = 10.0) -> Frame:
    return Frame(key, key, numbered(0), rate, time)


def test_sources_follow_each_other() -> None:
    clock = Clock(None)
    shown = [
        frame("a/0", 0.5), frame("a/1", 0.6), frame("p", None, None), frame("b/0", 0.0),
        frame("b/1", 0.3),
    ]  # fmt: skip
    assert [clock.at(one) for one in shown] == pytest.approx([0.5, 0.6, 0.7, 0.74, 1.04])
    clock = Clock(4)
    assert [clock.at(one) for one in shown] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
