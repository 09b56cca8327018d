"""A LoRA adapter beside its base model (peft): merged, or refused by what it is.

W + s B A, with s = alpha / r, or alpha / sqrt(r) where ``use_rslora`` (LoRA, section 4.1; rsLoRA).
Of a convolution, A has its kernel and B is 1x1. What training replaced whole (``modules_to_save``)
is in the adapter whole. Every other setting changes the formula, and is refused by its name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edaformer.errors import CheckpointError
from edaformer.families.checkpoint import some
from edaformer.families.reading import safetensors_file
from edaformer.families.reading.border import border
from edaformer.families.reading.folder import ADAPTER, ADAPTER_WEIGHTS
from edaformer.families.reading.json_file import read_object
from edaformer.families.reading.weights import check_dtypes
from edaformer.printable import in_one_line

if TYPE_CHECKING:
    from torch import Tensor

_MERGE = "merge it where it was trained: model.merge_and_unload().save_pretrained(...)"
_UNDERSTOOD = {
    "r", "lora_alpha", "use_rslora", "rank_pattern", "peft_type", "init_lora_weights", "bias",
    "modules_to_save",
}  # fmt: skip
_NO_PART = {  # of the formula: what was trained where, and by which version
    "auto_mapping", "base_model_name_or_path", "exclude_modules", "inference_mode",
    "layers_pattern", "layers_to_transform", "lora_dropout", "megatron_config", "megatron_core",
    "peft_version", "qalora_group_size", "revision", "runtime_config", "target_modules",
    "task_type", "loftq_config", "eva_config", "corda_config", "lora_ga_config",
}  # fmt: skip
_LEAVES_BASE = (True, None, "gaussian", "orthogonal")  # other initialisations change W as well
_ROOT = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class Adapter:
    """What it does to the weights, by the base model's names."""

    pairs: Mapping[str, tuple[Tensor, Tensor]]  # A and B, by module
    whole: Mapping[str, Tensor]  # by weight
    alpha: float
    root: bool  # alpha / sqrt(r)

    def delta(self, module: str) -> Tensor:
        """S B A, in the shape of the weight: (out, in), or (out, in, kernel)."""
        down, up = (part.float() for part in self.pairs[module])
        rank = down.shape[0]
        scale = self.alpha / (math.sqrt(rank) if self.root else rank)
        product = up.flatten(1) @ down.flatten(1)  # (out, r) (r, in kernel)
        return scale * product.reshape(up.shape[0], *down.shape[1:])


def adapted(
    folder: Path, state: dict[str, Tensor], our_name: Callable[[str], str]
) -> dict[str, Tensor]:
    """``state`` with the folder's adapter merged, where it has one.

    Args:
        folder: of the base model.
        state: its weights, by ``our_name``.
        our_name: of a weight as the files call it.

    Raises:
        CheckpointError: if it is an adapter of another kind, or one of another model.
    """
    if not (folder / ADAPTER).is_file():
        _refuse_hidden(folder)
        return state
    adapter = read_adapter(folder)
    merged = dict(state)
    for name, value in adapter.whole.items():
        key = _known(folder, our_name(name), name, state)
        merged[key] = _same_shape(folder, name, value.float(), state[key])
    for module in adapter.pairs:
        key = _known(folder, our_name(f"{module}.weight"), module, state)
        delta = _same_shape(folder, module, adapter.delta(module), state[key])
        merged[key] = state[key].float() + delta
    return merged


def read_adapter(folder: Path) -> Adapter:
    """The adapter in a folder.

    Raises:
        CheckpointError: if its settings ask for more than the formula above.
    """
    config = read_object(folder / ADAPTER)
    _refuse_other_kinds(folder, config)
    file = folder / ADAPTER_WEIGHTS
    if not file.is_file():
        raise CheckpointError(
            f"{folder} has an adapter ({ADAPTER}) without {ADAPTER_WEIGHTS}; save it again with "
            "save_pretrained, or move it away"
        )
    with border(file):
        dtypes = safetensors_file.dtypes(file)
        check_dtypes(file, dtypes)
        tensors = safetensors_file.tensors(file, list(dtypes))
    parts = {name.removeprefix(_ROOT): value for name, value in tensors.items()}
    modules = [name.removesuffix(_A) for name in parts if name.endswith(_A)]
    pairs = {m: (parts.pop(m + _A), parts.pop(m + _B)) for m in modules if m + _B in parts}
    whole = {name.replace("modules_to_save.", ""): value for name, value in parts.items()}
    adapter = Adapter(pairs, whole, float(config["lora_alpha"]), config.get("use_rslora") is True)
    _check(folder, config, adapter)
    return adapter


def _refuse_other_kinds(folder: Path, config: Mapping[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise _refused(folder, f"of the kind {in_one_line(str(kind))[:40]}")
    odd = [name for name, value in config.items() if value and name not in _UNDERSTOOD | _NO_PART]
    if config.get("bias", "none") != "none":
        odd.append("bias")
    if config.get("init_lora_weights") not in _LEAVES_BASE:
        odd.append(f"init_lora_weights {config['init_lora_weights']!a:.40}")
    if odd:
        raise _refused(folder, f"LoRA with {some(sorted(odd))}")
    numbers: tuple[Any, Any] = config.get("lora_alpha"), config.get("r")
    if not all(type(n) in {int, float} and 0 < n < math.inf for n in numbers):
        raise CheckpointError(
            f"expected r and lora_alpha in {folder / ADAPTER} as numbers above 0, got "
            f"{numbers!r:.80}; save the adapter again"
        )


def _check(folder: Path, config: Mapping[str, Any], adapter: Adapter) -> None:
    """Nothing of another form among its weights."""
    odd = [name for name in adapter.whole if "lora_" in name or "base_layer" in name]
    if odd:
        raise _refused(folder, f"LoRA with weights of another form ({some(odd)})")
    if adapter.whole and not config.get("modules_to_save"):
        raise _refused(
            folder,
            f"LoRA with weights that its configuration does not name ({some(adapter.whole)})",
        )
    for module, (down, up) in adapter.pairs.items():
        same = down.ndim >= 2 and up.ndim == down.ndim and up.shape[1] == down.shape[0]
        ranked = config.get("rank_pattern") or down.shape[0] == config["r"]
        if not same or not ranked or any(side != 1 for side in up.shape[2:]):
            raise _refused(
                folder,
                f"LoRA of rank {config['r']}, and {in_one_line(module)} has weights of "
                f"{tuple(down.shape)} and {tuple(up.shape)}",
            )


def _refuse_hidden(folder: Path) -> None:
    """One in a folder below would be left out without a word."""
    for found in sorted(folder.glob(f"*/{ADAPTER}")):
        raise CheckpointError(
            f"{folder} has an adapter in {found.parent.name}/; put its {ADAPTER} and "
            f"{ADAPTER_WEIGHTS} beside the model to have it merged, or move it away"
        )


def _known(folder: Path, key: str, name: str, state: Mapping[str, Tensor]) -> str:
    if key not in state:
        raise CheckpointError(
            f"the adapter in {folder} is of another model: there is no {in_one_line(name)} here; "
            "put it beside its own base model"
        )
    return key


def _same_shape(folder: Path, name: str, value: Tensor, weight: Tensor) -> Tensor:
    if value.shape != weight.shape:
        raise CheckpointError(
            f"the adapter in {folder} is of another model: {in_one_line(name)} is "
            f"{tuple(value.shape)} there and {tuple(weight.shape)} here; put it beside its own"
        )
    return value


def _refused(folder: Path, what: str) -> CheckpointError:
    return CheckpointError(
        f"{folder} has an adapter beside its base model: {what}, which is not merged here; {_MERGE}"
    )
