"""Many drawn scenes through three of Ray's nodes here: is each counted once, at what cost?

    python benchmarks/many_images.py --images 10000

A network of eight channels, so that it is the command, Ray and the merging that are measured. Then
what a plan for many machines needs: how many contributions a second the command merges, how large
they are at the sizes of real data sets, and how fast the object store brings bytes to another node.
The command's CPU seconds are its own process's, threads of Ray's in it included: a machine that
others use changes them little.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

IMAGES_APART = 500  # between two looks at the memory
WARM = 1000  # images after which memory is to be flat
SIZE = (96, 128)
# Data sets by classes and size, as their images are
REAL = {"CamVid": (11, (360, 480)), "Cityscapes": (19, (1024, 2048)), "ADE20K": (150, (512, 683))}
STORED = 64 << 20  # bytes of a block that is brought
NODES = 3


def main() -> None:
    """Run, and print a record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("-o", "--output", type=Path, default=None, help="also write it here")
    asked = parser.parse_args()
    # Ray's sockets lie below its folder, and a socket's path has 107 bytes at most
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as short:
        os.environ["RAY_TMPDIR"] = short
        with nodes():
            made = {"images": through(asked.images, Path(short)), "store": store()}
    made["merging"] = {name: merging(*of) for name, of in REAL.items()}
    text = json.dumps(made, indent=1)
    print(text)
    if asked.output is not None:
        asked.output.write_text(text + "\n")


@contextmanager
def nodes() -> Iterator[None]:
    """Each with a core, whatever the machine has."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        for at in range(1, NODES):
            cluster.add_node(num_cpus=1, resources={f"node{at}": 1})
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


def through(images: int, folder: Path) -> dict[str, Any]:
    """A validation as the command makes it, looked at from inside."""
    from edaformer.data import open_dataset
    from edaformer.engines.spread.spread import Spread
    from edaformer.engines.validate.comparing import Question, contributions
    from edaformer.engines.validate.procedure import make_procedure
    from edaformer.engines.validate.pytorch import PyTorchAnswers
    from edaformer.engines.validate.tally import Tally
    from edaformer.evaluation.protocol import get_protocol
    from edaformer.export.exporter import export_model
    from edaformer.export.options import ExportOptions

    data = open_dataset(f"scenes:{images}", SIZE)
    checkpoint = _smallest(data.classes)
    isr = checkpoint.places.base
    path = export_model(
        checkpoint, ExportOptions(size=SIZE, isr=isr, precision="fp32"), folder / "s.onnx"
    ).path
    procedure = make_procedure(get_protocol(data.protocol), SIZE, None)
    source = PyTorchAnswers(checkpoint, data, isr, procedure, align=32)
    tally, seen = Tally(len(data.classes), 6), Counter[int]()
    spread, question = Spread("ray", address="auto"), Question(path, "cpu", source.setting, 6)
    memory: list[tuple[int, float]] = []
    start, cpu = time.perf_counter(), time.process_time()
    for made, _ in contributions(question, source, spread, 1):
        seen[made.index] += 1
        tally.add(made)
        if seen.total() % IMAGES_APART == 0:
            memory.append((seen.total(), _resident_mb()))
            print(f"... {seen.total()} images, {memory[-1][1]:.1f} MB", flush=True)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    counted = [int(one.sum()) for one in tally.confusions]
    void = int(tally.stored[data.ignore_label].sum())
    flat = [mb for at, mb in memory if at >= WARM]
    return {
        "images": images, "size": SIZE, "nodes": NODES, "seconds": round(seconds, 1),
        "lost": images - len(seen), "counted_twice": sum(n > 1 for n in seen.values()),
        "pixels": images * SIZE[0] * SIZE[1], "pixels_void": void, "pixels_of_rows": counted,
        "command_cpu_ms_an_image": round(1000 * cpu / images, 3),
        "command_mb": [(at, round(mb, 1)) for at, mb in memory],
        "command_grows_mb": round(max(flat) - flat[0], 1) if flat else None,
        "workers": spread.team.to_json(),
    }  # fmt: skip


def _smallest(classes: tuple[str, ...]) -> Any:
    """EDAFormer of eight channels with random weights."""
    import torch

    from edaformer.families.checkpoint import Checkpoint, Coverage
    from edaformer.families.edaformer.loader import network
    from edaformer.families.edaformer.sizes import Variant

    variant = Variant("smallest", (8, 8, 16, 16), (1, 1, 1, 1), 1, 2, 8)
    torch.manual_seed(0)
    state = network(variant, len(classes), variant.places.base).state_dict()
    return Checkpoint(
        Path("smallest.pth"), "0" * 64, variant, len(classes), network, Coverage(len(state), ()),
        state=state,
    )  # fmt: skip


def store() -> dict[str, float]:
    """Bytes from the command's memory into the store, and from there to another node."""
    import ray

    @ray.remote(resources={"node1": 0.01})
    def fetch(block: list[Any]) -> float:
        start = time.perf_counter()
        ray.get(block[0])
        return time.perf_counter() - start

    ray.get(fetch.remote([ray.put(b"")]))  # its process is there
    puts, gets = [], []
    for at in range(5):
        data = os.urandom(1 << 20) * (STORED >> 20) + bytes([at])
        start = time.perf_counter()
        reference = ray.put(data)
        puts.append(time.perf_counter() - start)
        gets.append(ray.get(fetch.remote([reference])))
    mb = STORED / 1e6
    return {"put_mb_s": round(mb / min(puts)), "bring_mb_s": round(mb / min(gets))}


def merging(classes: int, size: tuple[int, int], images: int = 20) -> dict[str, float]:
    """The contributions of drawn label maps, ten classes in each, a twentieth of them wrong."""
    from edaformer.data import Sample
    from edaformer.engines.validate.answers import Answers
    from edaformer.engines.validate.contribution import Contributor, Worst
    from edaformer.engines.validate.tally import Tally
    from edaformer.labels.decide import Decision

    dice = np.random.default_rng(0)
    contributor, tally, made = Contributor(classes, 255, Worst(0)), Tally(classes, 6), []
    for index in range(images):
        present = dice.choice(classes, 10, replace=False).astype(np.uint8)
        coarse = present[dice.integers(0, 10, (-(-size[0] // 32), -(-size[1] // 32)))]
        truth = coarse.repeat(32, 0).repeat(32, 1)[: size[0], : size[1]]
        maps = []
        for share in (0.05, 0.05, 0.001):  # base, this ISR, and how the artifact differs from that
            own = (maps[-1] if share < 0.05 else truth).copy()
            wrong = dice.random(size) < share
            own[wrong] = present[dice.integers(0, 10, int(wrong.sum()))]
            maps.append(own)
        margin = dice.random(size).astype(np.float16)
        image = np.zeros((*size, 3), np.uint8)
        answers = Answers(maps[0], Decision(maps[1], margin), None)
        made.append(contributor.add(index, Sample(str(index), image, truth), answers, maps[2]))
    sent = [pickle.dumps(one) for one in made]
    start = time.process_time()
    for _ in range(5):
        for one in sent:
            tally.add(pickle.loads(one))  # made above
    cpu = time.process_time() - start
    return {"kb_an_image": round(sum(map(len, sent)) / images / 1e3, 1),
            "merge_cpu_ms": round(1000 * cpu / images / 5, 3)}  # fmt: skip


def _resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


if __name__ == "__main__":
    main()
