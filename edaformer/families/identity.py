"""What an id on the Hub looks like, and when a text is one and no path."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

PREFIX = "hf://"  # as Hugging Face writes it: always an id, whatever lies here
MAIN = "main"
_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_ID = re.compile(rf"{_WORD}/{_WORD}")
_REVISION = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/+-]*[A-Za-z0-9_+-])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LONGEST = 96  # characters of an id, the Hub's own bound
_LONGEST_REVISION = 255
# A path ends so, whoever it was meant for
_FILES = (
    ".pth", ".pt", ".pth.tar", ".ckpt", ".bin", ".safetensors", ".onnx", ".plan", ".engine", ".trt",
    ".json", ".pkl", ".zip", ".tar", ".gz", ".git", ".ref", ".witness",
)  # fmt: skip


@dataclass(frozen=True)
class HubId:
    """A model on the Hub, at a revision."""

    id: str  # owner/name
    revision: str = MAIN  # a branch, a tag or a commit

    def __str__(self) -> str:
        return self.id if self.revision == MAIN else f"{self.id}@{self.revision}"

    @property
    def is_pinned(self) -> bool:
        """Whether the revision is a whole commit, which names the same files for ever."""
        return _COMMIT.fullmatch(self.revision) is not None


@dataclass(frozen=True)
class Hub:
    """Where a checkpoint was fetched from: what artifacts record."""

    id: str  # owner/name
    revision: str  # as it was asked for
    commit: str  # what that was, 40 hex digits

    def __post_init__(self) -> None:
        known = _is_id(self.id) and _is_revision(self.revision) and _COMMIT.fullmatch(self.commit)
        if not known:
            raise ValueError("expected an id, a revision and a commit of the Hugging Face Hub")

    @property
    def name(self) -> str:
        """Without its owner."""
        return self.id.partition("/")[2]

    @property
    def pinned(self) -> str:
        """What to type for the same files again."""
        return f"{self.id}@{self.commit}"

    @property
    def text(self) -> str:
        """For people."""
        at = "" if self.revision == self.commit else f" ({self.revision})"
        return f"{self.id} at commit {self.commit}{at}"


def hub_id(source: str | Path) -> HubId | None:
    """The id that a text is; None where it is a path.

    A path that exists always wins. An id is exactly owner/name or owner/name@revision, of the
    characters that the Hub allows, without a file's ending; and no folder ``owner`` is here,
    because then it is a path that was mistyped. ``hf://`` before it says that it is none.
    """
    text = str(source)
    if isinstance(source, str) and text.startswith(PREFIX):
        return parse(text.removeprefix(PREFIX))
    found = parse(text)
    if found is None or found.id.lower().endswith(_FILES) or os.path.lexists(text):
        return None
    return None if os.path.lexists(found.id.partition("/")[0]) else found


def hint(source: str | Path) -> str:
    """What to add where a path is not there that the Hub may have been meant by; else nothing."""
    found = parse(str(source))
    if found is None or found.id.lower().endswith(_FILES):
        return ""
    return f", or write {PREFIX}{found} for that id of the Hugging Face Hub"


def parse(text: str) -> HubId | None:
    """``owner/name`` or ``owner/name@revision``."""
    name, at, revision = text.partition("@")
    if not _is_id(name) or (at and not _is_revision(revision)):
        return None
    return HubId(name, revision or MAIN)


def _is_id(text: str) -> bool:
    return bool(_ID.fullmatch(text)) and len(text) <= _LONGEST and not _odd(text)


def _is_revision(text: str) -> bool:
    plain = bool(_REVISION.fullmatch(text)) and len(text) <= _LONGEST_REVISION
    return plain and ".." not in text and "//" not in text


def _odd(text: str) -> bool:
    """What huggingface_hub keeps for itself."""
    return "--" in text or ".." in text
