"""``edaformer-adapt``: teach a checkpoint, without labels, the ISR it will run at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from edaformer.cli.common import (
    ALIGN_CORNERS,
    BGR,
    DATA,
    DEBUG,
    HEADS,
    JSON,
    LABELS,
    MEAN,
    STD,
    VERSION,
    guarded,
    print_json,
    run,
    say,
    say_next,
    say_notes,
)
from edaformer.cli.options.checkpoints import CHECKPOINT, find
from edaformer.cli.options.threads import THREADS
from edaformer.cli.progress import steps
from edaformer.cli.texts.adapting import print_adaptation
from edaformer.errors import InputError, require
from edaformer.machine.threads import share_cores


@guarded
def adapt(
    checkpoint: Annotated[str | None, CHECKPOINT] = None,
    isr: Annotated[
        list[str] | None,
        typer.Option(
            help="A setting to learn, as edaformer-export takes it; again for each other one, base "
            "among them to keep base."
        ),
    ] = None,
    frames: Annotated[
        list[str] | None,
        typer.Option(
            help="Unlabelled frames: pictures, videos, folders, patterns, scenes:N, or a data set "
            "as --data has it, whose labels are not looked at; again for more."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The adapted checkpoint. Default: NAME_adapted."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Input HxW it will be deployed at. Default: the checkpoint's own where recorded, "
            "else 512x512."
        ),
    ] = None,
    number: Annotated[
        int | None, typer.Option("--steps", help="Of the optimiser. Default: 600.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="As many steps as fit into so many minutes.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Pictures a step.")] = 2,
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 1e-4,
    crop: Annotated[
        str | None,
        typer.Option(
            help="HxW of a picture, in multiples of 32; smaller takes less memory. Default: the "
            "padded size, at most 512 a side on a CPU and 1024 on a GPU."
        ),
    ] = None,
    train: Annotated[
        Literal["all", "attention"],
        typer.Option(help="Which weights learn: all, or those in attention alone."),
    ] = "all",
    data: Annotated[str | None, DATA] = None,
    labels: Annotated[str | None, LABELS] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where it learns; auto: a GPU if any.")
    ] = "auto",
    threads: Annotated[int | None, THREADS] = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that was cut.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    mean: Annotated[str | None, MEAN] = None,
    std: Annotated[str | None, STD] = None,
    bgr: Annotated[bool, BGR] = False,
    heads: Annotated[str | None, HEADS] = None,
    align_corners: Annotated[Literal["none", "logits", "all"] | None, ALIGN_CORNERS] = None,
    as_json: Annotated[bool, JSON] = False,
    version: Annotated[bool, VERSION] = False,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Teach a checkpoint at an ISR what it says at base, from unlabelled frames.

    With --data, mIoU is measured before and after; nothing is learnt from its labels.

    Example: edaformer-adapt edaformer_t.pth --isr 16,8,4,2-2,4,8 --frames street/
    """
    from edaformer.data import check_data, open_dataset
    from edaformer.families.given import given, options_of
    from edaformer.isr import ISR
    from edaformer.preprocess import DEFAULT_SIZE, format_size, parse_size

    share_cores(threads)
    if not isr or not frames:
        raise InputError(
            f"expected {'--isr, the setting to learn' if not isr else '--frames, to learn from'}, "
            "got none; see edaformer-adapt --help"
        )
    if number is not None and minutes is not None:
        raise InputError("--minutes says how many steps; leave it or --steps out")
    if labels is not None and data is None:
        raise InputError("--labels is for the label files of --data; name some, or leave it out")
    deployed = None if size is None else parse_size(size)
    pictures = None if crop is None else parse_size(crop)
    said = given(mean, std, bgr=bgr, heads=heads, align_corners=align_corners)
    if data is not None:
        check_data(data)
    source = find(checkpoint)
    name = Path(source.name)
    path = out or Path(f"{name.stem}_adapted{name.suffix}")
    if path.exists() and not force:
        raise InputError(f"{path} exists already; replace it with --force, or name another with -o")
    with steps("loading PyTorch") as on_step:
        require("torch", "export")
        from edaformer.engines.adapt.adapt import STEPS, AdaptOptions
        from edaformer.engines.adapt.adapt import adapt as adapt_checkpoint
        from edaformer.engines.adapt.frames import find_frames
        from edaformer.families.adapted_weights import check_output
        from edaformer.families.table import load_checkpoint

        loaded = load_checkpoint(source, said)
        say_notes(loaded.notes)
        check_output(loaded, path)
        settings = tuple(dict.fromkeys(ISR.parse(text, loaded.places) for text in isr))
        deployed = deployed or loaded.input_size or DEFAULT_SIZE
        options = AdaptOptions(
            deployed, STEPS if number is None else number, minutes, batch, rate,
            crop=pictures, trained=train, seed=seed, device=device,
        )  # fmt: skip
        truth = None if data is None else open_dataset(data, deployed, labels)
        on_step("looking for frames")
        found = find_frames(frames, deployed, loaded.frames_resize, say)
        say(f"... {len(found.learnt)} frames to learn from, {len(found.held)} held out")
        made = adapt_checkpoint(
            loaded, settings, found, options, path, truth=truth, resume=resume,
            on_step=on_step, on_progress=lambda progress: progress.tell(on_step),
        )  # fmt: skip
    if as_json:
        print_json({"path": str(path), **made.to_json()})
    else:
        print_adaptation(path, made)
    learnt = next(isr for isr in settings if isr != loaded.places.base)  # base alone gains nothing
    at = ("--isr", learnt, "--size", format_size(deployed))
    say_next("edaformer-export", path, *at, *options_of(loaded))


def main() -> None:
    """The console script ``edaformer-adapt``."""
    run(adapt)
