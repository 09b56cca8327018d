"""What validation costs beside inference, in CPU seconds, with the reference cached.

    python benchmarks/validation_overhead.py model.onnx --checkpoint model.pth --data camvid:DIR

Inference alone is the artifact's runs on the same images, which are decoded beforehand. The rest is
what a whole validation takes more: decoding, hashing, the cache, post-processing, metrics and the
bootstrap, and loading the models, which is measured by itself and shown beside.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from edaformer.data import Dataset, open_dataset
from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.engines.segmenters import open_artifact
from edaformer.engines.validate.reference_cache import ReferenceCache
from edaformer.engines.validate.validate import validate
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.table import load_checkpoint


def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", required=True)
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.checkpoint)
    data = open_dataset(options.data, artifact_manifest(options.artifact).size)
    print(json.dumps(measure(options.artifact, checkpoint, data), indent=1))
    return 0


def measure(artifact: Path, checkpoint: Checkpoint, data: Dataset) -> dict[str, float]:
    """CPU seconds of all threads of this process."""
    with tempfile.TemporaryDirectory() as folder:
        cache = ReferenceCache(Path(folder))
        validate(artifact, checkpoint, data, cache=cache)  # fills the cache
        one = data.head(1)
        loading = cpu_seconds(lambda: validate(artifact, checkpoint, one, cache=cache))
        whole = cpu_seconds(lambda: validate(artifact, checkpoint, data, cache=cache))
    inference = inference_alone(artifact, data)
    rest = whole - loading - inference
    figures = {
        "inference": inference,
        "loading and one image": loading,
        "whole validation": whole,
        "rest": rest,
        "rest / inference": rest / inference,
    }
    return {"images": len(data), **{name: round(value, 3) for name, value in figures.items()}}


def inference_alone(artifact: Path, data: Dataset) -> float:
    """The artifact's runs, on images that are in memory."""
    images = [sample.image[None] for sample in data]
    segmenter = open_artifact(artifact)
    segmenter.infer(images[0])  # warm

    def run() -> None:
        for image in images:
            segmenter.infer(image)

    return cpu_seconds(run)


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
