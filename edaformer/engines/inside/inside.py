"""A look inside a checkpoint: what ISR does to a stage's attention and features (paper, figure 4).

Both are computed twice in PyTorch float32, at base ISR and at another one: the attention of the
stage's last block, from the token at a chosen point to every key, averaged over heads; and the
stage's output.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edaformer.engines.artifact.kind import is_plan
from edaformer.engines.inside.figure import Query, draw_figure, mean_cosine
from edaformer.engines.inside.stage import OpenStage, Size
from edaformer.engines.run.run import FOLDER
from edaformer.engines.run.sinks import refuse_input
from edaformer.engines.run.watch import Skipped, Skips, Watch, read_frames, total
from edaformer.errors import FrameError, InputError
from edaformer.families.checkpoint import demo_checkpoint
from edaformer.families.table import Found, Source, load_checkpoint
from edaformer.files import real_path, write_whole
from edaformer.isr import ISR
from edaformer.labels.resize import resize_picture
from edaformer.media.drawing import png
from edaformer.media.frames import Frame
from edaformer.media.inputs import find_sources
from edaformer.media.pictures import PictureFile
from edaformer.preprocess import DEFAULT_SIZE, format_size, known_resize

_DEMO = "demo"  # the name of the checkpoint in this package
Point = tuple[int, int]  # x, y


@dataclass(frozen=True)
class InsideOptions:
    """What to look at."""

    stage: str  # one of the model's edaformer.engines.inside.stage.stage_names
    isr: str
    points: tuple[Point, ...] = ()  # of the queries, in pixels of each picture; none: its middle
    size: Size | None = None  # (H, W) to run at; None: the checkpoint's own, or 512x512
    folder: Path | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise InputError(f"expected --limit of at least 1, got {self.limit}")


@dataclass(frozen=True)
class InsidePicture:
    """What was seen in one picture."""

    name: str
    path: Path
    base_keys: Size  # rows and columns
    isr_keys: Size
    cosine: float  # between the features at both settings, mean over tokens


@dataclass(frozen=True)
class InsideResult:
    """What was looked at."""

    checkpoint: str  # what to type for it again
    stage: str
    base: str
    isr: str
    size: Size
    folder: Path
    pictures: tuple[InsidePicture, ...]
    skipped: tuple[Skipped, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        pictures = [vars(one) | {"path": str(one.path)} for one in self.pictures]
        own = {"folder": str(self.folder), "pictures": pictures}
        return vars(self) | own | {"skipped": [vars(one) for one in self.skipped]}


def look_inside(
    checkpoint: Source, inputs: Iterable[str], options: InsideOptions, watch: Watch | None = None
) -> InsideResult:
    """Draw ``FOLDER/attention/NAME.png`` for every frame of the inputs.

    Args:
        checkpoint: as edaformer.families.table finds it; ``demo`` is the one in this package.
        inputs: as in edaformer.media.inputs.
        options: what to look at.
        watch: hears of progress.

    Raises:
        InputError: if it is no checkpoint, an option does not fit, or no frame can be read.
        ISRError: if the ISR does not fit the model or the size.
        MissingError: without torch.
    """
    watch = watch or Watch()
    loaded = load_checkpoint(_checkpoint(checkpoint))
    size = options.size or loaded.input_size or DEFAULT_SIZE
    model, isr = loaded.model(), ISR.parse(options.isr, loaded.places)
    base, stage = model.isr, OpenStage(model, options.stage, size)
    if isr == base:
        raise InputError(
            f"--isr {options.isr} is base ISR itself; name another one, like "
            f"{loaded.places.examples}"
        )
    isr.check_fits(*stage.padded)
    folder = (options.folder or FOLDER) / "attention"
    sources = find_sources(inputs, size=size, leave_out=[folder], say=watch.on_note)
    taken = {real_path(one.path) for one in sources
             if isinstance(one, PictureFile) and one.path.exists()}  # fmt: skip
    skips, count = Skips(watch), total(sources, options.limit)
    made: list[InsidePicture] = []
    for frame in islice(read_frames(sources, watch, skips), options.limit):
        path = folder / f"{frame.key}.png"
        try:
            refuse_input(path, taken)
            made.append(_draw(frame, path, options.points, stage, (base, isr), rule=loaded.resize))
        except FrameError as error:
            skips.add(frame.name, str(error))
        watch.on_frame(len(made), count)
    if not made:
        raise InputError(f"no frame could be drawn{skips.first()}; check the inputs")
    return InsideResult(
        checkpoint=loaded.called, stage=options.stage, base=str(base), isr=str(isr), size=size,
        folder=folder, pictures=tuple(made), skipped=tuple(skips.all),
    )  # fmt: skip


def _draw(
    frame: Frame,
    path: Path,
    points: tuple[Point, ...],
    stage: OpenStage,
    settings: tuple[ISR, ISR],
    *,
    rule: str,
) -> InsidePicture:
    """The figure of one frame, resized by ``rule``, written to ``path``."""
    height, width = frame.size
    queries = [_query(point, frame, stage.size) for point in points or ((width // 2, height // 2),)]
    picture = _resized(frame, stage.size, rule)
    base, other = (stage.look(isr, picture, [one.at for one in queries]) for isr in settings)
    name = frame.name.rpartition("/")[2]
    drawn = draw_figure(name, picture, queries, stage.padded, (base, other))
    write_whole(path, png(Image.fromarray(drawn)))
    cosine = mean_cosine(base.features, other.features)
    return InsidePicture(frame.name, path, base.keys, other.keys, cosine)


def _resized(frame: Frame, size: Size, rule: str) -> NDArray[np.uint8]:
    """As the checkpoint's own processor resizes it."""
    if frame.size == size:
        return frame.pixels
    known = known_resize(rule, f"give pictures of {format_size(size)}")
    return resize_picture(frame.pixels, size, known)


def _query(point: Point, frame: Frame, size: Size) -> Query:
    """A point of the frame, in pixels of the resized picture."""
    x, y = point
    height, width = frame.size
    if x >= width or y >= height:
        raise FrameError(f"it is {width} wide and {height} high, and --point {x},{y} is outside")
    return Query(f"query at {x},{y}", (y * size[0] // height, x * size[1] // width))


def _checkpoint(source: Source) -> Source:
    """The file; an artifact is refused, since it no longer has its attention apart."""
    if isinstance(source, Found):
        return source
    path = Path(source)
    if str(source) == _DEMO and not path.exists():
        return demo_checkpoint()
    if path.is_file() and (is_plan(path) or path.suffix == ".onnx"):
        kind = "a plan" if is_plan(path) else "an ONNX model"
        raise InputError(
            f"--attention looks inside PyTorch's model, and {path} is {kind}, whose attention is "
            "fused; name the checkpoint it was exported from"
        )
    return source
