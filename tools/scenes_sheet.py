"""Draw the contact sheet of `docs/scenes.png`: pictures with their labels below."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edaformer.data.scenes import PALETTE, draw_scene, held_out_seed

VOID_COLOUR = (0, 0, 0)
MARGIN = 4


def labelled(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """(2 H, W, 3): the picture above, its coloured labels below."""
    scene = draw_scene(seed, height, width)
    colours = np.array((*PALETTE, VOID_COLOUR), np.uint8)
    return np.concatenate([scene.image, colours[scene.labels]])


def sheet(first: int, columns: int, rows: int, height: int, width: int) -> NDArray[np.uint8]:
    """A grid of held-out scenes, from index `first` on."""
    cell_height, cell_width = 2 * height + MARGIN, width + MARGIN
    grid = np.full((rows * cell_height, columns * cell_width, 3), 255, np.uint8)
    for index in range(rows * columns):
        y, x = index // columns * cell_height, index % columns * cell_width
        tile = labelled(held_out_seed(first + index), height, width)
        grid[y : y + 2 * height, x : x + width] = tile
    return grid[: rows * cell_height - MARGIN, : columns * cell_width - MARGIN]


def main() -> None:
    """Draw, shrink, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/scenes.png"))
    parser.add_argument("--first", type=int, default=0, help="index of the first held-out scene")
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--size", type=int, nargs=2, default=(360, 480), metavar=("H", "W"))
    parser.add_argument("--shrink", type=int, default=2, help="divide the sheet's size by this")
    parser.add_argument("--step", type=int, default=4, help="round brightness to multiples of this")
    args = parser.parse_args()
    picture = Image.fromarray(sheet(args.first, args.columns, args.rows, *args.size))
    if args.shrink > 1:
        picture = picture.reduce(args.shrink)
    rounded = (np.asarray(picture, np.int64) + args.step // 2) // args.step * args.step
    picture = Image.fromarray(np.minimum(rounded, 255).astype(np.uint8))  # compresses far better
    args.out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(args.out, optimize=True)


if __name__ == "__main__":
    main()
