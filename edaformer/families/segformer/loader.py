"""A SegformerForSemanticSegmentation folder of Hugging Face's: config.json and safetensors.

``transformers`` reads the weights, whether they go by their published names or by its current ones,
and nothing is fetched or executed. Classes, normalisation and resizing are the folder's own.
Loading is strict, as for EDAFormer: what is missing, unknown, misshapen or not finite is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from edaformer import files
from edaformer.errors import CheckpointError, InputError, require
from edaformer.families.checkpoint import Checkpoint, Coverage, misfits
from edaformer.families.segformer.sizes import Four, SegFormerSizes
from edaformer.isr import ISR
from edaformer.preprocess import MAX_SIDE, RELEASE, Normalisation

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.segformer.network import SegFormer

_CONFIG, _PREPROCESSOR = "config.json", "preprocessor_config.json"
_RESCALE = 1 / 255  # SegformerImageProcessor's defaults, as is RELEASE's mean and deviation
_RESAMPLE = 2  # its default, too
_FILTERS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # Pillow's, by number
_UNNAMED = re.compile(r"LABEL_\d+")  # what transformers calls classes that nobody named
_SUPPORTED = {
    "num_encoder_blocks": 4, "num_channels": 3, "hidden_act": "gelu", "reshape_last_stage": True,
}  # fmt: skip
_LEAVES = {
    "layernorm_before": "norm1", "layernorm_after": "norm2",
    "attention.q_proj": "attention.q", "attention.k_proj": "attention.k",
    "attention.v_proj": "attention.v", "attention.o_proj": "attention.proj",
    "attention.sequence_reduction.sequence_reduction": "attention.reduction.conv",
    "attention.sequence_reduction.layer_norm": "attention.reduction.norm",
    "mlp.fc1": "mlp.fc1", "mlp.dwconv.dwconv": "mlp.dwconv", "mlp.fc2": "mlp.fc2",
}  # fmt: skip
_HEAD = {"linear_fuse": "fuse.conv", "batch_norm": "fuse.norm", "classifier": "classify"}


def owns(path: Path) -> bool:
    """Whether this is a folder with a model's configuration."""
    return (path / _CONFIG).is_file()


def network(sizes: SegFormerSizes, num_classes: int, isr: ISR) -> SegFormer:
    """The network of these sizes, freshly initialised; what imports PyTorch."""
    from edaformer.families.segformer.network import SegFormer

    return SegFormer(sizes, num_classes, isr)


def load(path: Path) -> Checkpoint:
    """Read and check a folder.

    Raises:
        CheckpointError: if it holds no complete, sound SegFormer for semantic segmentation.
        InputError: if its sizes or its normalisation are none that are supported.
        MissingError: without torch or transformers.
    """
    require("torch", "export")
    require("transformers", "segformer")
    if not any(path.glob("*.safetensors")):
        raise CheckpointError(
            f"expected the weights in {path} as model.safetensors, found none; save them with "
            "transformers' save_pretrained"
        )
    config = _config(path)
    sizes = _sizes(path, config)
    state = {_our_name(name): value for name, value in _weights(path, config).items()}
    classes = _classes(config)
    normalisation, input_size, resize = _preprocessing(path)
    return Checkpoint(
        path=path,
        sha256=sha256(path),
        variant=sizes,
        num_classes=config.num_labels,
        network=network,
        coverage=Coverage(used=len(state), left_over=()),
        classes=classes,
        input_size=input_size,
        normalisation=normalisation,
        resize=resize,
        reduced_labels=_reduced(path),
        state=state,
    )


def sha256(path: Path) -> str:
    """Of what ``sha256sum`` prints of the files that matter, in the order of their names."""
    matter = {path / _CONFIG, path / _PREPROCESSOR, *path.glob("*.safetensors")}
    lines = (f"{files.sha256(file)}  {file.name}\n" for file in sorted(matter) if file.is_file())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _config(path: Path) -> Any:
    """A SegformerConfig."""
    from huggingface_hub.errors import StrictDataclassError
    from transformers import SegformerConfig

    content = _read_json(path / _CONFIG)
    kind = content.get("model_type")
    if kind != "segformer":
        raise CheckpointError(
            f"expected a SegFormer in {path}, but its {_CONFIG} says model_type {kind!r}; "
            "no other model of Hugging Face's is supported"
        )
    try:
        return SegformerConfig.from_dict(content)
    except (StrictDataclassError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path / _CONFIG} is no configuration of a SegFormer ({_line(error)}); "
            "save the model again"
        ) from error


def _sizes(path: Path, config: Any) -> SegFormerSizes:
    for name, wanted in _SUPPORTED.items():
        if (got := getattr(config, name)) != wanted:
            raise CheckpointError(
                f"expected {name} {wanted!r} in {path / _CONFIG}, got {got!r}; "
                "no other is supported"
            )
    lists = ("hidden_sizes", "depths", "num_attention_heads", "sr_ratios", "patch_sizes", "strides",
             "mlp_ratios")  # fmt: skip
    found = {name: tuple(getattr(config, name)) for name in lists}
    for name, values in found.items():
        if len(values) != 4:
            raise CheckpointError(
                f"expected 4 {name} in {path / _CONFIG}, got {len(values)}; save the model again"
            )
    widths, depths, heads, ratios, patches, strides, mlp_ratios = (
        cast(Four, values) for values in found.values()
    )
    return SegFormerSizes(
        widths, depths, config.decoder_hidden_size, heads, ratios, mlp_ratios, patches, strides
    )


def _weights(path: Path, config: Any) -> dict[str, Tensor]:
    """float32, by transformers' current names; every one of the model, and no other."""
    import torch
    from safetensors import SafetensorError
    from transformers import SegformerForSemanticSegmentation

    try:
        with _quiet():
            model, report = SegformerForSemanticSegmentation.from_pretrained(
                path, config=config, local_files_only=True, use_safetensors=True,
                dtype=torch.float32, output_loading_info=True,
            )  # fmt: skip
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights in {path} cannot be read ({_line(error)}); copy the folder again"
        ) from error
    state: dict[str, Tensor] = model.state_dict()
    problems = {
        "missing": report["missing_keys"],
        "unknown": report["unexpected_keys"],
        "wrongly shaped": [key for key, *_ in report["mismatched_keys"]],
        "not finite": [key for key, value in state.items() if not torch.isfinite(value).all()],
    }
    if found := misfits({what: sorted(keys) for what, keys in problems.items()}):
        raise CheckpointError(
            f"the weights in {path} do not fit its {_CONFIG}: {found}; use a complete "
            "folder of SegformerForSemanticSegmentation"
        )
    return state


def _our_name(key: str) -> str:
    """This package's name for a parameter under transformers' current name."""
    if match := re.fullmatch(r"segformer\.stages\.(\d)\.patch_embeddings\.(\w+)\.(\w+)", key):
        part = "proj" if match[2] == "proj" else "norm"
        return f"encoder.stage{int(match[1]) + 1}.embed.{part}.{match[3]}"
    if match := re.fullmatch(r"segformer\.stages\.(\d)\.layer_norm\.(\w+)", key):
        return f"encoder.stage{int(match[1]) + 1}.norm.{match[2]}"
    if match := re.fullmatch(r"segformer\.stages\.(\d)\.blocks\.(\d+)\.(.+)\.(\w+)", key):
        leaf = _LEAVES[match[3]]
        return f"encoder.stage{int(match[1]) + 1}.blocks.{match[2]}.{leaf}.{match[4]}"
    if match := re.fullmatch(r"decode_head\.linear_projections\.(\d)\.proj\.(\w+)", key):
        return f"decoder.fuse.embed.{3 - int(match[1])}.{match[2]}"  # ours begin with c4
    part, leaf = key.removeprefix("decode_head.").split(".")
    return f"decoder.{_HEAD[part]}.{leaf}"


def _classes(config: Any) -> tuple[str, ...] | None:
    """Their names in the order of the logits, where the folder has them."""
    names = [config.id2label.get(index) for index in range(config.num_labels)]
    unnamed = any(not isinstance(name, str) or _UNNAMED.fullmatch(name) for name in names)
    return None if unnamed else tuple(names)


def _preprocessing(path: Path) -> tuple[Normalisation, tuple[int, int] | None, str]:
    """Normalisation on the 0..255 scale, the size (H, W) that images are resized to, and how."""
    content = _read_json(path / _PREPROCESSOR) if (path / _PREPROCESSOR).is_file() else {}
    scale = content.get("rescale_factor", _RESCALE) if content.get("do_rescale", True) else 1.0
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if content.get("do_normalize", True):
        mean = content.get("image_mean", tuple(value * _RESCALE for value in RELEASE.mean))
        std = content.get("image_std", tuple(value * _RESCALE for value in RELEASE.std))
    try:
        normalisation = Normalisation(_pixels(mean, scale), _pixels(std, scale))
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise _not_numbers(path) from error
    if not all(0 < value < float("inf") for value in normalisation.std):
        raise _not_numbers(path)
    size = _input_size(content) if content.get("do_resize", True) else None
    return normalisation, size, _resize(path, content)


def _reduced(path: Path) -> bool:
    """By transformers' name for it, or its older one."""
    content = _read_json(path / _PREPROCESSOR) if (path / _PREPROCESSOR).is_file() else {}
    return any(content.get(name) is True for name in ("do_reduce_labels", "reduce_labels"))


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
    """By which of Pillow's filters, such as ``pillow-bilinear``; do_resize says only whether."""
    number = content.get("resample", _RESAMPLE)
    if type(number) is not int or not 0 <= number < len(_FILTERS):
        raise CheckpointError(
            f"expected resample in {path / _PREPROCESSOR} as 0 to {len(_FILTERS) - 1}, got "
            f"{number!r}; write 2, for bilinear, if that is what it was trained with"
        )
    return f"pillow-{_FILTERS[number]}"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON; copy the folder again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no JSON object; copy the folder again")
    return content


def _not_numbers(path: Path) -> InputError:
    return CheckpointError(
        f"expected image_mean and image_std in {path / _PREPROCESSOR} as three numbers each, "
        "deviations above 0; mend them"
    )


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Its progress bars and reports are no news: what is wrong is in our own words."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
