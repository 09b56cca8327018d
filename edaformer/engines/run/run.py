"""An artifact at work: pictures, videos and cameras in, pictures, video and class areas out.

Frames flow one by one from their source through the artifact to the sinks; a few are on their way
at a time, and nothing else is kept, so that the length of a video costs no memory.
"""

from __future__ import annotations

import shlex
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.engines.run.labeller import Labeller, open_labeller, why_refused
from edaformer.engines.run.sinks import (
    SAVE_KINDS,
    PictureSink,
    SaveKind,
    Sink,
    stats_sink,
    video_sink,
    window_sink,
)
from edaformer.engines.run.watch import Skipped, Skips, Watch, read_frames, total
from edaformer.errors import InputError, NaNError
from edaformer.files import check_writable, is_checkpoint
from edaformer.manifest import Manifest
from edaformer.media.drawing import Drawing, Style
from edaformer.media.ffmpeg import ffmpeg
from edaformer.media.frames import Frame, Pixels, Source
from edaformer.media.inputs import find_sources
from edaformer.media.opencv import opencv, require_gstreamer, require_windows
from edaformer.media.palette import class_colours
from edaformer.media.pictures import PictureFile
from edaformer.media.video import VideoFile

FOLDER = Path("edaformer-run")  # where pictures go unless -o says otherwise
WEIGHT = 0.5


@dataclass(frozen=True)
class RunOptions:
    """What is to be made of the frames; None takes the default."""

    save: tuple[SaveKind, ...] | None = None  # overlays, unless something else is asked for
    folder: Path | None = None
    weight: float | None = None  # of the class colours in overlays, 0 to 1
    video: Path | None = None  # .mp4
    fps: float | None = None  # of the video; None: every frame at its own time
    show: bool = False
    stats: Path | None = None  # .csv or .json
    limit: int | None = None  # frames in all
    provider: str = "auto"  # of ONNX Runtime
    reconnect: int | None = None  # attempts to open a lost camera or stream again

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.save or () if kind not in SAVE_KINDS]
        if unknown or self.save == ():
            raise InputError(
                f"expected --save as some of {','.join(SAVE_KINDS)}, got '{','.join(unknown)}'"
            )
        if self.weight is not None and not 0 <= self.weight <= 1:
            raise InputError(f"expected --overlay from 0 to 1, such as 0.5, got {self.weight:g}")
        if self.weight is not None and not self._draws_overlays:
            raise InputError("--overlay has no effect without overlays; add overlay to --save")
        if self.fps is not None and self.video is None:
            raise InputError("--fps is for --video; add one, or leave --fps out")
        if self.fps is not None and not 0.1 <= self.fps <= 1000:
            raise InputError(f"expected --fps from 0.1 to 1000, got {self.fps:g}")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"expected --limit of at least 1, got {self.limit}")
        if self.reconnect is not None and self.reconnect < 1:
            raise InputError(f"expected --reconnect of at least 1, got {self.reconnect}")
        _check_suffix("--video", self.video, ".mp4")
        _check_suffix("--stats", self.stats, ".csv", ".json")

    @property
    def kinds(self) -> tuple[SaveKind, ...]:
        """The pictures that are saved."""
        if self.save is not None:
            return tuple(dict.fromkeys(self.save))
        asked_otherwise = self.video is not None or self.show or self.stats is not None
        return () if asked_otherwise and self.folder is None else ("overlay",)

    @property
    def saved_to(self) -> Path:
        """The folder of the pictures."""
        return self.folder if self.folder is not None else FOLDER

    @property
    def _draws_overlays(self) -> bool:
        return "overlay" in self.kinds or self.video is not None or self.show


@dataclass(frozen=True)
class ClassArea:
    """What a class covers of all frames together."""

    name: str
    pixels: int
    share: float  # of all pixels
    frames: int  # in which it is


@dataclass(frozen=True)
class RunResult:
    """What was run, and what came out."""

    artifact: Path
    description: str
    frames: int
    dropped: int  # of live sources: passed over for newer ones
    seconds: float
    skipped: tuple[Skipped, ...]
    classes: tuple[ClassArea, ...]  # those that were seen, in their order
    pictures: tuple[Path, ...]  # folders, one for each kind
    video: Path | None
    stats: Path | None

    @property
    def rate(self) -> float:
        """Frames a second, with reading, drawing and writing."""
        return self.frames / max(self.seconds, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "artifact": str(self.artifact),
            "description": self.description,
            "frames": self.frames,
            "dropped": self.dropped,
            "seconds": round(self.seconds, 3),
            "frames_per_second": round(self.rate, 3),
            "skipped": [vars(one) for one in self.skipped],
            "classes": [vars(one) for one in self.classes],
            "pictures": [str(folder) for folder in self.pictures],
            "video": str(self.video) if self.video else None,
            "stats": str(self.stats) if self.stats else None,
        }


def run(
    artifact: Path,
    inputs: Iterable[str],
    options: RunOptions | None = None,
    watch: Watch | None = None,
) -> RunResult:
    """Run an ``.onnx`` or ``.plan`` on all that ``inputs`` name (see edaformer.media.inputs).

    Raises:
        InputError: if an input names nothing, an output cannot be written, or no frame can be read.
        MissingError: if PyAV, OpenCV, GStreamer, a display or the GPU is needed and not here.
    """
    refuse_checkpoint(artifact)
    options = options or RunOptions()
    watch = watch or Watch()
    sources = open_sources(inputs, artifact_manifest(artifact).size, options, watch.on_note)
    return run_sources(artifact, sources, options, watch)


def refuse_checkpoint(path: Path) -> None:
    """Say what to do with a checkpoint where an artifact is expected.

    Raises:
        InputError: if it is one.
    """
    if is_checkpoint(path):
        raise InputError(
            f"{path} is a checkpoint; export it first (edaformer-export {shlex.quote(str(path))}), "
            "or look inside it with --attention"
        )


def open_sources(
    inputs: Iterable[str],
    size: tuple[int, int],
    options: RunOptions,
    say: Callable[[str], None],
) -> list[Source]:
    """What the inputs name, and whether all that they and the options need is here.

    Raises:
        InputError: if an input names nothing.
        MissingError: if PyAV, OpenCV, GStreamer or a display is needed and not here.
    """
    sources = find_sources(
        inputs, size=size, leave_out=(options.saved_to / kind for kind in SAVE_KINDS), say=say,
        reconnect=options.reconnect or 0,
    )  # fmt: skip
    if options.reconnect is not None and not any(source.live for source in sources):
        raise InputError("--reconnect is for cameras and streams, and none is there; leave it out")
    needed = {source.needs for source in sources}
    if options.video is not None or "av" in needed:
        ffmpeg()
    if "opencv" in needed:
        opencv()
    if "gstreamer" in needed:
        require_gstreamer()
    if options.show:
        require_windows()
    return sources


def run_sources(
    artifact: Path, sources: list[Source], options: RunOptions, watch: Watch
) -> RunResult:
    """Run an artifact on sources that are known already.

    Raises:
        InputError: if an output cannot be written, or no frame can be read.
        MissingError: if the GPU or a package is not here.
    """
    files = tuple(
        one.path
        for one in sources
        if isinstance(one, (PictureFile, VideoFile)) and one.path.exists()
    )
    for option, output in (("--video", options.video), ("--stats", options.stats)):
        if output is not None:
            check_writable(output, artifact, *files, option=option)
    with ExitStack() as closing:
        labeller = open_labeller(artifact, provider=options.provider)
        closing.callback(labeller.close)
        sinks = [*_open_sinks(options, (artifact, *files), closing)]
        style, skips = _style(labeller.manifest, options), Skips(watch)
        tally, count = _Tally(style), total(sources, options.limit)
        usable = _accepted(read_frames(sources, watch, skips), labeller.manifest, skips)
        start = time.perf_counter()
        for frame, labels in _labelled(labeller, islice(usable, options.limit)):
            drawing = Drawing(frame, labels, style)
            tally.add(drawing)
            going_on = [sink.take(drawing) for sink in sinks]
            watch.on_frame(tally.frames, count)
            if not all(going_on):
                break
        if tally.frames == 0:
            raise InputError(f"no frame could be read{skips.first()}; check the inputs")
        seconds = time.perf_counter() - start
    return RunResult(
        artifact=artifact,
        description=labeller.description,
        frames=tally.frames,
        dropped=tally.dropped,
        seconds=seconds,
        skipped=tuple(skips.all),
        classes=tally.classes(),
        pictures=tuple(options.saved_to / kind for kind in options.kinds),
        video=options.video,
        stats=options.stats,
    )


class _Tally:
    """Counts frames and what they show."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self.frames = self.dropped = 0
        self._pixels = np.zeros(len(style.classes), np.int64)
        self._present = np.zeros(len(style.classes), np.int64)

    def add(self, drawing: Drawing) -> None:
        self.frames += 1
        self.dropped += drawing.frame.dropped
        self._pixels += drawing.areas
        self._present += drawing.areas > 0

    def classes(self) -> tuple[ClassArea, ...]:
        pixels, frames = self._pixels.tolist(), self._present.tolist()
        whole = max(sum(pixels), 1)
        counted = zip(self._style.classes, pixels, frames, strict=True)
        return tuple(ClassArea(name, area, area / whole, seen) for name, area, seen in counted
                     if seen)  # fmt: skip


def _accepted(frames: Iterable[Frame], manifest: Manifest, skips: Skips) -> Iterator[Frame]:
    """Frames of a size that the artifact takes."""
    for frame in frames:
        reason = why_refused(manifest, frame.size)
        if reason is None:
            yield frame
        else:
            skips.add(frame.name, reason)


def _labelled(
    labeller: Labeller, frames: Iterable[Frame]
) -> Iterator[tuple[Frame, NDArray[np.uint8]]]:
    """Each frame with its labels, which may come some frames later."""
    waiting: deque[Frame] = deque()

    def pixels() -> Iterator[Pixels]:
        for frame in frames:
            waiting.append(frame)
            yield frame.pixels

    stream = labeller.stream(pixels())
    while True:
        try:
            labels = next(stream, None)
        except NaNError as error:
            raise NaNError(str(error).replace("a frame", waiting[0].name, 1)) from error
        if labels is None:
            return
        yield waiting.popleft(), labels


def _open_sinks(
    options: RunOptions, inputs: tuple[Path, ...], closing: ExitStack
) -> Iterator[Sink]:
    if options.kinds:
        yield PictureSink(options.saved_to, options.kinds, inputs)
    if options.video is not None:
        yield closing.enter_context(video_sink(options.video, options.fps))
    if options.stats is not None:
        yield closing.enter_context(stats_sink(options.stats))
    if options.show:
        yield closing.enter_context(window_sink())


def _style(manifest: Manifest, options: RunOptions) -> Style:
    count = manifest.num_classes
    names = manifest.classes or tuple(f"class {label}" for label in range(count))
    weight = WEIGHT if options.weight is None else options.weight
    return Style(names, class_colours(manifest.classes, manifest.palette, count), weight)


def _check_suffix(option: str, path: Path | None, *allowed: str) -> None:
    if path is not None and path.suffix not in allowed:
        raise InputError(f"expected {option} to end in {' or '.join(allowed)}, got '{path}'")
