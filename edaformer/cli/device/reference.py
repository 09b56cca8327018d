"""PyTorch's answers for a device: given, or made here once and kept by what they are of."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edaformer.cli.common import say
from edaformer.errors import InputError

if TYPE_CHECKING:
    from edaformer.evaluation.protocol import FitName

_KEPT = "references"


def find_reference(
    artifact: Path, given: Path | None, checkpoint: str | None, data: str | None
) -> Path | None:
    """The reference file of an artifact; None, said, where nothing is known to make one from.

    Raises:
        InputError: if a path leads nowhere.
        MissingError: if one has to be made, and PyTorch is not here.
    """
    if given is not None:
        if not given.is_file():
            raise InputError(f"expected a reference file at {given}, found none; check the path")
        return given
    if checkpoint is None and data is None:
        say("note: without --reference or --checkpoint it is not validated against PyTorch there")
        return None
    from edaformer.cli.validation_ways import Desk
    from edaformer.data import check_data
    from edaformer.engines.artifact.kind import artifact_manifest
    from edaformer.engines.validate.reference_cache import ReferenceCache, default_folder
    from edaformer.preprocess import format_size

    manifest, folder = artifact_manifest(artifact), default_folder()
    if folder is None:
        raise InputError("this user has no home to keep references in; name one with --reference")
    spec, text = manifest.input, data or "scenes"
    check_data(text)
    size = "dynamic" if spec.dynamic_size else format_size(manifest.size)
    align = None if spec.dynamic_size else str(spec.align or "none")
    averages = any(output.name == "logits" for output in manifest.outputs)
    fit: FitName | None = None if spec.dynamic_size else "slide" if averages else "resize"
    key = [manifest.checkpoint_sha256, manifest.isr, size, align, fit, text, *_state(text)]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    path = folder / _KEPT / f"{name}.ref"
    if path.is_file():
        return path
    desk = Desk(
        checkpoint=checkpoint, original=None, given=manifest.given, data=text, labels=None,
        limit=None, protocol=None, scales=(1.0,), flip=False, fit=fit, frames=False,
        cache=ReferenceCache(folder, on_note=say), workers=1, spread=None, save=path,
        with_images=True,
    )  # fmt: skip
    desk.save_for(manifest.isr, size, align)
    return path


def _state(data: str) -> Iterator[tuple[str, int, int]]:
    """Of every file of a data set: where, how large, how old."""
    folder = Path(data.partition(":")[2]).expanduser()
    if not data.partition(":")[2] or not folder.is_dir():
        return
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            stat = path.stat()
            yield str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns
