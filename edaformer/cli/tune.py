"""``edaformer-tune``: which ISR for a budget, on this data, on that device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edaformer.cli.common import (
    BGR,
    DATA,
    DEBUG,
    JSON,
    LABELS,
    MEAN,
    NAMES,
    STD,
    TRUST_LABELS,
    guarded,
    or_demo,
    print_json,
    run,
    say,
    say_notes,
)
from edaformer.cli.tune_text import print_tuning
from edaformer.errors import InputError, require

if TYPE_CHECKING:
    from edaformer.engines.tune.budget import Budget
    from edaformer.engines.tune.result import Tuning
    from edaformer.families.checkpoint import Checkpoint
    from edaformer.manifest import AttentionForm

_EVERY = 25  # images a line
JSON_FILE, PAGE, PICTURE = "tune.json", "front.html", "front.png"


@guarded
def tune(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(help="A checkpoint, as edaformer-export takes it. Default: the demo's."),
    ] = None,
    data: Annotated[str, DATA] = "scenes:40",
    labels: Annotated[str | None, LABELS] = None,
    max_miou_drop: Annotated[
        float | None,
        typer.Option(help="Points of mIoU that may be lost against base. Default: 0.5."),
    ] = None,
    max_latency: Annotated[
        str | None, typer.Option(help="A frame's time, such as 8ms; needs --device.")
    ] = None,
    max_gmacs: Annotated[
        float | None, typer.Option(help="10^9 multiply-adds of a frame, padding included.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="this, cpu, or a device by name (orin-nano, orin-nano-super, orin-nx, agx-orin, "
            "thor, rtx-3060, rtx-3080, rtx-3090, rtx-4060, rtx-4070, rtx-4080, rtx-4090, "
            "rtx-5060, rtx-5070, rtx-5080, rtx-5090, rtx-a2000, t4, l4, a100, h100, h200). "
            "Measured where it is this machine, else modelled. Default: cost is multiply-adds."
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Input HxW. Default: the checkpoint's own where recorded, else the data's first "
            "image's (scenes: 360x480)."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N images.")] = None,
    trials: Annotated[
        int, typer.Option(help="Settings tried on the first images; fewer go on.")
    ] = 400,
    holdout: Annotated[
        float | None,
        typer.Option(
            help="Fraction of the images that is not tuned on. Default: 0.5 from 16 images on."
        ),
    ] = None,
    trust_labels: Annotated[bool, TRUST_LABELS] = False,
    out: Annotated[
        Path, typer.Option(help="Folder for trials, result and pictures; made where it is missing.")
    ] = Path("tuning"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the trials in --out.")
    ] = False,
    export: Annotated[
        bool, typer.Option("--export", help="Also export the pick to FP16 ONNX, into --out.")
    ] = False,
    ladder: Annotated[
        int | None,
        typer.Option(help="Also export and build so many settings along the front, with an index."),
    ] = None,
    mean: Annotated[str | None, MEAN] = None,
    std: Annotated[str | None, STD] = None,
    bgr: Annotated[bool, BGR] = False,
    names: Annotated[Path | None, NAMES] = None,
    attention: Annotated[
        Literal["fused", "unfused"],
        typer.Option(help="Of what --export and --ladder write, as edaformer-export takes it."),
    ] = "fused",
    as_json: Annotated[bool, JSON] = False,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Search pooling ratios for the best trade-off, and pick the best within a budget.

    Example: edaformer-tune edaformer_t.pth --data camvid:CamVid --max-miou-drop 0.5
    """
    for package in ("torch", "onnx", "onnxruntime"):
        require(package, "export")
    require("matplotlib", "plots")
    from edaformer.data import open_dataset
    from edaformer.engines.tune.device.targets import resolve
    from edaformer.engines.tune.tune import TuneOptions
    from edaformer.engines.tune.tune import tune as tune_checkpoint
    from edaformer.families.given import given
    from edaformer.families.table import load_checkpoint
    from edaformer.files import check_folder

    check_folder(out)
    budget = _budget(max_miou_drop, max_latency, max_gmacs)
    if ladder is not None and ladder < 1:
        raise InputError(f"expected --ladder of 1 or more, got {ladder}")
    if attention == "unfused" and ladder is None and not export:
        raise InputError(
            "--attention unfused is of what --export and --ladder write, and neither is asked for; "
            "add one of them, or leave it out"
        )
    said = given(mean, std, bgr=bgr, names=names)
    loaded = load_checkpoint(or_demo(checkpoint), said)
    say_notes(loaded.notes)
    wanted = _size(size, loaded, data, labels)
    dataset = open_dataset(data, wanted, labels, reduced=loaded.reduced_labels).head(limit)
    say_notes(dataset.notes)
    target = resolve(device) if device is not None else None
    options = TuneOptions(wanted, budget, target, trials, holdout, trust_labels)
    out.mkdir(parents=True, exist_ok=True)
    result = tune_checkpoint(
        loaded, dataset, options, out, resume=resume, on_step=_tell, on_image=_tell_images
    )
    made = result.to_json()
    if export:
        made["export"] = _export(loaded, result, attention, out)
    if ladder is not None:
        made["ladder"] = _ladder(loaded, result, ladder, attention, out)
    _write(result, made, out)
    if as_json:
        print_json(made)
    else:
        print_tuning(result)
    say(f"wrote {out / JSON_FILE}, {out / PAGE} and {out / PICTURE}")
    if not export:
        say(f"next: {result.export_command}")


def _budget(drop: float | None, latency: str | None, gmacs: float | None) -> Budget:
    """The one that was given, else the default."""
    from edaformer.engines.tune.budget import Budget, parse_milliseconds

    given = [
        *([Budget("miou-drop", drop)] if drop is not None else []),
        *([Budget("latency", parse_milliseconds(latency))] if latency is not None else []),
        *([Budget("gmacs", gmacs)] if gmacs is not None else []),
    ]
    if len(given) > 1:
        raise InputError(
            "--max-miou-drop, --max-latency and --max-gmacs exclude each other; leave all but one "
            "out"
        )
    return given[0] if given else Budget()


def _size(
    text: str | None, checkpoint: Checkpoint, data: str, labels: str | None
) -> tuple[int, int]:
    from edaformer.data import open_dataset
    from edaformer.preprocess import parse_size

    if text is not None:
        return parse_size(text)
    if checkpoint.input_size is not None:
        return checkpoint.input_size
    first = open_dataset(data, (360, 480), labels, reduced=checkpoint.reduced_labels).load(0)
    height, width = first.labels.shape
    say(f"no --size given: tuning for {height}x{width}, the size of the first image")
    return height, width


def _tell(step: str) -> None:
    say(f"... {step}")


def _tell_images(done: int, total: int) -> None:
    if done % _EVERY == 0:
        say(f"... {done} of {total} images")


def _export(
    checkpoint: Checkpoint, result: Tuning, attention: AttentionForm, out: Path
) -> dict[str, object]:
    from edaformer.export.exporter import ExportOptions, export_model

    options = ExportOptions(isr=result.pick.isr, size=result.size, attention=attention)
    path = out / options.default_name(checkpoint.variant.title)
    made = export_model(checkpoint, options, path, on_step=_tell)
    say(f"exported {path}; next: edaformer-build {path}")
    return made.to_json()


def _ladder(
    checkpoint: Checkpoint, result: Tuning, count: int, attention: AttentionForm, out: Path
) -> dict[str, object]:
    from edaformer.engines.tune.rungs import make_ladder

    made = make_ladder(
        checkpoint, result, count, out / "ladder", attention=attention, on_step=_tell
    )
    say(f"wrote {made.index}: {', '.join(str(point.isr) for point, _ in made.artifacts)}")
    return made.to_json()


def _write(result: Tuning, made: dict[str, object], out: Path) -> None:
    from edaformer.engines.tune.plot import front_html, front_png
    from edaformer.files import write_whole

    write_whole(out / JSON_FILE, json.dumps(made, indent=1).encode())
    write_whole(out / PAGE, front_html(result).encode())
    write_whole(out / PICTURE, front_png(result))


def main() -> None:
    """The console script ``edaformer-tune``."""
    run(tune)
