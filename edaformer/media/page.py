"""HTML pages out of Jinja2 templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edaformer.printable import printable


def render(template: Path, **values: Any) -> str:
    """The page; everything is escaped, and a name that is not given is an error."""
    import jinja2  # only where a page is asked for: it would slow every start
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        """Names of files that are no UTF-8 could not be written, control characters not read."""
        plain = isinstance(value, str) and not isinstance(value, Markup)
        return printable(value) if plain else value

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    return environment.from_string(template.read_text(encoding="utf-8")).render(**values)
