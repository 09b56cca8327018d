"""The whole way once: export, build, verify and, with a checkpoint and data, validate.

Run by ``make demo``. Every step is a command that a user can type; each is printed before it runs.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import torch

from edaformer.checkpoint import save_checkpoint
from edaformer.model import EDAFormer

FOLDER = Path("demo")
RANDOM = "The weights are random (seed 0): this shows the way, not the model, so no mIoU is shown."


def main() -> int:
    """Run the demo; the exit code is the first failing command's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="a trained EDAFormer .pth or .safetensors")
    parser.add_argument("--data", help="camvid:DIR or folder:DIR, to validate on")
    parser.add_argument("--isr", default="16,8,4,1")
    parser.add_argument("--size", default="360x480")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    is_random = options.checkpoint is None
    if is_random and options.data is not None:
        parser.error("DATA= needs CHECKPOINT=: random weights have no mIoU worth showing")
    if is_random:
        print(RANDOM)
        options.checkpoint = FOLDER / "random.safetensors"
        torch.manual_seed(0)
        save_checkpoint(options.checkpoint, EDAFormer.from_variant("T", num_classes=19))
    for command in commands(options.checkpoint, options.data, options.isr, options.size):
        print(f"\n$ {shlex.join(command)}", flush=True)
        done = subprocess.run(
            [str(Path(sys.executable).parent / command[0]), *command[1:]], check=False
        )
        if done.returncode != 0:
            return done.returncode
    if is_random:
        print(f"\n{RANDOM}")
    return 0


def commands(checkpoint: Path, data: str | None, isr: str, size: str) -> list[list[str]]:
    """The commands, in order."""
    onnx, plan = str(FOLDER / "model.onnx"), str(FOLDER / "model.plan")
    export = ["edaformer-export", str(checkpoint), "--isr", isr, "--size", size, "-o", onnx]
    steps = [
        [*export, *(["--data", data] if data else [])],
        ["edaformer-build", onnx, "--backend", "tensorrt-rtx", "-o", plan],
        ["edaformer-info", plan],
    ]
    if data:
        validate = ["edaformer-validate", onnx, "--checkpoint", str(checkpoint), "--data", data]
        steps.append(validate)
    return steps


if __name__ == "__main__":
    sys.exit(main())
