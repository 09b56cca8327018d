"""What squeezing costs: frames of 16:9 before a network of 4:3, and before networks of 16:9.

    python benchmarks/aspect.py --data camvid:DIR --checkpoint FILE

The frames are the middle 270 rows of pictures of 360x480, so that they are as wide as 16:9 and hold
what the network was trained on. Each is resized to a network's input as the runtime resizes, and
judged against the truth of those rows at the frame's own size. PyTorch float32, base ISR.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from edaformer.data import open_dataset
from edaformer.engines.segmenters.pytorch import TorchSegmenter
from edaformer.evaluation.metrics import confusion_matrix, score
from edaformer.families.table import load_checkpoint
from edaformer.labels.geometry import Geometry, Size
from edaformer.labels.resize import resize_picture
from edaformer.labels.upsample_argmax import upsample_argmax
from edaformer.preprocess import ALIGN, aligned, format_size

FRAME: Size = (270, 480)
NETWORKS: tuple[Size, ...] = ((360, 480), (270, 480), (312, 552))


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", required=True, help="such as camvid:DIR")
    parser.add_argument("--checkpoint", type=Path, required=True)
    given = parser.parse_args()
    data, loaded = open_dataset(given.data, (360, 480)), load_checkpoint(given.checkpoint)
    segmenter = TorchSegmenter(loaded.model(), ALIGN)
    totals = {size: np.zeros((loaded.num_classes,) * 2, np.int64) for size in NETWORKS}
    for index in range(len(data)):
        sample = data.load(index)
        top = (sample.image.shape[0] - FRAME[0]) // 2
        rows = slice(top, top + FRAME[0])
        frame, truth = np.ascontiguousarray(sample.image[rows]), sample.labels[rows]
        for size in NETWORKS:
            picture = resize_picture(frame, size, loaded.resize)
            (logits,) = segmenter.logits(picture[None])
            labels = upsample_argmax(logits, Geometry(FRAME, size, aligned(size, ALIGN)))
            totals[size] += confusion_matrix(truth, labels, loaded.num_classes, data.ignore_label)
    print(f"{len(data)} frames of {format_size(FRAME)}.\n")
    print("| network | mIoU | mAcc | aAcc |\n| --- | ---: | ---: | ---: |")
    for size, total in totals.items():
        made = score(total)
        print(f"| {format_size(size)} | {made.miou:.2f} | {made.macc:.2f} | {made.aacc:.2f} |")


if __name__ == "__main__":
    main()
