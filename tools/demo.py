"""The whole way once: export, build, validate, and one picture.

Run by ``make demo``. Every step is a command that a user can type; each is printed before it runs.
Without --checkpoint it uses the demo that comes with the package and held-out drawn street scenes.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edaformer.data import open_dataset
from edaformer.data.classes import CAMVID
from edaformer.engines.segmenters import open_artifact
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.families.checkpoint import demo_checkpoint
from edaformer.families.table import load_checkpoint
from edaformer.isr import BASE
from edaformer.media.drawing import grown
from edaformer.media.sheet import Panel, sheet

FOLDER = Path("demo")
ONNX, PLAN, PICTURE = FOLDER / "model.onnx", FOLDER / "model.plan", FOLDER / "demo.png"
VOID, DIFFERENT = (0, 0, 0), (255, 40, 40)
CAPTION = 20  # pixels; the sheet is 966 wide, and a page shows it at 800
SHOWN = 400  # pixels of a panel there


def main() -> int:
    """Run the demo; the exit code is the first failing command's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="a trained EDAFormer .pth or .safetensors")
    parser.add_argument("--data", help="scenes:N, camvid:DIR or folder:DIR, to validate on")
    parser.add_argument("--isr", default="16,8,4,1")
    parser.add_argument("--size", default="360x480")
    options = parser.parse_args()
    if options.checkpoint is None and options.data is None:
        options.data = "scenes:64"
    FOLDER.mkdir(exist_ok=True)
    for command in commands(options.checkpoint, options.data, options.isr, options.size):
        print(f"\n$ {shlex.join(command)}", flush=True)
        program = str(Path(sys.executable).parent / command[0])
        done = subprocess.run([program, *command[1:]], check=False)
        if done.returncode != 0:
            return done.returncode
    if options.data is None:
        print("\nno DATA: neither validation nor picture")
    else:
        draw(options.checkpoint or demo_checkpoint(), options.data)
        print(f"\n{PICTURE}: image, truth, PyTorch at base ISR, ONNX at ISR {options.isr}, and red")
        print("where the two differ")
    return 0


def commands(checkpoint: Path | None, data: str | None, isr: str, size: str) -> list[list[str]]:
    """The commands, in order."""
    named = [str(checkpoint)] if checkpoint else []
    export = ["edaformer-export", *named, "--isr", isr, "--size", size, "-o", str(ONNX)]
    steps = [
        [*export, *(["--data", data] if data else [])],
        ["edaformer-build", str(ONNX), "--backend", "tensorrt-rtx", "-o", str(PLAN)],
    ]
    if data is not None:
        validate = ["edaformer-validate", str(ONNX), "--data", data]
        steps.append([*validate, *(["--checkpoint", *named] if named else [])])
    return steps


def draw(checkpoint: Path, data: str) -> None:
    """One image of the data, side by side."""
    with_isr = open_artifact(ONNX)
    manifest = with_isr.manifest
    sample = next(iter(open_dataset(data, manifest.size)))
    at_base = TorchSegmenter(load_checkpoint(checkpoint).model(BASE), manifest.input.alignment)
    base = at_base.segment(sample.image[None])[0]
    reduced = with_isr.segment(sample.image[None])[0]
    marked, width = grown(base != reduced, SHOWN)
    differs = np.where(marked[:, :, None], np.uint8(DIFFERENT), sample.image // 2)
    palette = manifest.palette or CAMVID.palette
    share = f"{(base != reduced).mean():.2%}"
    rows = [
        [Panel(sample.name, sample.image), Panel("truth", coloured(sample.labels, palette))],
        [
            Panel("PyTorch, ISR base", coloured(base, palette)),
            Panel(f"ONNX fp16, ISR {manifest.isr}", coloured(reduced, palette)),
        ],
        [
            Panel(f"these two differ in {share}, each pixel drawn {width} wide", differs),
            Panel("", legend(sample.labels.shape, manifest.classes or (), palette)),
        ],
    ]
    Image.fromarray(sheet(rows, text=CAPTION)).save(PICTURE)


def coloured(
    labels: NDArray[np.uint8], palette: tuple[tuple[int, int, int], ...]
) -> NDArray[np.uint8]:
    """(H, W) labels in their colours; void is black."""
    table = np.full((256, 3), VOID, np.uint8)
    table[: len(palette)] = palette
    return table[labels]


def legend(
    size: tuple[int, ...], classes: tuple[str, ...], palette: tuple[tuple[int, int, int], ...]
) -> NDArray[np.uint8]:
    """The classes' names in two columns beside their colours, on a page of ``size`` (H, W)."""
    height, width = size
    page = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(CAPTION)
    named = list(zip((*classes, "void"), (*palette, VOID), strict=False))
    rows = -(-len(named) // 2)
    step = min(2 * CAPTION, height // rows)
    for index, (name, colour) in enumerate(named):
        x, y = 10 + index // rows * width // 2, index % rows * step
        pen.rectangle((x, y, x + 30, y + CAPTION), fill=colour, outline="black")
        pen.text((x + 42, y + CAPTION / 2), name, fill="black", font=font, anchor="lm")
    return np.asarray(page)


if __name__ == "__main__":
    sys.exit(main())
