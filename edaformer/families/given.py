"""What a checkpoint does not carry, and a person or an artifact says instead."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from edaformer.errors import InputError
from edaformer.families.checkpoint import Checkpoint, Origins
from edaformer.families.reading.training import Three, Training
from edaformer.names import read_names
from edaformer.preprocess import Normalisation

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.architecture import Architecture

FIRST = "encoder.stage1.embed.proj.weight"  # (C, 3, k, k), of every family
GIVEN = "given"  # by a person
AlignCorners = Literal["none", "logits", "all"]
_LARGEST = 1e6
_STAGES = 4
_MOST_HEADS = 1 << 12


@dataclass(frozen=True)
class Given:
    """Overrules what the file says; None leaves it."""

    mean: Three | None = None  # RGB, of 0..255
    std: Three | None = None
    bgr: bool | None = None  # whether the network was trained on blue first
    classes: tuple[str, ...] | None = None
    origin: str = GIVEN
    names_from: Path | None = None
    # what changes the network, which a family's loader asks for: by a person
    heads: tuple[int, int, int, int] | None = None
    align_corners: AlignCorners | None = None
    sizes: Architecture | None = None  # or by the record of an artifact, or another checkpoint

    def over(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint, with what was given in its place.

        Raises:
            InputError: if the names are not as many as the classes.
        """
        made = checkpoint
        if self.bgr is not None and self.bgr != made.bgr:
            made = turned_round(made)
        if self.mean is not None or self.std is not None:
            own = made.normalisation
            made = replace(
                made,
                normalisation=Normalisation(self.mean or own.mean, self.std or own.std),
                origins=replace(made.origins, normalisation=self._normalisation_origin(made)),
            )
        if self.classes is not None:
            made = self._named(made)
        return made

    def refuse_said(self, checkpoint: str, why: str) -> None:
        """For a loader whose checkpoints carry it all.

        Raises:
            InputError: if a person said what changes the network.
        """
        for option, value in (("--heads", self.heads), ("--align-corners", self.align_corners)):
            if value is not None:
                raise InputError(f"{option} is not for {checkpoint}: {why}; leave it out")

    def _normalisation_origin(self, checkpoint: Checkpoint) -> str:
        own = checkpoint.origins.normalisation
        if self.mean is None:
            return f"std {self.origin}; mean {own}"
        return self.origin if self.std is not None else f"mean {self.origin}; std {own}"

    def _named(self, checkpoint: Checkpoint) -> Checkpoint:
        names = self.classes or ()
        if len(names) != checkpoint.num_classes:
            raise InputError(
                f"expected {checkpoint.num_classes} class names, one of each output of "
                f"{checkpoint.name}, got {len(names)}; give as many"
            )
        notes = tuple(note for note in checkpoint.notes if "class names" not in note)
        origin = self.origin if self.names_from is None else f"{GIVEN}: {self.names_from}"
        origins = replace(checkpoint.origins, classes=origin)
        return replace(checkpoint, classes=names, origins=origins, notes=notes)


def options_of(checkpoint: Checkpoint) -> list[str]:
    """The options of a command by which a person made it what it is."""
    said: list[str] = []
    if GIVEN in checkpoint.origins.normalisation:
        for option, three in (
            ("--mean", checkpoint.normalisation.mean), ("--std", checkpoint.normalisation.std)
        ):  # fmt: skip
            ordered = three[::-1] if checkpoint.bgr else three
            said += [option, ",".join(f"{value:.9g}" for value in ordered)]
    if checkpoint.bgr:
        said.append("--bgr")
    if checkpoint.origins.classes.startswith(f"{GIVEN}: "):
        said += ["--names", checkpoint.origins.classes.removeprefix(f"{GIVEN}: ")]
    return [*said, *checkpoint.options]


def same_as(checkpoint: Checkpoint) -> Given:
    """What makes another checkpoint of the same source the same network on the same images."""
    own = checkpoint.normalisation
    return Given(own.mean, own.std, checkpoint.bgr, sizes=checkpoint.variant)


def turned_round(checkpoint: Checkpoint) -> Checkpoint:
    """The same network for images whose channels lie the other way round: exact."""
    state: dict[str, Tensor] = dict(checkpoint.state)
    if FIRST in state:
        state[FIRST] = state[FIRST][:, [2, 1, 0]].contiguous()
    return replace(checkpoint, state=state, bgr=not checkpoint.bgr)


def with_training(checkpoint: Checkpoint, known: Training) -> Checkpoint:
    """The checkpoint, with what its training loop wrote down."""
    origins = Origins(
        classes=known.classes_from or Origins.classes,
        input_size=known.size_from or Origins.input_size,
    )
    made = replace(
        checkpoint, classes=known.classes, palette=known.palette, input_size=known.size,
        notes=known.notes, origins=origins, adapted=known.adapted,
    )  # fmt: skip
    mean, std = known.mean, known.std
    if known.bgr:
        mean, std = mean and mean[::-1], std and std[::-1]
    return Given(mean, std, known.bgr, origin=known.normalisation_from).over(made)


def given(
    mean: str | None = None,
    std: str | None = None,
    *,
    bgr: bool = False,
    names: Path | None = None,
    heads: str | None = None,
    align_corners: AlignCorners | None = None,
) -> Given:
    """Read the options; figures are in the order in which the network sees its channels.

    Raises:
        InputError: if they are not as many numbers as expected, or a deviation is not above 0, or
            for the names.
    """
    return Given(
        _three(mean, "--mean", bgr=bgr),
        _three(std, "--std", bgr=bgr),
        True if bgr else None,
        read_names(names) if names is not None else None,
        names_from=names,
        heads=None if heads is None else _heads(heads),
        align_corners=align_corners,
    )


def _heads(text: str) -> tuple[int, int, int, int]:
    parts = [part.strip() for part in text.split(",")]
    numbers = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 6]
    if len(parts) != _STAGES or len(numbers) != _STAGES or not all(
        0 < number <= _MOST_HEADS for number in numbers
    ):  # fmt: skip
        raise InputError(
            f"expected --heads as {_STAGES} numbers with commas, of stages 1 to {_STAGES}, such as "
            f"1,2,5,8, got '{text}'"
        )
    return cast("tuple[int, int, int, int]", tuple(numbers))


def _three(text: str | None, option: str, *, bgr: bool) -> Three | None:
    if text is None:
        return None
    wrong = InputError(
        f"expected {option} as three numbers with commas, of pixels from 0 to 255, such as "
        f"{'123.675,116.28,103.53' if option == '--mean' else '58.395,57.12,57.375'}, got '{text}'"
    )
    try:
        first, second, third = (float(part) for part in text.split(","))
    except ValueError as error:
        raise wrong from error
    least = -_LARGEST if option == "--mean" else 1e-6
    if not all(least <= value <= _LARGEST for value in (first, second, third)):
        raise wrong
    return (third, second, first) if bgr else (first, second, third)
