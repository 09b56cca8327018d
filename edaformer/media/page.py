"""HTML pages out of Jinja2 templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def render(template: Path, **values: Any) -> str:
    """The page; everything is escaped, and a name that is not given is an error."""
    import jinja2  # only where a page is asked for: it would slow every start

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template.read_text(encoding="utf-8")).render(**values)
