"""The device of tests/remote."""

from __future__ import annotations

from tests.remote.conftest import orin, short

__all__ = ["orin", "short"]
