"""``ladder.json``: the rungs of a ladder, as ``edaformer-tune --ladder`` writes it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edaformer.engines.artifact.plan import read_plan
from edaformer.errors import InputError, ManifestError
from edaformer.files import sha256
from edaformer.json_text import read_json

SCHEMA = 1
_MOST_BYTES = 1 << 20
_Side = Annotated[int, Field(ge=1, le=1 << 16)]  # pixels
_Name = Annotated[str, Field(min_length=1, max_length=255)]


@dataclass(frozen=True)
class Entry:
    """One rung of an index."""

    isr: str
    artifact: Path


@dataclass(frozen=True)
class Index:
    """What ``ladder.json`` says."""

    size: tuple[int, int]  # (H, W) of a frame
    rungs: tuple[Entry, ...]  # the most accurate first


class _Rung(BaseModel):
    """The point's figures lie beside; a ladder times its engines itself."""

    model_config = ConfigDict(frozen=True, strict=True)

    isr: _Name
    artifact: _Name


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True)  # a JSON list is a tuple here

    size: tuple[Annotated[_Side, Field(strict=True)], Annotated[_Side, Field(strict=True)]]
    rungs: tuple[_Rung, ...] = Field(min_length=1, max_length=256)


def read_index(path: Path) -> Index:
    """Read and check an index; its artifacts must lie in its folder, a plan instead of its ONNX.

    Raises:
        ManifestError: if it is none, or damaged.
        InputError: if an artifact is not there.
    """
    content = _read(path)
    entries = []
    for rung in content.rungs:
        artifact = path.parent / rung.artifact
        if Path(rung.artifact).name != rung.artifact or not _is_file(artifact):
            raise InputError(
                f"{path} names the rung {rung.artifact}, which is not beside it; copy the whole "
                "folder"
            )
        entries.append(Entry(rung.isr, _built(artifact)))
    return Index(content.size, tuple(entries))


def _built(artifact: Path) -> Path:
    """The plan that was built of an ONNX file and lies beside it, else the artifact itself."""
    plan = artifact.with_suffix(".plan")
    if artifact.suffix != ".onnx" or not _is_file(plan):
        return artifact
    if read_plan(plan).known_manifest().onnx_sha256 != sha256(artifact):
        again = shlex.join(["edaformer-build", str(artifact), "--force"])
        raise InputError(f"{plan} was built of another file than {artifact.name}; {again}")
    return plan


def _read(path: Path) -> _Content:
    try:
        content = read_json(path, _MOST_BYTES)
    except OSError as error:
        raise InputError(
            f"expected a ladder's index at {path}, which cannot be read; make one with "
            "edaformer-tune --ladder 3"
        ) from error
    except ValueError as error:
        raise ManifestError(f"{path} is not a ladder's index: {error}; make it again") from error
    schema = content.get("schema_version") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise ManifestError(
            f"{path} is not a ladder's index of schema {SCHEMA}, which this version reads (it says "
            f"{str(schema)[:20]}); make it again"
        )
    try:
        return _Content.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ManifestError(
            f"{path} is not a ladder's index: {where}: {first['msg']}; make it again"
        ) from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long for a file, or with a null byte in it
        return False
