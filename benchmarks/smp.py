"""The tables of docs/checkpoints.md: what ISR saves of smp's networks, and their engines.

    python benchmarks/smp.py                                 # prints them
    python benchmarks/smp.py --page docs/checkpoints.md      # writes them into the page

smp is segmentation_models_pytorch, its decoders as wide as by default. Engines are as in
benchmarks/segformer.py.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from rewrites import show
from segformer import COLUMNS, line, row

from edaformer.export.rewrites import defaults
from edaformer.families.architecture import Architecture
from edaformer.families.convolutional.sizes import NETWORKS
from edaformer.families.convolutional.upernet import UPerNet
from edaformer.families.mit.sizes import RELEASE_EPS
from edaformer.families.segformer.sizes import SEGFORMERS
from edaformer.families.table import count
from edaformer.isr import ISR
from edaformer.preprocess import format_size

SIZES = (((512, 512), 150), ((1024, 2048), 19))
SETTINGS = ("16,8,2,1", "16,8,4,2")
ENCODERS = {"mit-b0": "mit_b0", "mit-b2": "mit_b2", "pvt-v2-b0": "tu-pvt_v2_b0",
            "pvt-v2-b2": "tu-pvt_v2_b2"}  # fmt: skip
DECODERS = ("Unet", "UPerNet", "DeepLabV3Plus", "Segformer")
ENGINES = (("base", False), ("base", True), ("16,8,4,2", True))


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help="write them between this page's markers")
    page = parser.parse_args().page
    text = f"{savings()}\n{engines()}"
    show(page, text)


def network(decoder: str, encoder: str) -> Architecture | None:
    """As smp makes it by default; None where it cannot."""
    if decoder == "Segformer":
        plain = SEGFORMERS[f"segformer-{encoder.removeprefix('mit-')}"]
        return replace(plain, decoder_width=256, eps=RELEASE_EPS, align_corners="logits")
    name = f"{decoder.lower()}-{encoder}"
    if name not in NETWORKS:
        return None
    if decoder == "UPerNet":
        return replace(NETWORKS[name], decoder=UPerNet(256, normed=True), upsampling=4)
    return replace(NETWORKS[name], upsampling=1 if decoder == "Unet" else 4)


def savings() -> str:
    """GMACs by network, input and setting."""
    heads = [f"{format_size(size)}, {classes} classes: GMACs" for size, classes in SIZES]
    columns = [f"{head} | {' | '.join(f'`{isr}` saves' for isr in SETTINGS)}" for head in heads]
    made = [f"| decoder | encoder | {' | '.join(columns)} |",
            f"| --- | --- |{' ---: |' * (1 + len(SETTINGS)) * len(SIZES)}"]  # fmt: skip
    for decoder in DECODERS:
        for encoder, name in ENCODERS.items():
            if (sizes := network(decoder, encoder)) is not None:
                made.append(f"| {decoder} | `{name}` | {' | '.join(_saved(sizes))} |")
    return "\n".join(made) + "\n"


def engines() -> str:
    """Kernels, scratch memory and traffic of B0's engines at 512x512."""
    rows = [
        {"network": f"{decoder}, `{ENCODERS[encoder]}`", **row(
            *SIZES[0], isr, defaults("fp16", "smp") if rewritten else (), sizes
        )}
        for decoder in DECODERS for encoder in ("mit-b0", "pvt-v2-b0")
        if (sizes := network(decoder, encoder)) is not None
        for isr, rewritten in ENGINES
    ]  # fmt: skip
    made = [f"TensorRT-RTX {rows[0]['version']}.\n", f"| network | {' | '.join(COLUMNS)} |"]
    made += [f"| {' | '.join(['---'] * 4 + ['---:'] * 7)} |"]
    made += [f"| {one['network']} {line(one)}" for one in rows]
    return "\n".join(made) + "\n"


def _saved(sizes: Architecture) -> list[str]:
    """GMACs at base and what each setting saves of them, for each input."""
    cells = []
    for size, classes in SIZES:
        base = count(sizes, classes, size).gmacs
        made = [count(sizes, classes, size, ISR.parse(isr, sizes.places)).gmacs for isr in SETTINGS]
        cells += [f"{base:.2f}", *(f"{1 - gmacs / base:.1%}" for gmacs in made)]
    return cells


if __name__ == "__main__":
    main()
