"""What a training loop wrote beside the weights: classes, colours, crop, normalisation.

mmengine's ``meta`` has ``cfg`` (its configuration as Python text, which is parsed and never run)
and ``dataset_meta``; mmcv's had ``config``, ``CLASSES`` and ``PALETTE``; docs/checkpoints.md says
what our own files have. What is no use is left out, and that is said.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edaformer.names import why_no_names
from edaformer.preprocess import MAX_SIDE

if TYPE_CHECKING:
    from edaformer.families.adapted import Adapted

ADAPTED = "edaformer_adapted"  # in a file's meta, or a folder's config.json
Colours = tuple[tuple[int, int, int], ...]
Three = tuple[float, float, float]
_LARGEST = 1 << 22  # characters of a configuration
_PREPROCESSORS = ("data_preprocessor", "img_norm_cfg")  # mmsegmentation 1.x, and before


@dataclass(frozen=True)
class Training:
    """What is known of it; None where the file does not say."""

    classes: tuple[str, ...] | None = None
    palette: Colours | None = None
    size: tuple[int, int] | None = None  # (H, W)
    mean: Three | None = None  # in the network's own order of channels, of 0..255
    std: Three | None = None
    bgr: bool = False  # the network sees blue first
    size_from: str = ""
    normalisation_from: str = ""
    classes_from: str = ""
    notes: tuple[str, ...] = ()  # what was there and of no use
    adapted: Adapted | None = None


def training(meta: Mapping[str, Any], num_classes: int) -> Training:
    """Read a file's metadata; nothing in it is worth refusing the weights for."""
    notes: list[str] = []
    inner = meta.get("dataset_meta")
    sources = {"meta": meta}
    if isinstance(inner, Mapping):
        sources["meta's dataset_meta"] = inner
    classes, classes_from = _classes(sources, num_classes, notes)
    palette = _palette(sources, num_classes, notes)
    config = _config(meta, notes)
    size, size_from = _size(meta, config)
    mean, std, bgr, normalisation_from = _normalisation(meta, config, notes)
    adapted = adapted_record(meta, notes)
    return Training(classes, palette, size, mean, std, bgr, size_from, normalisation_from,
                    classes_from, tuple(notes), adapted)  # fmt: skip


def model_of(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """``model`` of the configuration in a file's meta, as far as its values are plain; or empty."""
    model = _config(meta, []).get("model")
    return model if isinstance(model, Mapping) else {}


def adapted_record(meta: Mapping[str, Any], notes: list[str]) -> Adapted | None:
    """How a checkpoint was adapted; None where it was not."""
    if ADAPTED not in meta:
        return None
    from edaformer.families.adapted import read_adapted  # pydantic's, which few files need

    return read_adapted(meta[ADAPTED], notes)


def three(values: object) -> Three | None:
    """Three finite numbers, or None."""
    if not isinstance(values, (list, tuple)) or len(values) != 3:
        return None
    if not all(type(v) in {int, float} and math.isfinite(v) and abs(v) < 1e6 for v in values):
        return None
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _classes(
    sources: Mapping[str, Mapping[str, Any]], num_classes: int, notes: list[str]
) -> tuple[tuple[str, ...] | None, str]:
    names, origin = _first(sources, ("CLASSES", "classes"))
    if names is None:
        return None, ""
    problem = why_no_names(names)
    if len(names) != num_classes:
        problem = f"they are {len(names)}, and the network has {num_classes} classes"
    if problem:
        notes.append(
            f"the class names in {origin} are left out: {problem}; --names FILE gives others"
        )
        return None, ""
    return tuple(names), origin


def _palette(
    sources: Mapping[str, Mapping[str, Any]], num_classes: int, notes: list[str]
) -> Colours | None:
    colours, origin = _first(sources, ("PALETTE", "palette"))
    if colours is None:
        return None
    made = [_colour(value) for value in colours]
    if len(made) != num_classes or None in made:
        notes.append(
            f"the palette in {origin} is left out: it is not {num_classes} colours of three whole "
            "numbers from 0 to 255"
        )
        return None
    return tuple(colour for colour in made if colour is not None)


def _colour(value: object) -> tuple[int, int, int] | None:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return None
    if not all(type(v) in {int, float} and 0 <= v <= 255 and v == int(v) for v in value):
        return None
    red, green, blue = (int(channel) for channel in value)
    return red, green, blue


def _first(
    sources: Mapping[str, Mapping[str, Any]], keys: Iterable[str]
) -> tuple[list[Any] | None, str]:
    """The first list under one of the keys; arrays become lists."""
    for origin, source in sources.items():
        for key in keys:
            value: Any = source.get(key)
            if hasattr(value, "tolist"):
                try:
                    value = value.tolist()
                except (ValueError, TypeError):
                    continue
            if isinstance(value, (list, tuple)):
                return list(value), origin
    return None, ""


def _config(meta: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """The top-level values of the configuration that are plain ones."""
    text = meta.get("cfg", meta.get("config"))
    if not isinstance(text, str) or not text:
        return {}
    try:
        return _assigned(ast.parse(text[:_LARGEST]))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        notes.append("the configuration in its meta is no Python text: nothing is read of it")
        return {}


def _assigned(module: ast.Module) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for line in module.body:
        if isinstance(line, ast.Assign) and isinstance(target := line.targets[0], ast.Name):
            known[target.id] = _value(line.value, known)
    return known


def _value(node: ast.expr, known: Mapping[str, Any]) -> Any:
    """Numbers, texts, lists, dicts, and names of those; None for anything else."""
    made: Any = None
    match node:
        case ast.Constant(value):
            made = value
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)):
            made = -value
        case ast.List(items) | ast.Tuple(items):
            made = [_value(item, known) for item in items]
        case ast.Dict(keys, values):
            named = zip(keys, values, strict=True)
            made = {k.value: _value(v, known) for k, v in named if isinstance(k, ast.Constant)}
        case ast.Call(ast.Name("dict"), [], keywords):
            made = {word.arg: _value(word.value, known) for word in keywords if word.arg}
        case ast.Name(name):
            made = known.get(name)
    return made


def _size(meta: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[tuple[int, int] | None, str]:
    """As our files record it, or the configuration's crop, which training saw."""
    crop = config.get("crop_size", _preprocessor(config).get("size"))
    for value, origin in ((meta.get("input_size"), "meta"), (crop, "crop_size of meta's cfg")):
        if isinstance(value, (list, tuple)) and len(value) == 2:
            height, width = value
            if all(type(side) is int and 1 <= side <= MAX_SIDE for side in value):
                return (height, width), origin
    return None, ""


def _normalisation(
    meta: Mapping[str, Any], config: Mapping[str, Any], notes: list[str]
) -> tuple[Three | None, Three | None, bool, str]:
    found = _preprocessor(config)
    rgb = found.get("bgr_to_rgb", found.get("to_rgb", False))
    own = {"mean": meta.get("mean"), "std": meta.get("std")}
    origin = "meta's cfg"
    if own["mean"] is not None or own["std"] is not None or "bgr" in meta:
        found, rgb, origin = own, meta.get("bgr") is not True, "meta"
    if found.get("mean") is None and found.get("std") is None:
        return None, None, meta.get("bgr") is True, ""
    mean, std = three(found.get("mean")), three(found.get("std"))
    if mean is None or std is None or min(std) <= 0:
        notes.append(
            f"the normalisation in {origin} is left out: mean and std are not three numbers each, "
            "deviations above 0; --mean and --std give it"
        )
        return None, None, False, ""
    return mean, std, rgb is not True, origin


def _preprocessor(config: Mapping[str, Any]) -> Mapping[str, Any]:
    model = config.get("model")
    places = [config, model] if isinstance(model, Mapping) else [config]
    for place in places:
        for name in _PREPROCESSORS:
            if isinstance(found := place.get(name), Mapping):
                return found
    return {}
