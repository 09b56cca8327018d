"""The distributions that are here: what shares a folder or has holes, and how to add an extra."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Hole:
    """What a crafted file can do to the versions below one."""

    distributions: tuple[str, ...]  # the names it is installed under
    mended: str  # the first version without it
    text: str


# By import name. Removing one takes the files of the others.
_SHARED = {
    "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python",
            "opencv-contrib-python-headless"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml",
                    "onnxruntime-openvino", "onnxruntime-qnn"),
}  # fmt: skip
# pyproject.toml's floors. JetPack 6 (Python 3.10, and its own builds) cannot have all of them.
HOLES = (
    Hole(("torch",), "2.10", "a crafted checkpoint corrupts memory, weights_only or not "
                             "(CVE-2026-24747)"),
    Hole(("onnx",), "1.21", "a crafted model reads any file of this machine (CVE-2026-27489)"),
    Hole(("onnxruntime", "onnxruntime-gpu"), "1.27", "a crafted model reads and writes beyond its "
                                                     "tensors"),
    Hole(("pillow",), "12.3", "a crafted picture writes beyond its memory"),
    Hole(("protobuf",), "6.33.5", "nested JSON exhausts the stack (CVE-2026-0994)"),
)  # fmt: skip


DISTRIBUTION = "edaformer-deploy"


def install_line(extra: str) -> str:
    """What adds ``extra`` to this installation, by how it came to be: pip finds it there again."""
    sources = clone()
    if sources is not None:  # run from its sources, installed or not
        return f"pip install -e {_quoted(f'{sources}[{extra}]')}"
    came = _direct_url()
    url = str(came.get("url", ""))
    if not url.startswith("file:"):
        return f"pip install {_quoted(_requirement(extra, url, came.get('vcs_info')))}"
    path = _local(url)
    gone = "" if Path(path).exists() else " (which is no longer there: bring it back first)"
    return f"pip install {_quoted(f'{path}[{extra}]')}{gone}"


def clone() -> Path | None:
    """The clone that this is run from; None where it is run from none."""
    sources = Path(__file__).resolve().parents[1]
    return sources if _is_clone(sources) else None


def _is_clone(folder: Path) -> bool:
    """Some packages leave a pyproject.toml of theirs in site-packages."""
    try:
        return f'name = "{DISTRIBUTION}"' in (folder / "pyproject.toml").read_text("utf-8")
    except (OSError, ValueError):
        return False


def _requirement(extra: str, url: str, repository: object) -> str:
    """By name, from the index where that was, else from the address (PEP 508)."""
    if isinstance(repository, dict):
        url = f"{repository.get('vcs')}+{url}@{repository.get('commit_id')}"
    return f"{DISTRIBUTION}[{extra}]" + (f" @ {url}" if url else "")


def _direct_url() -> dict[str, object]:
    """Pip's record of where it had this distribution (PEP 610); from an index it leaves none."""
    import json
    from importlib import metadata

    try:
        found = json.loads(metadata.distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _local(url: str) -> str:
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    return url2pathname(urlsplit(url).path)


def _quoted(text: str) -> str:
    """For the shell here: Windows' knows no single quotes."""
    return f'"{text}"' if sys.platform == "win32" else shlex.quote(text)


def holes_here() -> Iterator[str]:
    """A sentence for each installed version below a floor."""
    for hole in HOLES:
        for name in hole.distributions:
            version = version_of(name)
            if version is not None and _numbers(version) < _numbers(hole.mended):
                yield (
                    f"{name} {version} has a published hole: {hole.text}; mended in {hole.mended}: "
                    f"pip install '{name}>={hole.mended}', or take no files from strangers here"
                )


def install_again(package: str, install: str) -> str:
    """How to have a package whole again; what shares its folder has to go first.

    Args:
        package: its import name.
        install: the line that installs it.
    """
    shared = [name for name in _SHARED.get(package, ()) if version_of(name) is not None]
    if not shared:
        return f"reinstall it: {install}"
    told = f"{' and '.join(shared)} share its folder: " if len(shared) > 1 else ""
    return f"{told}pip uninstall -y {' '.join(shared)}, then: {install}"


def version_of(distribution: str) -> str | None:
    """None where it is not installed."""
    from importlib import metadata  # takes longer than all that imports this

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """Of a release: local builds (2.8.0+nv25.6) and candidates count as it."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
