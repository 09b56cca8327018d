"""A ladder's index, with two artifacts that are none beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def index(folder: Path, **changes: Any) -> Path:
    content = {
        "schema_version": 1,
        "size": [2, 3],
        "rungs": [{"isr": "8,4,2,1-1,2,4", "artifact": "a.onnx"},
                  {"isr": "16,8,2,1-2,4,8", "artifact": "b.onnx"}],
    }  # fmt: skip
    for name in ("a.onnx", "b.onnx"):
        (folder / name).write_bytes(b"")
    (folder / "ladder.json").write_text(json.dumps(content | changes))
    return folder / "ladder.json"
