"""``edaformer-tune``: which ISR for a budget, on this data, on that device."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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
    NAMES,
    PROCESSES,
    RAY,
    STD,
    TRUST_LABELS,
    VERSION,
    guarded,
    print_json,
    run,
    say,
    say_next,
    say_notes,
    shares,
    spread_of,
)
from edaformer.cli.options.checkpoints import CHECKPOINT, find
from edaformer.cli.options.eight_bits import check_eight_bits
from edaformer.cli.options.threads import THREADS
from edaformer.cli.progress import steps
from edaformer.cli.texts.tuning import print_tuning
from edaformer.errors import InputError, require
from edaformer.machine.threads import share_cores

if TYPE_CHECKING:
    from edaformer.engines.spread.spread import Spread
    from edaformer.engines.tune.adapting import Adapting
    from edaformer.engines.tune.budget import Budget
    from edaformer.engines.tune.quantising import Quantising
    from edaformer.engines.tune.result import Tuning
    from edaformer.engines.tune.rungs import LadderFiles
    from edaformer.engines.tune.tune import TuneOptions
    from edaformer.export.exporter import ExportResult
    from edaformer.families.checkpoint import Checkpoint
    from edaformer.manifest import AttentionForm

_EVERY = 25  # images a line
Step = Callable[[str], None]
JSON_FILE, PAGE, PICTURE = "tune.json", "front.html", "front.png"


@guarded
def tune(
    checkpoint: Annotated[str | None, CHECKPOINT] = None,
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
            help="this, cpu, ssh://USER@HOST, or a device by name (orin-nano, "
            "orin-nano-super, orin-nx, agx-orin, thor, rtx-3060, rtx-3080, rtx-3090, rtx-4060, "
            "rtx-4070, rtx-4080, rtx-4090, "
            "rtx-5060, rtx-5070, rtx-5080, rtx-5090, rtx-a2000, t4, l4, a100, h100, h200). "
            "Measured where it is this machine or HOST, else modelled. Default: cost is "
            "multiply-adds."
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
    processes: Annotated[int | None, PROCESSES] = None,
    ray: Annotated[str | None, RAY] = None,
    precision: Annotated[
        Literal["fp16", "int8", "fp8"],
        typer.Option(
            help="int8, fp8: search the parts that may be in eight bits, too, together with ISR; "
            "needs --calibrate."
        ),
    ] = "fp16",
    quantise: Annotated[
        str | None,
        typer.Option(
            "--quantise",
            "--quantize",
            help="Parts that may be: attention, projections, mlp, embed, decoder, some with "
            "commas, or all. Default: all.",
        ),
    ] = None,
    calibrate: Annotated[
        str | None,
        typer.Option(
            help="Measure the ranges of int8 and fp8 on these: scenes, camvid:DIR or folder:DIR. "
            "What --data has of them is not judged."
        ),
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(help="Of exports in int8 and fp8, as edaformer-export takes it."),
    ] = None,
    export: Annotated[
        bool, typer.Option("--export", help="Also export the pick to ONNX, into --out.")
    ] = False,
    ladder: Annotated[
        int | None,
        typer.Option(help="Also export and build so many settings along the front, with an index."),
    ] = None,
    adapt: Annotated[
        int | None,
        typer.Option(
            help="Also adapt the checkpoint to so many settings that miss the budget by little, "
            "as edaformer-adapt does; needs --frames."
        ),
    ] = None,
    frames: Annotated[
        list[str] | None,
        typer.Option(help="Of --adapt: unlabelled frames, as edaformer-adapt takes them."),
    ] = None,
    adapt_steps: Annotated[
        int | None, typer.Option(help="Of --adapt: steps a setting. Default: 600.")
    ] = None,
    mean: Annotated[str | None, MEAN] = None,
    std: Annotated[str | None, STD] = None,
    bgr: Annotated[bool, BGR] = False,
    heads: Annotated[str | None, HEADS] = None,
    align_corners: Annotated[Literal["none", "logits", "all"] | None, ALIGN_CORNERS] = None,
    names: Annotated[Path | None, NAMES] = None,
    threads: Annotated[int | None, THREADS] = None,
    attention: Annotated[
        Literal["fused", "unfused"],
        typer.Option(help="Of what --export and --ladder write, as edaformer-export takes it."),
    ] = "fused",
    as_json: Annotated[bool, JSON] = False,
    debug: Annotated[bool, DEBUG] = False,
    version: Annotated[bool, VERSION] = False,
) -> None:
    """Search pooling ratios for the best trade-off, and pick the best within a budget.

    Example: edaformer-tune edaformer_t.pth --data camvid:CamVid --max-miou-drop 0.5
    """
    from edaformer.data import check_data
    from edaformer.families.given import given
    from edaformer.files import check_folder

    share_cores(threads)
    check_folder(out, option="--out")
    budget = _budget(max_miou_drop, max_latency, max_gmacs)
    _check_written(ladder, attention, precision, export=export)
    check_eight_bits(
        precision, calibrate, {"--quantise": quantise, "--min-agreement": min_agreement}
    )
    _check_adapt(adapt, frames, adapt_steps)
    said = given(mean, std, bgr=bgr, names=names, heads=heads, align_corners=align_corners)
    spread = spread_of(processes, ray)
    for spec in filter(None, (data, calibrate)):
        check_data(spec)
    source = find(checkpoint)
    with steps("loading PyTorch") as on_step:
        for package in ("torch", "onnx", "onnxruntime"):
            require(package, "export")
        require("matplotlib", "plots")
        from edaformer.data import open_dataset
        from edaformer.engines.tune.device.targets import resolve
        from edaformer.engines.tune.tune import TuneOptions
        from edaformer.engines.tune.tune import tune as tune_checkpoint
        from edaformer.families.table import load_checkpoint

        loaded = load_checkpoint(source, said)
        say_notes(loaded.notes)
        wanted = _size(size, loaded, data, labels)
        dataset = open_dataset(data, wanted, labels, reduced=loaded.reduced_labels).head(limit)
        say_notes(dataset.notes)
        options = TuneOptions(
            wanted, budget, resolve(device) if device else None, trials, holdout, trust_labels
        )
        out.mkdir(parents=True, exist_ok=True)
        adapting = _adapting(loaded, wanted, adapt, frames or [], adapt_steps) if adapt else None
        quantising = _quantising(loaded, options, precision, quantise, calibrate, min_agreement)
        result = tune_checkpoint(
            loaded, dataset, options, out, adapting=adapting, quantising=quantising, resume=resume,
            spread=spread, on_step=on_step, on_image=partial(_tell_images, spread),
        )  # fmt: skip
        made = result.to_json() | shares(spread)
        write = _Write(loaded, result, attention, quantising, out, on_step)
        exported = write.export() if export else None
        rungs = write.ladder(ladder) if ladder else None
    if exported is not None:
        made["export"] = exported.to_json()
    if rungs is not None:
        made["ladder"] = rungs.to_json()
    _write(result, made, out)
    if as_json:
        print_json(made)
    else:
        print_tuning(result)
    say(f"wrote {out / JSON_FILE}, {out / PAGE} and {out / PICTURE}")
    _say_made(exported, rungs)
    if exported is None and rungs is None:
        say(f"next: {result.export_command}")
    _say_adapted(loaded, result)


def _check_written(
    ladder: int | None, attention: AttentionForm, precision: str, *, export: bool
) -> None:
    if attention == "unfused" and precision != "fp16":
        raise InputError(
            f"--attention unfused and --precision {precision} are not searched together: what "
            "eight bits save, they save in fused attention; leave one of them out"
        )
    if ladder is not None and ladder < 1:
        raise InputError(f"expected --ladder of 1 or more, got {ladder}")
    if attention == "unfused" and ladder is None and not export:
        raise InputError(
            "--attention unfused is of what --export and --ladder write, and neither is asked for; "
            "add one of them, or leave it out"
        )


def _quantising(
    checkpoint: Checkpoint, options: TuneOptions, precision: Literal["fp16", "int8", "fp8"],
    quantise: str | None, calibrate: str | None, min_agreement: float | None,
) -> Quantising | None:  # fmt: skip
    if precision == "fp16" or calibrate is None:
        return None
    from edaformer.cli.options.calibration import calibration_of
    from edaformer.engines.tune.quantising import Quantising, builder_for
    from edaformer.export.quantise.parts import parse_parts

    parts = parse_parts(quantise or "all")
    builder = builder_for(precision, options.budget, options.device)
    calibration, images = calibration_of(calibrate, None, options.size, checkpoint)
    return Quantising(precision, parts, calibration, images, min_agreement, builder)


def _check_adapt(count: int | None, frames: list[str] | None, number: int | None) -> None:
    if count is None:
        if frames or number is not None:
            raise InputError(
                "--frames and --adapt-steps are for --adapt; add it, or leave them out"
            )
        return
    if count < 1:
        raise InputError(f"expected --adapt of 1 or more settings, got {count}")
    if not frames:
        raise InputError("--adapt learns from unlabelled frames; name some with --frames")


def _adapting(
    checkpoint: Checkpoint, size: tuple[int, int], count: int, frames: list[str],
    number: int | None,
) -> Adapting:  # fmt: skip
    from edaformer.engines.adapt.adapt import STEPS, AdaptOptions
    from edaformer.engines.adapt.frames import find_frames
    from edaformer.engines.tune.adapting import Adapting

    found = find_frames(frames, size, checkpoint.frames_resize, say)
    return Adapting(found, AdaptOptions(size, steps=STEPS if number is None else number), count)


def _say_adapted(checkpoint: Checkpoint, result: Tuning) -> None:
    """The line for the adapted setting that saves most within the budget."""
    from edaformer.families.given import options_of
    from edaformer.preprocess import format_size

    within = [one for one in result.adapted if one.is_within]
    if within:
        best = max(within, key=lambda one: one.point.saving)
        at = ("--isr", best.point.isr, "--size", format_size(result.size))
        more = options_of(checkpoint)
        say_next("edaformer-export", best.checkpoint, *at, *more, when="or, adapted")


def _say_made(exported: ExportResult | None, rungs: LadderFiles | None) -> None:
    if exported is not None:
        say(f"wrote {exported.path}")
        say_next("edaformer-build", exported.path)
    if rungs is not None:
        say(f"wrote {rungs.index}: {', '.join(str(point.setting) for point, _ in rungs.artifacts)}")
        if rungs.to_build:
            say(f"plans are built on the device: copy {rungs.index.parent} there, then")
        for path in rungs.to_build:
            say_next("edaformer-build", path, when=None)


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
        height, width = checkpoint.input_size
        origin = checkpoint.origins.input_size
        say(f"no --size given: tuning for {height}x{width} ({origin})")
        return height, width
    first = open_dataset(data, (360, 480), labels, reduced=checkpoint.reduced_labels).load(0)
    height, width = first.labels.shape
    say(f"no --size given: tuning for {height}x{width}, the size of the first image")
    return height, width


def _tell_images(spread: Spread | None, done: int, total: int) -> None:
    if done % _EVERY == 0:
        by = "" if spread is None else f", {spread.team.text}"
        say(f"... {done} of {total} images{by}")


@dataclass(frozen=True)
class _Write:
    """What --export and --ladder write."""

    checkpoint: Checkpoint
    result: Tuning
    attention: AttentionForm
    quantising: Quantising | None
    out: Path
    on_step: Step

    def export(self) -> ExportResult:
        """The pick."""
        from edaformer.engines.tune.search.setting import InEightBits
        from edaformer.export.exporter import export_model
        from edaformer.export.options import ExportOptions

        pick, size, asked = self.result.pick.setting, self.result.size, self.quantising
        options = ExportOptions(self.result.pick.isr, size, attention=self.attention)
        images, calibration = None, None
        if isinstance(pick, InEightBits) and asked is not None:
            options = asked.options(pick, size)
            images, calibration = asked.images, asked.calibration
        path = self.out / options.default_name(self.checkpoint)
        return export_model(
            self.checkpoint, options, path, images=images, calibration=calibration,
            on_step=self.on_step,
        )  # fmt: skip

    def ladder(self, count: int) -> LadderFiles:
        """Settings along the front."""
        from edaformer.engines.tune.rungs import make_ladder

        return make_ladder(
            self.checkpoint, self.result, count, self.out / "ladder", attention=self.attention,
            quantising=self.quantising, on_step=self.on_step,
        )  # fmt: skip


def _write(result: Tuning, made: dict[str, object], out: Path) -> None:
    from edaformer.engines.tune.plot import front_html, front_png
    from edaformer.files import write_whole

    write_whole(out / JSON_FILE, json.dumps(made, indent=1).encode())
    write_whole(out / PAGE, front_html(result).encode())
    write_whole(out / PICTURE, front_png(result))


def main() -> None:
    """The console script ``edaformer-tune``."""
    run(tune)
