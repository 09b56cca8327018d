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
from PIL import Image, ImageDraw

from edaformer.data import open_dataset
from edaformer.data.classes import CAMVID
from edaformer.engines.segmenters import open_artifact
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.families.checkpoint import demo_checkpoint
from edaformer.families.table import load_checkpoint
from edaformer.isr import BASE

FOLDER = Path("demo")
ONNX, PLAN, PICTURE = FOLDER / "model.onnx", FOLDER / "model.plan", FOLDER / "demo.png"
VOID, DIFFERENT = (0, 0, 0), (255, 40, 40)
CAPTION = 14  # pixels


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
    differs = np.where((base != reduced)[:, :, None], np.uint8(DIFFERENT), sample.image // 2)
    palette = manifest.palette or CAMVID.palette
    panels = {
        sample.name: sample.image,
        "truth": coloured(sample.labels, palette),
        "PyTorch, ISR base": coloured(base, palette),
        f"ONNX fp16, ISR {manifest.isr}": coloured(reduced, palette),
        f"the two differ in {(base != reduced).mean():.2%} of the pixels": differs,
    }
    pages = [captioned(picture, text) for text, picture in panels.items()]
    sheet([*pages, legend(pages[0].size, manifest.classes or (), palette)]).save(PICTURE)


def coloured(
    labels: NDArray[np.uint8], palette: tuple[tuple[int, int, int], ...]
) -> NDArray[np.uint8]:
    """(H, W) labels in their colours; void is black."""
    table = np.full((256, 3), VOID, np.uint8)
    table[: len(palette)] = palette
    return table[labels]


def captioned(picture: NDArray[np.uint8], text: str) -> Image.Image:
    """A picture with a line of text above."""
    height, width = picture.shape[:2]
    panel = Image.new("RGB", (width, height + CAPTION), "white")
    panel.paste(Image.fromarray(picture), (0, CAPTION))
    ImageDraw.Draw(panel).text((3, 1), text, fill="black")
    return panel


def legend(
    size: tuple[int, int], classes: tuple[str, ...], palette: tuple[tuple[int, int, int], ...]
) -> Image.Image:
    """The classes' names in two columns beside their colours."""
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    rows = max(size[1] // 2 // CAPTION - 1, 1)
    for index, (name, colour) in enumerate(zip((*classes, "void"), (*palette, VOID), strict=False)):
        x, y = 20 + index // rows * size[0] // 2, 2 * CAPTION + index % rows * 2 * CAPTION
        pen.rectangle((x, y, x + 22, y + CAPTION), fill=colour, outline="black")
        pen.text((x + 30, y), name, fill="black")
    return page


def sheet(panels: list[Image.Image]) -> Image.Image:
    """Panels of one size, three in a row."""
    width, height = panels[0].size
    rows = -(-len(panels) // 3)
    page = Image.new("RGB", (3 * width + 8, rows * height + 4 * (rows - 1)), "white")
    for index, panel in enumerate(panels):
        page.paste(panel, (index % 3 * (width + 4), index // 3 * (height + 4)))
    return page


if __name__ == "__main__":
    sys.exit(main())
