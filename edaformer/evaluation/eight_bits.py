"""How many of PyTorch's labels a network in eight bits has to keep, at export and in validation."""

from __future__ import annotations

LEAST_AGREEMENT = 0.993  # fraction of all pixels
LEAST_AGREEMENT_WORST = 0.98  # of the worst image
