"""The weights of a file, whatever training loop wrote it: out of its envelope, sound by kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edaformer.errors import CheckpointError
from edaformer.families.checkpoint import some
from edaformer.families.reading import safetensors_file
from edaformer.families.reading.border import border
from edaformer.families.reading.inert import Inert, OddTensor, Stored
from edaformer.families.reading.kinds import refuse_other
from edaformer.families.reading.prefixes import COUNTER, plain_names
from edaformer.families.reading.torch_file import open_torch

if TYPE_CHECKING:
    from torch import Tensor

FLOATING = {"float64", "float32", "float16", "bfloat16"}
_COUNTED = "num_batches_tracked"  # BatchNorm's, which inference does not read
_ENVELOPES = ("state_dict", "model", "model_state_dict", "weights")  # where one is not found
_MMENGINES = "ema_state_dict"  # its EMAHook has put the averaged weights into state_dict


@dataclass(frozen=True)
class Weights:
    """What a file holds of a network."""

    tensors: dict[str, Tensor]  # by their names without wrappers; of a floating dtype
    meta: dict[str, Any]  # what the training loop wrote beside them; believed in nothing
    left_over: tuple[str, ...] = ()  # known to be no weights, or not the ones that count


def read_weights(path: Path, anchors: Iterable[str]) -> Weights:
    """Read a ``.pth`` or ``.safetensors``.

    Args:
        path: the file.
        anchors: weights that every network of the family has, under any of its namings.

    Raises:
        CheckpointError: if it is no file of weights, is damaged, or holds them in another form.
        MissingError: without torch (or safetensors, where it is one).
    """
    with border(path):
        refuse_other(path)
        read = _read_safetensors if is_safetensors(path) else _read_torch
        return read(path, anchors)


def is_safetensors(path: Path) -> bool:
    """By its first bytes: a length, then JSON; a pickle and a ZIP begin otherwise."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:9] == b"{" and head[:1] != b"\x80" and not head.startswith(b"PK")


def check_dtypes(path: Path, dtypes: Mapping[str, str]) -> None:
    """Refuse whatever is no floating point number: cast, it would still draw pretty pictures.

    Args:
        path: for the message.
        dtypes: by name of the weight; PyTorch's names, or what else it is.

    Raises:
        CheckpointError: naming the weights of every other kind.
    """
    odd: dict[str, list[str]] = {}
    for name, dtype in dtypes.items():
        counts = name.endswith(_COUNTED) and dtype in {"int64", "int32"}
        if dtype not in FLOATING and not counts:
            odd.setdefault(dtype, []).append(name)
    if odd:
        found = "; ".join(f"{len(names)} {kind} ({some(names)})" for kind, names in odd.items())
        raise CheckpointError(
            f"expected weights in floating point in {path}, got {found}; save them as they were "
            "trained, in float32 or float16"
        )


def _read_safetensors(path: Path, anchors: Iterable[str]) -> Weights:
    dtypes = safetensors_file.dtypes(path)
    names = plain_names(path, dtypes, anchors)
    check_dtypes(path, {name: dtypes[key] for name, key in names.items()})
    read = safetensors_file.tensors(path, list(names.values()))
    tensors = {name: read[key] for name, key in names.items()}
    return Weights(tensors, safetensors_file.own_metadata(path), _left_over(dtypes))


def _read_torch(path: Path, anchors: Iterable[str]) -> Weights:
    with open_torch(path) as file:
        content = file.content
        stored, ignored = _state_dict(path, content, anchors)
        names = plain_names(path, stored, anchors)
        kinds = {name: _kind(stored[key]) for name, key in names.items()}
        check_dtypes(path, kinds)
        tensors = {
            name: file.tensor(tensor)
            for name, key in names.items()
            if isinstance(tensor := stored[key], Stored)  # any other was refused
        }
    meta = content.get("meta")
    return Weights(tensors, dict(meta) if isinstance(meta, Mapping) else {},
                   (*_left_over(stored), *ignored))  # fmt: skip


def _left_over(keys: Iterable[str]) -> tuple[str, ...]:
    return (COUNTER,) if COUNTER in keys else ()


def _kind(tensor: Stored | OddTensor) -> str:
    return tensor.kind if isinstance(tensor, OddTensor) else tensor.dtype


def _state_dict(
    path: Path, content: object, anchors: Iterable[str]
) -> tuple[dict[str, Stored | OddTensor], tuple[str, ...]]:
    """The one state dict of the file, and the names of others that do not count."""
    found = _candidates(path, content)
    ends = tuple(anchors)
    fitting = [name for name, part in found.items() if any(_ends(key, ends) for key in part)]
    ignored: tuple[str, ...] = ()
    if _MMENGINES in fitting and "state_dict" in fitting and "message_hub" in found | dict(content):  # type: ignore[call-overload]
        fitting.remove(_MMENGINES)
        ignored = (_MMENGINES,)
    if len(fitting) > 1:
        raise CheckpointError(
            f"{path} holds {len(fitting)} sets of weights, under "
            f"{' and '.join(repr(name) for name in fitting)}; save the one that is meant"
        )
    chosen = found[fitting[0]] if fitting else next(iter(found.values()))
    return _only_tensors(path, chosen), ignored


def _ends(key: object, anchors: tuple[str, ...]) -> bool:
    return isinstance(key, str) and key.endswith(anchors)


def _candidates(path: Path, content: object) -> dict[str, Mapping[Any, Any]]:
    """Everything in the file that could be a state dict, by the key it lies under."""
    if isinstance(content, Inert):
        raise _whole_model(path, content)
    if not isinstance(content, Mapping) or not content:
        raise _nothing(path)
    inside = {str(key): value for key, value in content.items() if isinstance(value, Mapping)}
    found = {key: part for key, part in inside.items() if _has_tensors(part)}
    if _has_tensors(content):
        found[""] = content
    if not found:  # an envelope in an envelope
        found = {
            f"{key}.{name}": part
            for key, outer in inside.items()
            for name, part in outer.items()
            if isinstance(part, Mapping) and _has_tensors(part)
        }
    return found or _unfit(path, content, inside)


def _unfit(
    path: Path, content: Mapping[Any, Any], inside: Mapping[str, Mapping[Any, Any]]
) -> dict[str, Mapping[Any, Any]]:
    for name in _ENVELOPES:
        if isinstance(content.get(name), Inert):
            raise _whole_model(path, content[name])
        if inside.get(name):
            return {name: inside[name]}
    if inside:
        raise _nothing(path)
    return {"": content}


def _has_tensors(part: Mapping[Any, Any]) -> bool:
    return any(map(_is_tensor, part.values()))


def _is_tensor(value: object) -> bool:
    return isinstance(value, (Stored, OddTensor))


def _only_tensors(path: Path, found: Mapping[Any, Any]) -> dict[str, Stored | OddTensor]:
    odd = [f"{key}: {_said(value)}" for key, value in found.items() if not _is_tensor(value)]
    if odd:
        raise CheckpointError(
            f"{path} holds {len(odd)} entries that are not tensors ({some(odd)}); "
            "expected a state dict of tensors"
        )
    return {str(key): value for key, value in found.items()}


def _said(value: object) -> str:
    return value.named if isinstance(value, Inert) else type(value).__name__.lower()


def _whole_model(path: Path, found: Inert) -> CheckpointError:
    return CheckpointError(
        f"{path} holds a whole object, a '{found.named}', which can only be loaded by running its "
        "code; refused. Save its weights: torch.save(model.state_dict(), 'model.pth')"
    )


def _nothing(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} holds no state_dict; expected one under the key 'state_dict'")
