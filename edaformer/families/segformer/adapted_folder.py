"""Write an adapted SegFormer as its source lies there: a folder of Hugging Face's, or of smp's.

Configuration and preprocessing are the source's, with the record of the adaptation in config.json;
the weights have the source's names and types. An adapter is merged and is not there any more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.errors import require
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.formats.adapted_file import as_theirs
from edaformer.families.reading import folder
from edaformer.families.reading.json_file import read_object
from edaformer.families.reading.training import ADAPTED
from edaformer.families.reading.weights import Weights
from edaformer.families.segformer.config import CONFIG, PREPROCESSOR
from edaformer.families.segformer.formats.smp_folder import ADAPTED_KEY, is_smp_folder
from edaformer.families.segformer.loader import READER
from edaformer.families.segformer.names import ANCHORS, Names
from edaformer.files import write_folder

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.adapted import Adapted
    from edaformer.families.segformer.sizes import SegFormerSizes


def save_adapted(
    checkpoint: Checkpoint, state: Mapping[str, Tensor], record: Adapted, path: Path
) -> None:
    """As ``families.table.save_adapted`` says, for a folder."""
    source = checkpoint.path
    if is_smp_folder(source):
        read = Weights(folder.read_folder(source, READER.anchors), {})
        tensors, key = as_theirs(checkpoint, read, state, READER), ADAPTED_KEY
    else:
        tensors, key = _hugging(checkpoint, state), ADAPTED
    config = {**read_object(source / CONFIG), key: record.model_dump(mode="json")}
    save = require("safetensors.torch", "export").save
    files = {
        CONFIG: json.dumps(config, indent=2).encode(),
        folder.WEIGHTS: save(tensors, metadata={"format": "pt"}),
    }
    if (source / PREPROCESSOR).is_file():
        files[PREPROCESSOR] = (source / PREPROCESSOR).read_bytes()
    write_folder(path, files)


def _hugging(checkpoint: Checkpoint, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    sizes: SegFormerSizes = checkpoint.variant  # type: ignore[assignment]  # the family's own
    names = Names(sizes)
    return {
        name: state[names.ours(name)].to(old.dtype).contiguous()
        for name, old in folder.read_folder(checkpoint.path, ANCHORS).items()
    }
