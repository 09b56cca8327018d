"""Names of weights without what wrapped the model: DDP, torch.compile, SWA, Lightning, EMA.

A wrapper's name is no guess: it is what stands before a weight that every network of the family has
(an *anchor*). It is taken off where all weights have it; anything less is refused, as are two
copies of one weight.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.errors import CheckpointError
from edaformer.families.checkpoint import some

if TYPE_CHECKING:
    from torch import Tensor

COUNTER = "n_averaged"  # AveragedModel's own, beside ``module.``
_COMPILED = re.compile(r"(?<![^.])_orig_mod\.")  # torch.compile's, of whatever module
_ADAPTED = re.compile(
    r"(^|\.)(lora_\w+|ia3_\w+|hada_\w+|lokr_\w+|oft_\w+|boft_\w+|vera_\w+|adaption_\w+"
    r"|base_layer|original_module|modules_to_save)(\.|$)"
)


def plain_names(path: Path, keys: Iterable[str], anchors: Iterable[str]) -> dict[str, str]:
    """The key in the file of every weight, by its name without wrappers.

    Args:
        path: for messages.
        keys: as the file has them.
        anchors: weights that every network of the family has, under any of its namings.

    Raises:
        CheckpointError: if some weights have a prefix and others not, or there are two copies.
    """
    wrapped = {key: _COMPILED.sub("", key) for key in keys if key != COUNTER}
    _refuse_copies(path, wrapped)
    _refuse_adapted(path, wrapped)
    prefixes = _prefixes(wrapped.values(), anchors)
    if len(prefixes) > 1:
        raise CheckpointError(
            f"{path} holds {len(prefixes)} copies of the weights, under "
            f"{' and '.join(repr(prefix) for prefix in prefixes)}; save the one that is meant"
        )
    prefix = next(iter(prefixes), "")
    others = [key for key, name in wrapped.items() if not name.startswith(prefix)]
    if others:
        _refuse_others(path, wrapped, prefix, others)
    return {name.removeprefix(prefix): key for key, name in wrapped.items()}


def renamed(
    path: Path, tensors: Mapping[str, Tensor], our_name: Callable[[str], str]
) -> dict[str, Tensor]:
    """The same under this package's names.

    Raises:
        CheckpointError: if two of them mean one weight.
    """
    _refuse_copies(path, {key: our_name(key) for key in tensors})
    return {our_name(key): value for key, value in tensors.items()}


def _prefixes(names: Iterable[str], anchors: Iterable[str]) -> list[str]:
    """What stands before an anchor, wherever there is one."""
    ends = tuple(anchors)
    found = {
        name.removesuffix(end)
        for name in names
        for end in ends
        if name == end or name.endswith(f".{end}")
    }
    return sorted(found)


def _refuse_copies(path: Path, wrapped: Mapping[str, str]) -> None:
    by_name: dict[str, str] = {}
    for key, name in wrapped.items():
        if name in by_name:
            raise CheckpointError(
                f"{path} holds two copies of one weight, {by_name[name]} and {key}; save the one "
                "that is meant"
            )
        by_name[name] = key


def _refuse_adapted(path: Path, wrapped: Mapping[str, str]) -> None:
    """Weights that only peft puts together again: their scale is not in the file."""
    adapted = [key for key, name in wrapped.items() if _ADAPTED.search(name)]
    if adapted:
        raise CheckpointError(
            f"{path} holds {len(adapted)} weights of an adapter that is not merged "
            f"({some(adapted)}); merge it where it was trained: model.merge_and_unload(), then "
            "save its state_dict()"
        )


def _refuse_others(path: Path, wrapped: Mapping[str, str], prefix: str, others: list[str]) -> None:
    names = set(wrapped.values())
    for key in others:
        if prefix + wrapped[key] in names:
            raise CheckpointError(
                f"{path} holds two copies of one weight, {key} and {prefix}{wrapped[key]}; save "
                "the one that is meant"
            )
    raise CheckpointError(
        f"all but {len(others)} of the {len(wrapped)} weights in {path} begin with '{prefix}', "
        f"and these do not: {some(others)}; save the network's own, as in "
        f"torch.save(it.{prefix}state_dict(), 'model.pth')"
    )
