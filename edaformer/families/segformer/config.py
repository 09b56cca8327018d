"""config.json and preprocessor_config.json of a SegFormer, read by the names that matter here.

Defaults are those of transformers' SegformerConfig and SegformerImageProcessor, which save what
differs from them or everything, depending on the version. Settings of how it is computed there
(attention, dtype, code of its own) have no meaning here; what changes the weights is refused.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edaformer.errors import CheckpointError, InputError
from edaformer.families.mit.sizes import MAX_CLASSES, Four
from edaformer.families.reading.json_file import read_object
from edaformer.families.reading.training import adapted_record
from edaformer.families.segformer.sizes import SegFormerSizes
from edaformer.names import why_no_names
from edaformer.preprocess import MAX_SIDE, RELEASE, Normalisation
from edaformer.printable import in_one_line

if TYPE_CHECKING:
    from edaformer.families.adapted import Adapted

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
_LISTS: dict[str, list[int]] = {
    "hidden_sizes": [32, 64, 160, 256], "depths": [2, 2, 2, 2],
    "num_attention_heads": [1, 2, 5, 8], "sr_ratios": [8, 4, 2, 1],
    "mlp_ratios": [4, 4, 4, 4], "patch_sizes": [7, 3, 3, 3], "strides": [4, 2, 2, 2],
}  # fmt: skip
_DECODER_WIDTH, _NUM_LABELS = 256, 2
_SUPPORTED = {
    "num_encoder_blocks": 4, "num_channels": 3, "hidden_act": "gelu", "reshape_last_stage": True,
}  # fmt: skip
_UNNAMED = re.compile(r"LABEL_\d+")  # what transformers calls classes that nobody named
_RESCALE = 1 / 255  # SegformerImageProcessor's defaults, as is RELEASE's mean and deviation
_RESAMPLE = 2  # its default, too
_FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # Pillow's, by number
_REDUCED = ("do_reduce_labels", "reduce_labels")  # transformers' name, and its older one


@dataclass(frozen=True)
class Config:
    """What it says of the network."""

    sizes: SegFormerSizes
    num_classes: int
    classes: tuple[str, ...] | None
    notes: tuple[str, ...] = ()  # what is there and of no use, and why
    adapted: Adapted | None = None


@dataclass(frozen=True)
class Preprocessing:
    """What it says of the images."""

    normalisation: Normalisation
    size: tuple[int, int] | None  # (H, W) that images are resized to
    resize: str  # and how: one of Pillow's filters, such as ``pillow-bilinear``
    reduced_labels: bool  # 1 is taken off each label, 0 being void
    is_default: bool  # there is no file


def read_config(folder: Path) -> Config:
    """Read config.json.

    Raises:
        CheckpointError: if it is no SegFormer's, or one that is not supported.
        InputError: if its sizes are none that are supported.
    """
    path = folder / CONFIG
    content = read_object(path)
    kind = content.get("model_type")
    if kind != "segformer":
        raise CheckpointError(
            f"expected a SegFormer in {folder}, but its {CONFIG} says model_type "
            f"{kind!r:.60}; no other model of Hugging Face's is supported"
        )
    if content.get("quantization_config"):
        raise CheckpointError(
            f"{path} has a quantization_config, so the weights are quantised; save the model as "
            "it was trained, in float32 or float16"
        )
    for name, wanted in _SUPPORTED.items():
        if (got := content.get(name, wanted)) != wanted:
            raise CheckpointError(
                f"expected {name} {wanted!r} in {path}, got {got!r:.60}; no other is supported"
            )
    notes: list[str] = []
    number, names = _classes(path, content, notes)
    adapted = adapted_record(content, notes)
    return Config(_sizes(path, content), number, names, tuple(notes), adapted)


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


def _sizes(path: Path, content: dict[str, Any]) -> SegFormerSizes:
    width = content.get("decoder_hidden_size", _DECODER_WIDTH)
    found = {name: content.get(name, usual) for name, usual in _LISTS.items()}
    for name, values in {**found, "decoder_hidden_size": [width]}.items():
        if not isinstance(values, list) or any(type(value) is not int for value in values):
            raise CheckpointError(
                f"{path} is no configuration of a SegFormer ({name} is {values!r:.60}); "
                "save the model again"
            )
    for name, values in found.items():
        if len(values) != 4:
            raise CheckpointError(
                f"expected 4 {name} in {path}, got {len(values)}; save the model again"
            )
    widths, depths, heads, ratios, mlp_ratios, patches, strides = (
        cast(Four, tuple(values)) for values in found.values()
    )
    return SegFormerSizes(widths, depths, width, heads, ratios, mlp_ratios, patches, strides)


def _classes(
    path: Path, content: dict[str, Any], notes: list[str]
) -> tuple[int, tuple[str, ...] | None]:
    """Their number, and their names in the order of the logits, where the folder has them."""
    named = content.get("id2label")
    if named is not None and not isinstance(named, dict):
        raise _no_labels(path, "id2label is no object")
    number = content.get("num_labels", len(named) if named else _NUM_LABELS)
    if type(number) is not int or not 1 <= number <= MAX_CLASSES:
        raise _no_labels(path, f"num_labels is {number!r:.40}")
    if not named:
        return number, None
    if len(named) != number or set(named) != {str(index) for index in range(number)}:
        raise _no_labels(
            path, f"num_labels is {number} and id2label has {len(named)} names, of "
            f"{in_one_line(', '.join(list(named)[:3]))} and so on"
        )  # fmt: skip
    names = [named[str(index)] for index in range(number)]
    if any(isinstance(name, str) and _UNNAMED.fullmatch(name) for name in names):
        return number, None
    if problem := why_no_names(names):
        notes.append(
            f"the class names in {CONFIG} are left out: {problem}; --names FILE gives others"
        )
        return number, None
    return number, tuple(names)


def _no_labels(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        f"expected 1 to {MAX_CLASSES} classes in {path}, named from 0 on, but {found}; mend it"
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
