"""An adapted folder: the source's configuration and preprocessing, and weights under its names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.errors import require
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.formats.adapted_file import as_theirs
from edaformer.families.formats.file import Reader
from edaformer.families.formats.images import PREPROCESSOR
from edaformer.families.reading import folder
from edaformer.families.reading.json_file import read_object
from edaformer.families.reading.training import ADAPTED
from edaformer.families.reading.weights import Weights
from edaformer.files import write_folder

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.adapted import Adapted

_CONFIG = "config.json"


def save_adapted(
    checkpoint: Checkpoint,
    state: Mapping[str, Tensor],
    record: Adapted,
    path: Path,
    reader: Reader,
    *,
    key: str = ADAPTED,
) -> None:
    """As ``families.table.save_adapted`` says, for a folder that a ``Reader`` reads.

    ``key``: under which the configuration has the record.
    """
    read = Weights(folder.read_folder(checkpoint.path, reader.anchors), {})
    tensors = as_theirs(checkpoint, read, state, reader)
    write_adapted_folder(checkpoint.path, tensors, key, record, path)


def write_adapted_folder(
    source: Path, tensors: Mapping[str, Tensor], key: str, record: Adapted, path: Path
) -> None:
    """Write it whole; an adapter of the source's is merged and is not there any more."""
    config = {**read_object(source / _CONFIG), key: record.model_dump(mode="json")}
    save = require("safetensors.torch", "export").save
    made = {
        _CONFIG: json.dumps(config, indent=2).encode(),
        folder.WEIGHTS: save(dict(tensors), metadata={"format": "pt"}),
    }
    if (source / PREPROCESSOR).is_file():
        made[PREPROCESSOR] = (source / PREPROCESSOR).read_bytes()
    write_folder(path, made)
