"""A Hugging Face folder of weights: one file of safetensors, or shards and their index.

An index names files, and nothing outside the folder is a name: what is read is what is hashed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer import files
from edaformer.errors import CheckpointError
from edaformer.families.checkpoint import some
from edaformer.families.reading import safetensors_file
from edaformer.families.reading.border import border
from edaformer.families.reading.json_file import read_object
from edaformer.families.reading.kinds import refuse_other
from edaformer.families.reading.prefixes import plain_names
from edaformer.families.reading.weights import check_dtypes
from edaformer.printable import in_one_line

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_LONGEST = 255  # bytes of a file's name, on every system


def sha256(folder: Path, *names: str) -> str:
    """Of what ``sha256sum`` prints of these, the index, the adapter and all weights, by name."""
    matter = {folder / name for name in (*names, INDEX, ADAPTER)} | {*folder.glob("*.safetensors")}
    return files.sha256_of_all(file for file in matter if file.is_file())


def read_folder(folder: Path, anchors: Iterable[str]) -> dict[str, Tensor]:
    """Every weight of the folder, by its name without wrappers.

    Raises:
        CheckpointError: if there is none, or one cannot be read or is of another kind.
    """
    places = _places(folder)
    dtypes: dict[str, str] = {}
    for file in sorted(set(places.values())):
        with border(file):
            found = safetensors_file.dtypes(file)
        _check_shard(file, {key for key, place in places.items() if place == file}, found)
        dtypes |= found
    names = plain_names(folder, dtypes, anchors)
    check_dtypes(folder, {name: dtypes[key] for name, key in names.items()})
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(places.values())):
        with border(file):
            tensors |= safetensors_file.tensors(file, [k for k in dtypes if places[k] == file])
    return {name: tensors[key] for name, key in names.items()}


def _places(folder: Path) -> dict[str, Path]:
    """The file of every weight, as transformers chooses: one whole file first."""
    whole, index = folder / WEIGHTS, folder / INDEX
    if whole.is_file():
        with border(whole):
            refuse_other(whole)
            return dict.fromkeys(safetensors_file.dtypes(whole), whole)
    if index.is_file():
        return _indexed(index)
    raise CheckpointError(
        f"expected the weights in {folder} as {WEIGHTS}, found none; save them with "
        "transformers' save_pretrained"
    )


def _indexed(index: Path) -> dict[str, Path]:
    shards = read_object(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise CheckpointError(
            f"expected a weight_map in {index}, the file of every weight by its name; save the "
            "model again"
        )
    places = {}
    for name, shard in shards.items():
        if not isinstance(shard, str) or not _is_own(shard):
            raise CheckpointError(
                f"expected the file of {in_one_line(name)} in {index} as the name of a "
                f".safetensors in this folder, got {shard!a:.80}; save the model again"
            )
        places[name] = index.parent / shard
    missing = sorted({str(file.name) for file in places.values() if not file.is_file()})
    if missing:
        raise CheckpointError(f"{some(missing)} of {index} is not there; copy the folder again")
    return places


def _is_own(name: str) -> bool:
    """A name without a folder, of a file that the hash covers, and that a file can have."""
    plain = name.isprintable() and not set(name) & set("/\\:") and len(name.encode()) <= _LONGEST
    return name.endswith(".safetensors") and plain


def _check_shard(file: Path, wanted: set[str], found: Iterable[str]) -> None:
    missing, unknown = sorted(wanted - set(found)), sorted(set(found) - wanted)
    if missing or unknown:
        what = f"lacks {some(missing)}" if missing else f"also has {some(unknown)}"
        raise CheckpointError(
            f"{file} is not the file that its index describes: it {what}; copy the folder again"
        )
