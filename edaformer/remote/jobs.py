"""Which of our commands run on a device, on which files, and what comes back.

On the device files have names of ours: nothing of what they are called here gets there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edaformer.files import sha256
from edaformer.remote.device import Device, Ran

Kind = Literal["onnx", "plan"]
REFERENCE = "reference.ref"
REPORT, JUNIT = "report.html", "junit.xml"
PICTURES = "pictures"
PLAN = "model.plan"
_COMPANIONS: dict[Kind, tuple[str, ...]] = {"onnx": (".witness",), "plan": (".witness", ".json")}


@dataclass(frozen=True)
class Load:
    """Files that lie in a folder there, by their names there."""

    folder: str
    artifacts: tuple[str, ...]  # their names
    files: Mapping[str, Path]
    here: Mapping[str, Path]  # what a name in an answer is here
    digests: Mapping[str, str]  # those that are known already

    def carry(self, device: Device) -> None:
        """Copy what is missing there, and name it."""
        laid = {name: device.put(path, self.digests.get(name)) for name, path in self.files.items()}
        device.lay(self.folder, laid)


def load(artifacts: Sequence[tuple[Path, Kind]], others: Mapping[str, Path]) -> Load:
    """Artifacts with what lies beside them, and other files; the artifacts name the folder.

    Args:
        artifacts: with what they are.
        others: by their names there.
    """
    files: dict[str, Path] = {}
    names, digests = [], {}
    for number, (path, kind) in enumerate(artifacts, start=1):
        name = f"model{number}.{kind}" if len(artifacts) > 1 else f"model.{kind}"
        names.append(name)
        files[name], digests[name] = path, sha256(path)
        beside = {end: path.with_name(f"{path.name}{end}") for end in _COMPANIONS[kind]}
        files |= {f"{name}{end}": file for end, file in beside.items() if file.is_file()}
    key = hashlib.sha256("".join(digests[name] for name in names).encode()).hexdigest()[:16]
    here = {**{name: files[name] for name in names}, **others}
    return Load(key, tuple(names), {**files, **others}, here, digests)


@dataclass(frozen=True)
class Job:
    """One of our commands there."""

    words: tuple[str, ...]  # after edaformer
    brings: tuple[str, ...] = ()  # files
    tree: str | None = None  # a folder
    renames: Mapping[str, str] = field(default_factory=dict)  # of what is in it: stems
    once: bool = False  # an equal run's answer will do

    @property
    def command(self) -> str:
        """Its name."""
        return self.words[0]

    def run(self, device: Device, folder: str, out: Path) -> Ran:
        """Run it, and bring back what it has made, passed or not."""
        ran = device.run(folder, self.words, once=self.once)
        for name in self.brings:
            device.get(folder, name, out / name)
        if self.tree is not None:
            device.tree(folder, self.tree, out / self.tree, self._renamed)
        return ran

    def _renamed(self, name: str) -> str:
        """``input0001.png`` after the file that was the first input."""
        stem = re.match(r"input\d{4}", name)
        if stem is None or stem[0] not in self.renames:
            return name
        return self.renames[stem[0]] + name[stem.end() :]


@dataclass(frozen=True)
class Building:
    """How a plan is built; as edaformer-build has it."""

    backend: str | None = None
    workspace: float | None = None  # GiB
    allow_unfused: bool = False
    again: bool = False  # whether or not an equal build is there

    @property
    def words(self) -> list[str]:
        """Its options."""
        words = [] if self.backend is None else ["--backend", self.backend]
        words += [] if self.workspace is None else ["--workspace", f"{self.workspace:g}"]
        return words + (["--allow-unfused"] if self.allow_unfused else [])


def build_job(name: str, how: Building) -> Job:
    """The plan, its sidecar and its witness."""
    words = ("build", name, "--output", PLAN, *how.words, "--json")
    return Job(words, (PLAN, f"{PLAN}.json", f"{PLAN}.witness"), once=not how.again)


def check_job(name: str) -> Job:
    """Will it run there, and does it label as PyTorch did?"""
    return Job(("check", name, "--run", "--json"))


def validate_job(name: str, gates: Sequence[str] = ()) -> Job:
    """Against the reference beside it."""
    words = ("validate", name, "--reference", REFERENCE, "--report", REPORT, "--junit", JUNIT)
    return Job((*words, *gates, "--json"), (REPORT, JUNIT))


def bench_job(names: Sequence[str], options: Sequence[str] = ()) -> Job:
    """Whole frames, timed."""
    return Job(("bench", *names, *options, "--json"))


def run_job(name: str, inputs: Mapping[str, str | None], options: Sequence[str] = ()) -> Job:
    """Pictures and videos labelled.

    Args:
        name: the artifact.
        inputs: names there, each with what its outputs are called here; None: as there.
        options: others.
    """
    renames = {Path(there).stem: here for there, here in inputs.items() if here is not None}
    words = ("run", name, *inputs, "--output", PICTURES, *options, "--json")
    return Job(words, tree=PICTURES, renames=renames)


def named_here(content: Any, here: Mapping[str, Path]) -> Any:
    """An answer with the files of this machine in place of those there.

    Args:
        content: JSON.
        here: what a name there is here.
    """
    return _named(content, here, None)


def _named(content: Any, here: Mapping[str, Path], key: str | None) -> Any:
    if isinstance(content, dict):
        return {name: _named(value, here, name) for name, value in content.items()}
    if isinstance(content, list):
        return [_named(value, here, key) for value in content]
    if isinstance(content, str) and content in here:
        return here[content].name if key in {"name", "first"} else str(here[content])
    return content
