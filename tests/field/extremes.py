"""Pictures with no answer to agree on, as test charts and covered lenses give them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # RGB (H, W, 3)

FLAT = {
    "black": (0, 0, 0), "white": (255, 255, 255), "grey": (127, 127, 127),
    "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255),
}  # fmt: skip


def extreme_pictures(size: tuple[int, int]) -> dict[str, Picture]:
    """Twelve, by name: flat ones, boards, stripes, a ramp, noise."""
    rows, columns = np.indices(size)
    draw = np.random.default_rng(0)
    planes = {
        "board of 1": 255 * ((rows + columns) % 2),
        "board of 8": 255 * ((rows // 8 + columns // 8) % 2),
        "stripes": 255 * (columns // 2 % 2),
        "ramp": 255 * columns // (size[1] - 1),
    }
    made = {name: np.broadcast_to(np.array(colour), (*size, 3)) for name, colour in FLAT.items()}
    made |= {name: np.repeat(plane[..., None], 3, axis=2) for name, plane in planes.items()}
    made["noise"] = draw.integers(0, 256, (*size, 3))
    made["black and white"] = 255 * draw.integers(0, 2, (*size, 3))
    return {name: np.ascontiguousarray(one, np.uint8) for name, one in made.items()}
