"""An artifact tried on the witness frames beside it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.engines.segmenters import open_artifact
from edaformer.errors import InputError
from edaformer.labels.witness import Trial, missing_witness, read_witness, try_frames


def try_witness(artifact: Path, *, provider: str = "auto") -> Trial:
    """Run an ``.onnx`` or ``.plan`` on its witness frames.

    Raises:
        InputError: if it has none.
        DataError: if they are damaged, or another artifact's.
        MissingError: for a plan without a GPU.
    """
    manifest = artifact_manifest(artifact)
    known = read_witness(artifact, manifest)
    if known is None:
        raise InputError(missing_witness(artifact, manifest))
    with closing(open_artifact(artifact, provider=provider)) as segmenter:
        return try_frames(known, lambda frame: segmenter.segment(frame[None])[0])
