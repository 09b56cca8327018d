"""Which of the two kinds of artifact a file is: told by its content, never by its name."""

from __future__ import annotations

from pathlib import Path

from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.engines.artifact.plan import TAGS, read_plan
from edaformer.engines.artifact.served import is_address, served_manifest
from edaformer.errors import InputError
from edaformer.manifest import Manifest


def is_plan(path: Path) -> bool:
    """Whether the file opens with a plan's tag.

    Raises:
        InputError: if there is no such file.
    """
    if not path.is_file():
        raise InputError(f"expected a file at {path}, found nothing there; check the path")
    with path.open("rb") as file:
        return file.read(4) in TAGS


def artifact_manifest(path: Path) -> Manifest:
    """The manifest of an ``.onnx`` or ``.plan``, told apart by content, or of a served model.

    Raises:
        InputError: if it is neither.
        ManifestError: if it has none.
        ServerError: if the server does not answer.
    """
    if is_address(path):
        return served_manifest(path)
    return read_plan(path).known_manifest() if is_plan(path) else read_onnx_manifest(path)


def refuse_provider(path: Path, provider: str) -> None:
    """Refuse to choose ONNX Runtime's provider for a plan or a served model.

    Raises:
        InputError: if one was chosen.
    """
    if provider != "auto":
        what = "served elsewhere" if is_address(path) else "a plan"
        raise InputError(f"--provider is for ONNX Runtime, and {path.name} is {what}; leave it out")
