"""The installed distribution as a wheel again, for a device: what runs here, file by file.

A wheel is a ZIP archive of what goes into site-packages, with a RECORD of every file's hash (binary
distribution format, packaging.python.org). Installing adds scripts, byte code and notes of its own,
which are left out; what went into the environment's ``share`` goes there again.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sysconfig
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from edaformer.errors import MissingError

_OF_INSTALLING = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def repack(distribution: metadata.Distribution, folder: Path) -> Path:
    """The wheel, made in a folder.

    Raises:
        MissingError: if it does not lie here as a wheel laid it.
    """
    told = distribution.read_text("WHEEL") or ""
    tag = re.search(r"^Tag: (\S+)$", told, re.MULTILINE)
    if tag is None or not distribution.files:
        raise MissingError(
            "this installation is not known file by file, and no wheel for the device can be made "
            "of it; run it from a clone: pip install -e ."
        )
    name = f"{distribution.metadata['Name'].replace('-', '_')}-{distribution.version}"
    record = f"{name}.dist-info/RECORD"
    lines = []
    path = folder / f"{name}-{tag[1]}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for source, target in _files(distribution, name):
            data = source.read_bytes()
            archive.writestr(target, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            lines.append(f'"{target}",sha256={digest},{len(data)}\n')
        archive.writestr(record, "".join([*lines, f"{record},,\n"]))
    return path


def _files(distribution: metadata.Distribution, name: str) -> Iterator[tuple[Path, str]]:
    """Each with its place in the wheel."""
    root = Path(str(distribution.locate_file(""))).resolve()
    data, scripts = (Path(sysconfig.get_path(part)).resolve() for part in ("data", "scripts"))
    for one in distribution.files or ():
        source = Path(str(one.locate())).resolve()
        if source.suffix == ".pyc" or one.name in _OF_INSTALLING:
            continue
        if source.is_relative_to(root):
            yield source, source.relative_to(root).as_posix()
        elif source.is_relative_to(data) and not source.is_relative_to(scripts):
            yield source, f"{name}.data/data/{source.relative_to(data).as_posix()}"
