"""Train the demo checkpoint: EDAFormer-T on drawn street scenes, from random initialisation.

Made for an hour of two processor cores, which shapes it: small crops first and whole scenes last
(`PHASES`), bfloat16, a mean of the weights over the run (EMA), cross entropy plus Dice so that thin
classes count, and one process for each core: on maps this small two single-threaded processes that
add their gradients are 1.4 times as fast as one process with two threads, and do not stall when
something else wants a core. Scenes are drawn as they are needed, each seen once. Only training
seeds are drawn for training; every figure printed is measured on held-out ones.

The run can be killed at any time: started again with the same --out it goes on from its last
checkpoint. With --steps it is also repeatable; with --minutes the schedule follows the clock.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections.abc import Iterator
from ctypes import c_double
from dataclasses import dataclass
from multiprocessing import Value
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import spawn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from edaformer.data.scenes import (
    CLASSES,
    IGNORE_LABEL,
    PALETTE,
    draw_scene,
    held_out_seed,
    training_seed,
)
from edaformer.data.streets.dice import Dice
from edaformer.evaluation.metrics import Score, confusion_matrix, score
from edaformer.families.edaformer.loader import save_checkpoint
from edaformer.families.edaformer.network import EDAFormer
from edaformer.families.table import load_checkpoint
from edaformer.files import write_whole
from edaformer.isr import ISR
from edaformer.preprocess import ALIGN, aligned, normalise

# --- what is trained on --------------------------------------------------------------------------


@dataclass(frozen=True)
class Phase:
    """A stretch of the run: until `end` of it, crops of `share` of the full size."""

    end: float
    share: float
    batch: float  # as a multiple of --batch: about as many pixels in every phase


PHASES = (Phase(0.6, 0.5, 1.0), Phase(0.85, 0.75, 0.5), Phase(1.0, 1.0, 0.25))


def phase_at(progress: float) -> Phase:
    """The phase of a progress from 0 to 1."""
    return next((phase for phase in PHASES if progress < phase.end), PHASES[-1])


class SceneBatches(Dataset[tuple[NDArray[np.uint8], NDArray[np.uint8]]]):
    """Item `step` is a process's batch of that step, a function of step, process and phase."""

    def __init__(self, args: argparse.Namespace, rank: int, progress: Synchronized[float]) -> None:
        self.size: tuple[int, int] = args.size
        self.batch: int = args.batch
        self.seed: int = args.seed
        self.rank, self.ranks, self.progress = rank, args.processes, progress

    def __getitem__(self, step: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Images (B, H, W, 3) and labels (B, H, W)."""
        phase = phase_at(self.progress.value)
        crops = 1 if phase.share == 1 else 2  # drawing a scene costs as much as half a crop's step
        count = max(round(self.batch * phase.batch / crops), 1)
        first = (step * self.ranks + self.rank) * self.batch
        pairs = [pair for k in range(count) for pair in self._crops(first + k, phase.share, crops)]
        images, labels = zip(*pairs, strict=True)
        return np.stack(images), np.stack(labels)

    def _crops(
        self, index: int, share: float, crops: int
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """Random windows of a scene drawn at a random size, mirrored half the time."""
        dice = Dice((self.seed << 40) + index)
        size = _rounded(self.size[0] * share), _rounded(self.size[1] * share)
        # A whole scene keeps about its size; what it lacks is padded as in validation.
        percent = dice.between(85, 130) if share < 1 else dice.between(94, 106)
        height, width = (max(side * percent // 100, 64) for side in self.size)
        scene = draw_scene(training_seed(self.seed * 10_000_000 + index), height, width)
        for _ in range(crops):
            y = dice.below(max(height - size[0], 0) + 1)
            x = dice.below(max(width - size[1], 0) + 1)
            step = -1 if dice.chance(50) else 1
            window = slice(y, y + size[0]), slice(x, x + size[1])
            image, labels = scene.image[window][:, ::step], scene.labels[window][:, ::step]
            yield _padded(image, size, 0), _padded(labels, size, IGNORE_LABEL)


def _rounded(length: float) -> int:
    return max(round(length / ALIGN + 0.25), 1) * ALIGN


def _padded(picture: NDArray[np.uint8], size: tuple[int, int], fill: int) -> NDArray[np.uint8]:
    """Extended to the right and bottom, as far as it falls short of `size`."""
    room = [(0, size[0] - picture.shape[0]), (0, size[1] - picture.shape[1])]
    room += [(0, 0)] * (picture.ndim - 2)
    return np.pad(picture, room, constant_values=fill)


def to_input(images: NDArray[np.uint8], labels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """The normalised network input; what is padding becomes zero, as in validation."""
    x = normalise(images)
    blank = (images == 0).all(axis=3) & (labels == IGNORE_LABEL)  # scenes are never pure black
    x *= ~blank[:, None]
    return torch.from_numpy(x).to(device, memory_format=torch.channels_last)


# --- loss ----------------------------------------------------------------------------------------


def segmentation_loss(logits: Tensor, labels: Tensor, *, stride: int, offset: int) -> Tensor:
    """Cross entropy + soft Dice, on every `stride`-th pixel.

    Dice is over the batch and over the classes present; it weighs a pole as much as the sky.
    """
    height, width = labels.shape[1] // stride, labels.shape[2] // stride
    logits = functional.interpolate(logits.float(), size=(height, width), mode="bilinear")
    labels = labels[:, offset::stride, offset::stride][:, :height, :width].long()
    log_p = logits.log_softmax(dim=1)  # (B, C, h, w)
    cross = functional.nll_loss(log_p, labels, ignore_index=IGNORE_LABEL)
    valid = labels != IGNORE_LABEL
    p = log_p.exp().permute(0, 2, 3, 1)[valid]  # (n, C)
    truth = functional.one_hot(labels[valid], p.shape[1]).to(p.dtype)
    overlap, total = (p * truth).sum(dim=0), p.sum(dim=0) + truth.sum(dim=0)
    present = truth.sum(dim=0) > 0
    dice = 1 - (2 * overlap[present] + 1) / (total[present] + 1)
    return cross + 0.5 * dice.mean()


# --- validation ----------------------------------------------------------------------------------


def line(figures: Score) -> str:
    """Mean and per-class IoU, on one line."""
    parts = (f"{name} {iou:.1f}" for name, iou in zip(CLASSES, figures.iou, strict=True))
    return f"mIoU {figures.miou:.2f}  ({', '.join(parts)})"


@torch.no_grad()
def validate(model: EDAFormer, scenes: int, size: tuple[int, int], device: torch.device) -> Score:
    """Held-out scenes, padded right and bottom to a multiple of 32 after normalisation."""
    model.eval()
    high, wide = aligned(size, ALIGN)
    classes = len(CLASSES)
    counts = np.zeros((classes, classes), np.int64)
    for index in range(scenes):
        scene = draw_scene(held_out_seed(index), *size)
        x = np.zeros((1, 3, high, wide), np.float32)
        x[:, :, : size[0], : size[1]] = normalise(scene.image[None])
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = model(torch.from_numpy(x).to(device))
        full = functional.interpolate(logits.float(), size=(high, wide), mode="bilinear")
        found = full[0, :, : size[0], : size[1]].argmax(dim=0).cpu().numpy()
        labels = found.astype(np.uint8)
        counts += confusion_matrix(scene.labels, labels, classes, IGNORE_LABEL)
    return score(counts)


# --- the run -------------------------------------------------------------------------------------


class Run:
    """Model, mean of the weights, optimiser and progress; everything a checkpoint holds."""

    def __init__(self, args: argparse.Namespace, rank: int) -> None:
        torch.manual_seed(args.seed)
        self.args, self.rank, self.device = args, rank, torch.device(args.device)
        device = self.device
        self.model = EDAFormer.from_variant("T", num_classes=len(CLASSES)).to(device)
        for kernel in self.model.parameters():  # channels last: 25 % faster on processors
            if kernel.ndim == 4:
                kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)
        if args.init is not None:
            self.model.load_state_dict(load_checkpoint(args.init).state)
        self.mean = EDAFormer.from_variant("T", num_classes=len(CLASSES)).to(device)
        self.mean.load_state_dict(self.model.state_dict())
        self.mean.requires_grad_(requires_grad=False)
        self.optimiser = torch.optim.AdamW(
            self._groups(), lr=args.lr, betas=(0.9, 0.99), fused=True
        )
        self.step, self.seconds, self.clock = 0, 0.0, 0.0
        self.path: Path = args.out / "train.pt"

    def _groups(self) -> list[dict[str, Any]]:
        """Weight decay for matrices and kernels, none for biases and norms."""
        parameters = list(self.model.parameters())
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.03},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]

    @property
    def progress(self) -> float:
        """From 0 to 1: by the clock where --minutes is given, else by steps."""
        done = self.step / self.args.steps
        if self.args.minutes:
            done = self.seconds / (60 * self.args.minutes)
        return float(min(done, 1.0))

    def rate(self) -> float:
        """Linear warm-up, then half a cosine down to a hundredth."""
        warm: float = min((self.step + 1) / self.args.warmup, 1.0)
        cosine = 0.505 + 0.495 * math.cos(math.pi * self.progress)
        peak: float = self.args.lr
        return peak * warm * cosine

    def advance(self, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> float:
        """One optimisation step; its loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        self.model.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.model(to_input(images, labels, self.device))
        # The last phase looks at every pixel; before, at one of four, by turns the even and odd.
        stride = 1 if phase_at(self.progress).share == 1 else 2
        target = torch.from_numpy(labels).to(self.device)
        loss = segmentation_loss(logits, target, stride=stride, offset=self.step % stride)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._share_gradients()
        nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimiser.step()
        self.step += 1
        if self.rank == 0:
            self._follow()
        return float(loss.detach())

    def _share_gradients(self) -> None:
        """Mean gradients over the processes; the first one's clock for all of them."""
        count = self.args.processes
        if count == 1:
            self.seconds = self.clock
            return
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        clock = torch.tensor([self.clock * count if self.rank == 0 else 0.0])
        flat = torch.cat([*(g.reshape(-1) for g in gradients), clock])
        distributed.all_reduce(flat)
        flat /= count
        self.seconds = float(flat[-1])
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view(gradient.shape))
            start += gradient.numel()

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the mean of the weights; young means forget faster."""
        decay = min(self.args.ema, (1 + self.step) / (10 + self.step))
        new, mean = self.model.state_dict(), self.mean.state_dict()
        for name, value in mean.items():
            if value.is_floating_point():
                value.lerp_(new[name], 1 - decay)
            else:
                value.copy_(new[name])

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "mean": self.mean.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "rng": torch.get_rng_state(),
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_whole(self.path, buffer.getvalue())

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is one."""
        if not self.path.exists():
            return False
        state = torch.load(self.path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.mean.load_state_dict(state["mean"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]
        torch.set_rng_state(state["rng"].cpu())
        return True


def batches(
    run: Run, progress: Synchronized[float]
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Batches from run.step on, drawn a few ahead in worker processes."""
    args = run.args
    dataset = SceneBatches(args, run.rank, progress)
    remaining = range(run.step, 1 << 30)
    loader: DataLoader[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = DataLoader(
        dataset,
        batch_size=None,
        sampler=remaining,
        num_workers=args.workers,
        prefetch_factor=2 if args.workers else None,
        collate_fn=_unchanged,
        multiprocessing_context="fork" if args.workers else None,
    )
    return iter(loader)


def _unchanged(batch: Any) -> Any:
    return batch


def train(run: Run) -> None:
    """Until the steps or the minutes are used up."""
    args = run.args
    progress = Value(c_double, run.progress)
    source = batches(run, progress)
    losses: list[float] = []
    begin, spent, began_at = time.monotonic(), run.seconds, run.progress
    saved = checked = begin
    while run.progress < 1:
        run.clock = spent + time.monotonic() - begin
        losses.append(run.advance(*next(source)))
        progress.value = run.progress
        now = time.monotonic()
        if run.rank:
            continue
        if run.step % 50 == 0:
            _report(run, losses, (now - begin) / max(run.progress - began_at, 1e-9))
        if now - saved > 120:
            run.save()
            saved = now
        if now - checked > 60 * args.validate_minutes:
            figures = validate(run.mean, args.scenes, args.size, run.device)
            print(f"step {run.step}: {line(figures)}", flush=True)
            checked = now


def _report(run: Run, losses: list[float], whole: float) -> None:
    """One line: where we are, how fast, and how long to go."""
    recent = losses[-50:]
    left = whole * (1 - run.progress) / 60
    print(
        f"step {run.step}  {100 * run.progress:.1f} %  loss {sum(recent) / len(recent):.3f}  "
        f"lr {run.rate():.2e}  {run.seconds / run.step:.2f} s/step  {left:.0f} min left",
        flush=True,
    )


@torch.no_grad()
def settle_batch_norm(run: Run, steps: int) -> None:
    """Measure the fuse layer's statistics anew, for the mean weights and at full size.

    The running ones follow the changing weights and the crops of earlier phases.
    """
    layers = [m for m in run.mean.modules() if isinstance(m, nn.BatchNorm2d)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over all batches
    run.mean.train()
    source = batches(run, Value(c_double, 1.0))
    for _ in range(steps):
        images, labels = next(source)
        run.mean(to_input(images, labels, run.device))
    run.mean.eval()
    for layer in layers:
        layer.momentum = 0.1


def export(run: Run) -> None:
    """Write the FP16 checkpoint and measure what was written, not what was in memory."""
    settle_batch_norm(run, run.args.settle)
    path = run.args.out / "edaformer_t_scenes.safetensors"
    high, wide = run.args.size
    save_checkpoint(
        path, run.mean, classes=CLASSES, palette=PALETTE, input_size=(high, wide), half=True
    )
    model = load_checkpoint(path).model().to(run.device)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    for name in ("base", "paper"):
        model.set_isr(ISR.parse(name))
        figures = validate(model, run.args.final_scenes, run.args.size, run.device)
        print(f"{name}: {line(figures)}  over {run.args.final_scenes} held-out scenes", flush=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("run"), help="folder for checkpoints")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=12000)
    length.add_argument("--minutes", type=float, help="train by the clock instead of by steps")
    parser.add_argument("--size", type=int, nargs=2, default=(360, 480), metavar=("H", "W"))
    parser.add_argument(
        "--batch", type=int, default=8, help="crops a step and process in the first phase"
    )
    parser.add_argument("--init", type=Path, help="start from these weights, not from random ones")
    parser.add_argument("--lr", type=float, default=8e-4)
    parser.add_argument("--warmup", type=int, default=300, help="steps")
    parser.add_argument("--ema", type=float, default=0.998)
    parser.add_argument("--seed", type=int, default=0, help="0 to 99: initialisation and scenes")
    parser.add_argument("--processes", type=int, default=2, help="that train side by side")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--workers", type=int, default=1, help="of each process, to draw scenes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--validate-minutes", type=float, default=5)
    parser.add_argument("--scenes", type=int, default=40, help="held-out scenes on the way")
    parser.add_argument("--final-scenes", type=int, default=200)
    parser.add_argument("--settle", type=int, default=60, help="batches for BatchNorm at the end")
    return parser.parse_args()


def work(rank: int, args: argparse.Namespace) -> None:
    """One of the processes that train; the first one also measures, saves and exports."""
    torch.set_num_threads(args.threads)
    if args.processes > 1:
        meeting = f"file://{(args.out / 'meeting').absolute()}"
        distributed.init_process_group("gloo", meeting, rank=rank, world_size=args.processes)
    run = Run(args, rank)
    if run.resume() and rank == 0:
        print(f"resumed at step {run.step}, {run.seconds / 60:.1f} minutes in", flush=True)
    train(run)
    if rank == 0:
        run.save()
        export(run)


def main() -> None:
    """Train, or go on training; then export."""
    args = arguments()
    args.size = tuple(args.size)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "meeting").unlink(missing_ok=True)  # of a run that was killed
    if args.processes > 1:
        spawn(work, (args,), nprocs=args.processes)  # type: ignore[no-untyped-call]
    else:
        work(0, args)


if __name__ == "__main__":
    main()
