"""preprocessor_config.json of a segmentation model of transformers': what goes into the network.

Defaults are those of SegformerImageProcessor, which such folders have, whatever the model; it saves
what differs from them or everything, depending on the version.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from edaformer.errors import CheckpointError, InputError
from edaformer.families.checkpoint import Origins
from edaformer.families.reading.json_file import read_object
from edaformer.preprocess import MAX_SIDE, RELEASE, Normalisation

PREPROCESSOR = "preprocessor_config.json"
_RESCALE = 1 / 255  # SegformerImageProcessor's defaults, as is RELEASE's mean and deviation
_RESAMPLE = 2  # its default, too
_FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # Pillow's, by number
_REDUCED = ("do_reduce_labels", "reduce_labels")  # transformers' name, and its older one


@dataclass(frozen=True)
class Preprocessing:
    """What it says of the images."""

    normalisation: Normalisation
    size: tuple[int, int] | None  # (H, W) that images are resized to
    resize: str  # and how: one of Pillow's filters, such as ``pillow-bilinear``
    reduced_labels: bool  # 1 is taken off each label, 0 being void
    is_default: bool  # there is no file

    def origins(self, classes: str) -> Origins:
        """Where it all came from; ``classes``: where those did."""
        usual = f"transformers' default: there is no {PREPROCESSOR}"
        return Origins(
            classes=classes,
            input_size=Origins.input_size if self.size is None else PREPROCESSOR,
            normalisation=usual if self.is_default else PREPROCESSOR,
        )


def read_preprocessing(folder: Path) -> Preprocessing:
    """Read preprocessor_config.json, where there is one.

    Raises:
        CheckpointError: if it says what cannot be.
    """
    path = folder / PREPROCESSOR
    content = read_object(path) if path.is_file() else {}
    size = _input_size(content) if content.get("do_resize", True) else None
    reduced = any(content.get(name) is True for name in _REDUCED)
    return Preprocessing(
        _normalisation(path, content), size, _resize(path, content), reduced, not path.is_file()
    )


def _normalisation(path: Path, content: dict[str, Any]) -> Normalisation:
    """On the 0..255 scale."""
    scale = content.get("rescale_factor", _RESCALE) if content.get("do_rescale", True) else 1.0
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if content.get("do_normalize", True):
        mean = content.get("image_mean", tuple(value * _RESCALE for value in RELEASE.mean))
        std = content.get("image_std", tuple(value * _RESCALE for value in RELEASE.std))
    try:
        made = Normalisation(_pixels(mean, scale), _pixels(std, scale))
    except (TypeError, ValueError, ArithmeticError) as error:
        raise _not_numbers(path) from error
    if not all(map(math.isfinite, made.mean)) or not all(0 < v < math.inf for v in made.std):
        raise _not_numbers(path)
    return made


def _pixels(values: Any, scale: float) -> tuple[float, float, float]:
    """Three figures of the rescaled image, on the 0..255 scale."""
    red, green, blue = (round(float(value) / scale, 6) for value in values)
    return red, green, blue


def _input_size(content: dict[str, Any]) -> tuple[int, int] | None:
    size = content.get("size")
    sides = (size.get("height"), size.get("width")) if isinstance(size, dict) else (size, size)
    if all(type(side) is int and 1 <= side <= MAX_SIDE for side in sides):
        return cast("tuple[int, int]", sides)
    return None  # another way of resizing, such as shortest_edge, says no size


def _resize(path: Path, content: dict[str, Any]) -> str:
    """By which of Pillow's filters; do_resize says only whether."""
    number = content.get("resample", _RESAMPLE)
    if type(number) is not int or not 0 <= number < len(_FILTERS):
        raise CheckpointError(
            f"expected resample in {path} as 0 to {len(_FILTERS) - 1}, got "
            f"{number!r:.60}; write 2, for bilinear, if that is what it was trained with"
        )
    return f"pillow-{_FILTERS[number]}"


def _not_numbers(path: Path) -> InputError:
    return CheckpointError(
        f"expected image_mean and image_std in {path} as three numbers each, "
        "deviations above 0; mend them"
    )
