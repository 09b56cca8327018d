"""What edaformer-check says of an artifact.

What is wrong is one of three kinds, and the worst decides:

damaged   the file is not, or no longer, what edaformer-build or edaformer-export wrote (exit 2)
foreign   it is sound, and for another machine or another TensorRT                      (exit 1)
missing   it is sound, and this machine lacks a GPU, a driver or a package              (exit 3)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edaformer.errors import EXIT_GATE, EXIT_INPUT, EXIT_MISSING, InputError, MissingError
from edaformer.manifest import Manifest

Kind = Literal["damaged", "foreign", "missing"]
_EXITS: tuple[tuple[Kind, int], ...] = (
    ("damaged", EXIT_INPUT),
    ("foreign", EXIT_GATE),
    ("missing", EXIT_MISSING),
)


@dataclass(frozen=True)
class Problem:
    """Why it will not run here, and the command that mends it."""

    kind: Kind
    text: str
    fix: str


@dataclass(frozen=True)
class Verdict:
    """Whether an artifact will run on this machine, as far as its bytes can tell."""

    path: Path
    artifact: Literal["plan", "onnx"] | None  # None: neither
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]  # what could not be checked
    facts: tuple[tuple[str, str], ...]  # for people
    manifest: Manifest | None

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems

    @property
    def exit_code(self) -> int:
        """0: will run; 2: damaged, or no artifact; 1: for another machine; 3: something missing."""
        kinds = {problem.kind for problem in self.problems}
        return next((code for kind, code in _EXITS if kind in kinds), 0)

    @property
    def sentence(self) -> str:
        """The verdict in a few words."""
        if self.ok:
            return "will run here"
        return "is not a sound artifact" if self.exit_code == EXIT_INPUT else "will not run here"

    def require(self) -> None:
        """Go on only if it will run here.

        Raises:
            InputError: if the artifact is damaged or made for another machine.
            MissingError: if only something of this machine is missing.
        """
        if self.ok:
            return
        told = "; ".join(f"{problem.text}; {problem.fix}" for problem in self.problems)
        error = MissingError if self.exit_code == EXIT_MISSING else InputError
        raise error(f"{self.path} {self.sentence}: {told}")

    def to_json(self) -> dict[str, Any]:
        """``ok``, ``exit_code``, problems with their fixes, notes, facts and the manifest."""
        return {
            "path": str(self.path),
            "artifact": self.artifact,
            "ok": self.ok,
            "exit_code": self.exit_code,
            "verdict": self.sentence,
            "problems": [vars(problem) for problem in self.problems],
            "notes": list(self.notes),
            "facts": dict(self.facts),
            "manifest": self.manifest.model_dump(mode="json") if self.manifest else None,
        }


class Findings:
    """Problems, notes and facts, as they are found."""

    def __init__(self, path: Path, asked_by: str) -> None:
        self.path, self.asked_by = path, asked_by
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.facts: list[tuple[str, str]] = []

    def problem(self, kind: Kind, text: str, fix: str) -> None:
        """Add one."""
        self.problems.append(Problem(kind, text, fix))

    def verdict(self, artifact: Literal["plan", "onnx"] | None, known: Manifest | None) -> Verdict:
        """What they amount to."""
        told = (tuple(self.problems), tuple(self.notes), tuple(self.facts))
        return Verdict(self.path, artifact, *told, known)
