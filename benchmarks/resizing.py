"""The tables of docs/resizing.md: how far rules and libraries are apart, and what a rule is worth.

    python benchmarks/resizing.py --pictures DIR
    python benchmarks/resizing.py --data camvid:DIR --every 2 --checkpoint FILE --checkpoint DIR

The first compares pixels: frames of three sizes are cut out of pictures laid side by side at their
own resolution, so that they hold the detail a camera gives. The second segments a data set in
PyTorch float32 by each rule, where frames are larger or smaller than the network's input.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from edaformer.data import Dataset, open_dataset
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.evaluation.metrics import confusion_matrix, score
from edaformer.families.table import load_checkpoint
from edaformer.labels.geometry import Geometry, Size
from edaformer.labels.resize import resize_picture
from edaformer.labels.upsample_argmax import upsample_argmax
from edaformer.preprocess import ALIGN, RESIZES, aligned, format_size

Picture = NDArray[np.uint8]
SOURCES: tuple[Size, ...] = ((480, 640), (720, 1280), (1080, 1920), (1280, 720))
NETWORKS: tuple[Size, ...] = ((512, 512), (360, 480))
FACTORS = (0.5, 1.5, 2.5)  # of frames, to what the network was trained on


def by_opencv(image: Picture, size: Size) -> Picture:
    """As mmsegmentation resizes."""
    made: Picture = cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)
    return made


def by_pillow(image: Picture, size: Size) -> Picture:
    """As transformers does where torchvision is not installed."""
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def by_torch(image: Picture, size: Size) -> Picture:
    """As transformers does through torchvision."""
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    made = functional.interpolate(planes, size, mode="bilinear", antialias=True)
    return made[0].permute(1, 2, 0).numpy()


def by_float(image: Picture, size: Size) -> Picture:
    """PyTorch without antialiasing, rounded half to even: what the runtime did before rules."""
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    made = functional.interpolate(planes, size, mode="bilinear").round()
    return made[0].permute(1, 2, 0).byte().numpy()


LIBRARIES: dict[str, Callable[[Picture, Size], Picture]] = {
    "OpenCV": by_opencv,
    "Pillow": by_pillow,
    "PyTorch, antialiased": by_torch,
    "PyTorch, plain": by_float,
}


def frames(folder: Path) -> Iterator[Picture]:
    """1080x1920, of twelve pictures of 360x480 each."""
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.iterdir())]
    for start, end in pairwise(range(0, len(pictures) + 1, 12)):
        rows = [np.concatenate(pictures[at : at + 4], axis=1) for at in range(start, end, 4)]
        yield np.concatenate(rows)


def compare_pixels(folder: Path) -> None:
    """Largest and mean difference in grey levels, of every rule to every library."""
    whole = list(frames(folder))
    print(f"{len(whole)} frames of each size.\n")
    print(f"| frame | network | rule | {' | '.join(LIBRARIES)} |")
    print("| --- | --- | --- |" + " ---: |" * len(LIBRARIES))
    for source in SOURCES:
        for size in NETWORKS:
            upright = [np.rot90(frame) if source[0] > source[1] else frame for frame in whole]
            cut = [np.ascontiguousarray(one[: source[0], : source[1]]) for one in upright]
            for rule in RESIZES:
                ours = np.stack([resize_picture(one, size, rule) for one in cut]).astype(np.int16)
                cells = []
                for library in LIBRARIES.values():
                    apart = np.abs(ours - np.stack([library(one, size) for one in cut]))
                    cells.append(f"{apart.max()}, {apart.mean():.4f}")
                texts = (format_size(source), format_size(size), f"`{rule}`", *cells)
                print(f"| {' | '.join(texts)} |", flush=True)


def compare_labels(path: Path, data: Dataset, every: int) -> None:
    """MIoU by each rule, on frames that were resized and by networks of another size."""
    loaded = load_checkpoint(path)
    segmenter = TorchSegmenter(loaded.model(), ALIGN)
    native = data.load(0).labels.shape
    own: Size = (native[0], native[1])
    print(f"\n{path.name}: {loaded.variant.title}, its own rule `{loaded.resize}`\n")
    print(f"| frame | network | {' | '.join(RESIZES)} | labels agree |")
    print("| --- | --- | ---: | ---: | ---: |")
    cases = [(_scaled(own, factor), own) for factor in FACTORS]
    cases += [(own, _scaled(own, 1 / factor)) for factor in FACTORS if factor > 1]
    for source, size in cases:
        totals = {rule: np.zeros((loaded.num_classes,) * 2, np.int64) for rule in RESIZES}
        agree = []
        for sample in (data.load(index) for index in range(0, len(data), every)):
            frame = Image.fromarray(sample.image).resize(source[::-1], Image.Resampling.LANCZOS)
            made = {
                rule: _labels(segmenter, resize_picture(np.asarray(frame), size, rule), own)
                for rule in RESIZES
            }
            agree.append((made["opencv-bilinear"] == made["pillow-bilinear"]).mean())
            for rule, labels in made.items():
                totals[rule] += confusion_matrix(
                    sample.labels, labels, loaded.num_classes, data.ignore_label
                )
        cells = [f"{score(totals[rule]).miou:.2f}" for rule in RESIZES]
        texts = (format_size(source), format_size(size), *cells, f"{np.mean(agree):.2%}")
        print(f"| {' | '.join(texts)} |", flush=True)


def _scaled(size: Size, factor: float) -> Size:
    return round(size[0] * factor), round(size[1] * factor)


def _labels(segmenter: TorchSegmenter, picture: Picture, truth: Size) -> Picture:
    """At the truth's size, whatever the frame's: they show the same."""
    (logits,) = segmenter.logits(picture[None])
    valid = (picture.shape[0], picture.shape[1])
    return upsample_argmax(logits, Geometry(truth, valid, aligned(valid, ALIGN)))


def main() -> None:
    """Print what is asked for, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=Path, help="a folder of pictures of 360x480")
    parser.add_argument("--data", help="such as camvid:DIR")
    parser.add_argument("--every", type=int, default=1, help="every so many of its pictures")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[])
    given = parser.parse_args()
    if given.pictures is not None:
        compare_pixels(given.pictures)
    if given.data is not None:
        data = open_dataset(given.data, (360, 480))
        for path in given.checkpoint:
            compare_labels(path, data, given.every)


if __name__ == "__main__":
    main()
