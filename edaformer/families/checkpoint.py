"""A checkpoint as every family's loader gives it: checked, complete, and where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edaformer.errors import ISRError
from edaformer.families.identity import Hub
from edaformer.families.settings import reference_settings
from edaformer.files import real_path
from edaformer.isr import ISR, Places
from edaformer.preprocess import RELEASE, RESIZES, Normalisation, Resize
from edaformer.printable import in_one_line

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.adapted import Adapted
    from edaformer.families.architecture import Architecture
    from edaformer.families.network import Network

_SHOWN = 3  # names shown of a longer list


@dataclass(frozen=True)
class Coverage:
    """Which keys of a file went into the model."""

    used: int
    left_over: tuple[str, ...]  # known to be unused: conv_seg


@dataclass(frozen=True)
class Origins:
    """Where what is not a weight came from, for whoever has to know whether to believe it."""

    classes: str = "the file names none"
    input_size: str = "the file says none"
    normalisation: str = "assumed, the release's: the file says none"


@dataclass(frozen=True)
class Checkpoint:
    """A checked checkpoint: everything needed to make the model, and where it came from."""

    path: Path
    sha256: str
    variant: Architecture
    num_classes: int
    network: Callable[[Any, int, ISR], Network]  # of the variant, classes and an ISR
    coverage: Coverage
    classes: tuple[str, ...] | None = None
    palette: tuple[tuple[int, int, int], ...] | None = None
    input_size: tuple[int, int] | None = None  # (H, W) it was trained at, where recorded
    normalisation: Normalisation = RELEASE  # of the images it was trained on
    # how its own processor resizes them: one of preprocess.RESIZES, or the name of another way;
    # mmsegmentation, which trained the release, resizes with OpenCV
    resize: str = "opencv-bilinear"
    # the network was trained on blue first; its first convolution is turned round in ``state``,
    # so that it takes RGB like any other
    bgr: bool = False
    origins: Origins = Origins()
    notes: tuple[str, ...] = ()  # what was in the file and of no use
    format: str = ""  # whose file it is, where a family knows several
    # what of the network the file does not say for itself: what, and which with where from
    assumed: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()  # of a command, by which a person said such a thing
    reduced_labels: bool = False  # trained on labels with 1 taken off, 0 being void
    adapted: Adapted | None = None  # how it came about, where edaformer-adapt made it
    hub: Hub | None = None  # where it was fetched from, if it was
    state: dict[str, Tensor] = field(repr=False, default_factory=dict)  # our names, float32

    @property
    def name(self) -> str:
        """What messages and records call it: its file's name, or the model's on the Hub."""
        return self.path.name if self.hub is None else self.hub.name

    @property
    def stem(self) -> str:
        """What files that are made of it are called after."""
        if self.hub is not None:
            return self.hub.name
        return real_path(self.path).name if self.path.is_dir() else self.path.stem

    @property
    def called(self) -> str:
        """What to type for it again."""
        return str(self.path) if self.hub is None else self.hub.pinned

    @property
    def places(self) -> Places:
        """Where it pools keys and values, and the ratios it was trained at."""
        return self.variant.places

    @property
    def frames_resize(self) -> Resize:
        """Its processor's way, or OpenCV's where that is another than is known here."""
        return next((rule for rule in RESIZES if rule == self.resize), RESIZES[0])

    @property
    def prepared(self) -> str:
        """Its normalisation and order of channels, as one text to compare."""
        return prepared(self.normalisation, bgr=self.bgr)

    @reference_settings()
    def model(self, isr: ISR | None = None) -> Network:
        """The network with these weights, in evaluation mode, at ``isr``; None is its base.

        Raises:
            ISRError: if the ISR is another model's.
        """
        isr = isr or self.places.base
        if isr.places != self.places:
            raise ISRError(
                f"expected an ISR of {self.variant.title}, like {self.places.examples}, got {isr} "
                "of another model; read it with ISR.parse(text, checkpoint.places)"
            )
        model = self.network(self.variant, self.num_classes, isr)
        model.normalisation = self.normalisation
        model.load_state_dict(self.state, strict=True)
        return model.eval().requires_grad_(requires_grad=False)


def demo_checkpoint() -> Path:
    """The checkpoint inside this package: EDAFormer-T, trained on drawn street scenes."""
    return Path(__file__).parents[1] / "demo" / "edaformer_t_scenes.safetensors"


def prepared(how: Normalisation, *, bgr: bool) -> str:
    """What decides a network's answers beside its weights: ``mean 1,2,3 std 4,5,6, RGB``."""
    mean, std = (",".join(f"{value:.9g}" for value in part) for part in (how.mean, how.std))
    return f"mean {mean} std {std}, {'BGR' if bgr else 'RGB'}"


def misfits(problems: Mapping[str, Iterable[str]]) -> str:
    """What does not fit a network, such as ``2 missing (a, b)``; empty where all does."""
    listed = {what: list(names) for what, names in problems.items()}
    return "; ".join(f"{len(n)} {what} ({some(n)})" for what, n in listed.items() if n)


def some(names: Iterable[str]) -> str:
    """The first few of many names, for a sentence; they come from files and are made printable."""
    listed = [in_one_line(name) for name in names]
    more = f", ... {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
