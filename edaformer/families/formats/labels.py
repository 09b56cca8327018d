"""Classes and their names, as a configuration of transformers' has them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edaformer.errors import CheckpointError
from edaformer.families.mit.sizes import MAX_CLASSES
from edaformer.names import why_no_names
from edaformer.printable import in_one_line

_NUM_LABELS = 2  # transformers' default
_UNNAMED = re.compile(r"LABEL_\d+")  # what transformers calls classes that nobody named


def read_classes(
    path: Path, content: dict[str, Any], notes: list[str]
) -> tuple[int, tuple[str, ...] | None]:
    """Their number, and their names in the order of the logits, where the folder has them.

    Args:
        path: of the configuration, for messages.
        content: of it.
        notes: gets what is to be said of names that are left out.

    Raises:
        CheckpointError: if it says no number, or not as many names.
    """
    named = content.get("id2label")
    if named is not None and not isinstance(named, dict):
        raise _no_labels(path, "id2label is no object")
    number = content.get("num_labels", len(named) if named else _NUM_LABELS)
    if type(number) is not int or not 1 <= number <= MAX_CLASSES:
        raise _no_labels(path, f"num_labels is {number!r:.40}")
    if not named:
        return number, None
    if len(named) != number or set(named) != {str(index) for index in range(number)}:
        raise _no_labels(
            path, f"num_labels is {number} and id2label has {len(named)} names, of "
            f"{in_one_line(', '.join(list(named)[:3]))} and so on"
        )  # fmt: skip
    names = [named[str(index)] for index in range(number)]
    if any(isinstance(name, str) and _UNNAMED.fullmatch(name) for name in names):
        return number, None
    if problem := why_no_names(names):
        notes.append(
            f"the class names in {path.name} are left out: {problem}; --names FILE gives others"
        )
        return number, None
    return number, tuple(names)


def _no_labels(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        f"expected 1 to {MAX_CLASSES} classes in {path}, named from 0 on, but {found}; mend it"
    )
