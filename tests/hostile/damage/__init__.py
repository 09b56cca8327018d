"""What is done to bytes: each module knows a format, and each function a way to break it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Damage = Callable[[Random, bytes], bytes]
