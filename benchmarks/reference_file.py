"""What the proof on a device costs: the reference file, written and used, and the witness frames.

    python benchmarks/reference_file.py model.onnx --checkpoint model.pth --data camvid:DIR

Each step is a process of its own. Writing has PyTorch's answers in the cache, so that its seconds
are the file's; with ``--images`` the data is repeated to so many, to see whether memory stays flat.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edaformer.data import Dataset, Sample, open_dataset
from edaformer.engines.artifact.kind import artifact_manifest
from edaformer.engines.segmenters.trial import try_witness
from edaformer.engines.validate.procedure import procedure_of
from edaformer.engines.validate.reference_cache import ReferenceCache
from edaformer.engines.validate.saved import SavedAnswers, Saving
from edaformer.evaluation.protocol import get_protocol
from edaformer.families.table import load_checkpoint
from edaformer.labels.witness import witness_path


@dataclass(frozen=True)
class Repeated(Dataset):
    """A data set over and over."""

    data: Dataset
    count: int

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> Sample:
        """Read an image."""
        return self.data.load(index % len(self.data))

    def _first(self, limit: int) -> Repeated:
        raise NotImplementedError


def main() -> int:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--images", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, cache = Path(folder, "x.ref"), Path(folder, "cache")
        alone(_write, options, path, cache)  # fills the cache
        written = alone(_write, options, path, cache)
        used = alone(_use, path)
        size = path.stat().st_size
    asked = alone(try_witness, options.artifact)
    figures = {
        "reference_mb": size / 1e6,
        "write": written,
        "read, alone": used,
        "witness_mb": witness_path(options.artifact).stat().st_size / 1e6,
        "witness asked": asked,
    }
    print(json.dumps(figures, indent=1))
    return 0


def alone(step: Callable[..., object], *arguments: Any) -> dict[str, float]:
    """Seconds of a step in a process of its own, and the memory it took at most."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_timed, args=(queue, step, arguments))
    process.start()
    made: dict[str, float] = queue.get()
    process.join()
    return made


def _timed(queue: Any, step: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    start = time.perf_counter()
    step(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    queue.put({"seconds": round(time.perf_counter() - start, 2), "peak_mib": round(peak, 1)})


def _write(options: argparse.Namespace, path: Path, cache: Path) -> None:
    from edaformer.engines.validate.pytorch import PyTorchAnswers

    manifest = artifact_manifest(options.artifact)
    data: Dataset = open_dataset(options.data, manifest.size)
    if options.images:
        data = Repeated(data.name, data.classes, data.ignore_label, data, options.images)
    source = PyTorchAnswers(
        load_checkpoint(options.checkpoint), data, manifest.isr_value,
        procedure_of(manifest, get_protocol("native"), None),
        align=manifest.input.alignment, cache=ReferenceCache(cache),
    )  # fmt: skip
    for _ in Saving(source, path).answered():
        pass


def _use(path: Path) -> None:
    with SavedAnswers(path) as answers:
        for _ in answers.answered():
            pass


if __name__ == "__main__":
    sys.exit(main())
