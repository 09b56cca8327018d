"""What the pages say to type and no test runs, each with its reason."""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """Why a line is not run; it is parsed all the same (``grammar``)."""

    FETCHES = "fetches packages, or sends files to another machine"
    NETWORK = "fetches a model of the Hugging Face Hub; tests/cli/test_hub.py has a Hub of its own"
    MACHINE = "changes the machine, or the shell, that it is typed on"
    NOT_OURS = "a program that is not of this package and need not be here"
    GPU = "needs a GPU"
    CAMERA = "needs a camera, a window or a stream"
    MINUTES = "takes a minute of CPU or more, or needs the file of a line that does"
    SYNOPSIS = "shows what may be typed, not what is"
    SELF = "runs these tests, or is run by another one"


# By the first words of a line: programs that are never run, on any page
OUTSIDE: dict[tuple[str, ...], Reason] = {
    ("make",): Reason.SELF,
    ("pip",): Reason.FETCHES,
    ("python3", "-m", "venv"): Reason.MACHINE,
    ("scp",): Reason.FETCHES,
    ("curl",): Reason.NOT_OURS,
    ("sudo",): Reason.MACHINE,
    (".",): Reason.MACHINE,
    ("export",): Reason.MACHINE,
    ("cmake",): Reason.NOT_OURS,
    ("build/segment",): Reason.GPU,
    ("trtexec",): Reason.NOT_OURS,
    ("tritonserver",): Reason.NOT_OURS,
    ("gst-launch-1.0",): Reason.NOT_OURS,
    ("#!/bin/bash",): Reason.NOT_OURS,
    ("#SBATCH",): Reason.NOT_OURS,
    ("srun",): Reason.NOT_OURS,
    ("sleep",): Reason.NOT_OURS,
}

# By page: a command line as it stands there, without its comment, or any line of a snippet
NOT_RUN: dict[str, dict[str, Reason]] = {
    "README.md": {
        "edaformer-tune edaformer_t_camvid.pth --data camvid:CamVid --size 360x480 "
        "--max-miou-drop 0.5": Reason.MINUTES,
    },
    "docs/adapting.md": {
        "edaformer-adapt edaformer_t_camvid.pth --isr 16,8,4,2-2,4,8 --frames CamVid/train "
        "-o adapted.pth": Reason.MINUTES,
        "edaformer-export adapted.pth --isr 16,8,4,2-2,4,8 -o model.onnx": Reason.MINUTES,
        "edaformer-validate model.onnx --checkpoint adapted.pth "
        "--original edaformer_t_camvid.pth --data camvid:CamVid": Reason.MINUTES,
    },
    "docs/benchmark.md": {
        "edaformer-bench model.plan other.plan --against torch-compile --rate 30 "
        "-o record.json": Reason.MINUTES,
        "edaformer-bench model.onnx --against torch": Reason.MINUTES,
        "edaformer-bench fp16.plan fp8.plan": Reason.GPU,
    },
    "docs/cluster.md": {
        "edaformer-validate model.onnx --checkpoint edaformer_t.pth --data camvid:CamVid "
        "--processes 2": Reason.MINUTES,
        "edaformer-tune edaformer_t.pth --data camvid:CamVid --processes 2": Reason.MINUTES,
        "edaformer-validate model.onnx --checkpoint edaformer_t.pth --data camvid:CamVid "
        "--ray local": Reason.MINUTES,
        "edaformer-validate model.plan --checkpoint edaformer_t.pth --data camvid:CamVid "
        "--processes 4": Reason.GPU,
        'head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)': Reason.NOT_OURS,
        "edaformer-validate model.onnx --checkpoint edaformer_t.pth --data camvid:CamVid "
        "--ray auto": Reason.MINUTES,
    },
    "docs/devices.md": {
        "edaformer-check model.plan --run": Reason.GPU,
        "edaformer-run model.plan street.mp4 --video seen.mp4": Reason.GPU,
        "edaformer-bench model.plan": Reason.MINUTES,
    },
    "docs/gpu.md": {
        "python benchmarks/gpu.py --prepare plans --checkpoint edaformer_t_camvid.pth "
        "--data camvid:CamVid": Reason.MINUTES,
        "python benchmarks/gpu.py --plans plans --checkpoint edaformer_t_camvid.pth "
        "--data camvid:CamVid --folder run -o benchmarks/records/gpu.json": Reason.GPU,
        "python benchmarks/performance.py benchmarks/records/gpu.json": Reason.GPU,
        "python benchmarks/performance.py": Reason.GPU,
    },
    "docs/jetson.md": {
        "edaformer-device jetson@orin ask --install": Reason.FETCHES,
        "edaformer-device jetson@orin deploy model.onnx --checkpoint edaformer_t.pth "
        "--data folder:street": Reason.FETCHES,
        "edaformer-bench model.plan --data reference:street.ref": Reason.MINUTES,
        "python3 examples/camera.py model.plan 0": Reason.CAMERA,
    },
    "docs/plans.md": {
        "edaformer-export model.pth --batch dynamic --size dynamic -o dynamic.onnx": Reason.MINUTES,
        "edaformer-build dynamic.onnx --min-size 256x256 --opt-size 512x512 --max-size 1024x2048 "
        "--min-batch 1 --opt-batch 1 --max-batch 4": Reason.MINUTES,
    },
    "docs/python.md": {
        "from sensor_msgs.msg import Image": Reason.NOT_OURS,
    },
    "docs/quantisation.md": {
        "edaformer-export edaformer_t_camvid.pth --size 360x480 --precision fp8 "
        "--calibrate camvid:CamVid -o fp8.onnx": Reason.MINUTES,
        "edaformer-build fp8.onnx": Reason.MINUTES,
        "edaformer-validate fp8.onnx --checkpoint edaformer_t_camvid.pth "
        "--data camvid:CamVid": Reason.MINUTES,
    },
    "docs/run.md": {
        "edaformer-run model.plan 0 --save ids -o masks": Reason.CAMERA,
        "edaformer-run model.plan 0 --video seen.mp4 --limit 300": Reason.CAMERA,
        "edaformer-run model.plan rtsp://camera/stream --stats areas.csv": Reason.CAMERA,
        "edaformer-run ARTIFACT INPUT... [-o FOLDER] [--save overlay,labels,ids,side-by-side] "
        "[--video out.mp4] [--show] [--stats areas.csv]": Reason.SYNOPSIS,
    },
    "docs/segformer.md": {
        "edaformer-export nvidia/segformer-b0-finetuned-ade-512-512 --isr 16,8,4,1 "
        "-o ade20k.onnx": Reason.NETWORK,
        "edaformer-validate ade20k.onnx --checkpoint nvidia/segformer-b0-finetuned-ade-512-512 "
        "--data ade20k:ADE20K": Reason.NETWORK,
    },
    "docs/serving.md": {
        "import tritonclient.http as triton": Reason.NOT_OURS,
        "import tritonclient.grpc as triton": Reason.NOT_OURS,
        "edaformer-run triton://localhost:8000/frames street.png -o seen": Reason.NOT_OURS,
        "edaformer-validate triton+grpc://localhost:8001/frames --checkpoint edaformer_t.pth "
        "--data camvid:CamVid": Reason.NOT_OURS,
    },
    "docs/tuning.md": {
        "edaformer-tune edaformer_t.pth --data camvid:CamVid --max-miou-drop 0.5": Reason.MINUTES,
        "edaformer-tune edaformer_t.pth --data camvid:CamVid --device orin-nano "
        "--max-latency 8ms": Reason.MINUTES,
        "edaformer-tune --resume": Reason.MINUTES,
        "edaformer-tune edaformer_t.pth --data camvid:CamVid --precision fp8 "
        "--calibrate camvid:CamVid": Reason.MINUTES,
        "edaformer-tune edaformer_t_camvid.pth --data camvid:CamVid --size 360x480 "
        "--max-miou-drop 0.5": Reason.MINUTES,
        "edaformer-tune edaformer_t_camvid.pth --data camvid:CamVid --calibrate camvid:CamVid "
        "--size 360x480 --precision fp8 --max-miou-drop 0.5": Reason.MINUTES,
        "edaformer-tune edaformer_t.pth --data camvid:CamVid --ladder 3": Reason.MINUTES,
    },
}


def reason(page: str, line: str) -> Reason | None:
    """Why a line of a page is not run."""
    given = NOT_RUN.get(page, {}).get(line)
    return given or next((why for words, why in OUTSIDE.items() if begins(line, words)), None)


def snippet_reason(page: str, text: str) -> Reason | None:
    """Why a snippet of a page is not run."""
    rows = NOT_RUN.get(page, {})
    return next((rows[line.strip()] for line in text.splitlines() if line.strip() in rows), None)


def begins(line: str, words: tuple[str, ...]) -> bool:
    """Whether a line starts so."""
    return tuple(line.split()[: len(words)]) == words
