"""examples/cpp, compiled and run: on a stand-in of the machine, whose kernels are ours.

Compiled against NVIDIA's own cuda.h and against TensorRT's own headers where they are found
($TENSORRT_INCLUDE, or where Debian and JetPack put them), else against the declarations in
tests/standins/cpp. Run, it must give the labels of the Python definition, bit for bit.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edaformer.engines.runtime.kernels import FOLDER, PTX
from edaformer.export.verify import natural_noise
from edaformer.labels.geometry import Geometry, labels_from_logits, resize_labels
from edaformer.labels.resize import resize_picture
from edaformer.manifest import network_name
from edaformer.preprocess import MEAN, RELEASE, STD, network_input, normalise
from tests.conftest import ROOT
from tests.standins.kernels import find_compiler
from tests.standins.network import CLASSES, Kind, make_manifest

EXAMPLE = ROOT / "examples" / "cpp"
STANDINS = ROOT / "tests" / "standins"
STRICT = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-O1"]
INSTALLED = (
    os.environ.get("TENSORRT_INCLUDE", ""),
    "/usr/include/aarch64-linux-gnu", "/usr/include/x86_64-linux-gnu", "/usr/include",
)  # fmt: skip
Labels = NDArray[np.uint8]


class Ran(NamedTuple):
    code: int
    said: str


def cuda_include() -> str:
    """NVIDIA's package of headers; the test is skipped where it is not installed."""
    found = importlib.util.find_spec("nvidia")
    for folder in (found.submodule_search_locations or []) if found is not None else []:
        if (Path(folder) / "cuda_runtime/include/cuda.h").is_file():
            return str(Path(folder) / "cuda_runtime/include")
    pytest.skip("needs nvidia-cuda-runtime-cu12, for cuda.h")


def compile_cpp(*arguments: str) -> None:
    command = [
        *find_compiler(), *STRICT, "-isystem", cuda_include(), f"-I{FOLDER}", f"-I{EXAMPLE}",
        *arguments,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cpp") / "segment"
    sources = [
        EXAMPLE / "segment.cpp", STANDINS / "cpp" / "machine.cpp", STANDINS / "kernels.cpp"
    ]  # fmt: skip
    compile_cpp(f"-I{STANDINS / 'cpp'}", *map(str, sources), "-o", str(made))
    return made


def write_plan(path: Path, kind: Kind) -> Path:
    name = network_name(make_manifest(kind)).encode()
    path.write_bytes(b"ftrt" + bytes(20) + bytes([10, 3, 0, 30]) + bytes(8) + name + bytes(8))
    return path


def segment(
    program: Path, plan: Path, frames: list[Labels], folder: Path
) -> tuple[Ran, list[Labels]]:
    pairs: list[str] = []
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number}.ppm")
        pairs += [str(folder / f"{number}.ppm"), str(folder / f"{number}.pgm")]
    ran = run(program, plan, PTX, *pairs)
    made = [np.asarray(Image.open(path)) for path in pairs[1::2]] if ran.code == 0 else []
    return ran, made


def run(program: Path, *words: object, **environment: str) -> Ran:
    done = subprocess.run(
        [program, *map(str, words)], capture_output=True, text=True, check=False,
        env=os.environ | {"STANDIN_REPORT": "1"} | environment,
    )  # fmt: skip
    assert "held: 0\n" in done.stderr  # everything was given back
    return Ran(done.returncode, done.stderr)


def expected(kind: Kind, frame: Labels) -> Labels:
    """What the stand-in's network computes, between the Python definition's two ends."""
    source = (frame.shape[0], frame.shape[1])
    image = resize_picture(frame, kind.size, kind.resize)
    fed = network_input(image[None], "planar", RELEASE)[0]
    if kind.input == "tensor":
        fed = np.asarray(normalise(image[None])[0])
    padded = np.zeros((3, *kind.padded), np.float32)
    padded[:, : kind.size[0], : kind.size[1]] = fed
    if kind.outputs == ("labels",):
        made = ((padded[0] + padded[2]).astype(int) % CLASSES).astype(np.uint8)
        return resize_labels(made[: kind.size[0], : kind.size[1]], source)
    scores, covered = padded[:, ::8, ::8], kind.padded
    if kind.outputs == ("probabilities",):
        scores, covered = fed, kind.size
    index = np.arange(CLASSES, dtype=np.float32)[:, None, None]
    logits = sum(((index + channel) % 3 - 1) * scores[channel] for channel in range(3))
    return labels_from_logits(np.float32(logits), Geometry(source, kind.size, covered))[0]


@pytest.mark.parametrize(
    "kind",
    [
        Kind(),
        Kind(input="planar"),
        Kind(input="planar", outputs=("probabilities",)),
        Kind(outputs=("labels",)),
        Kind(size=(64, 96), input="tensor"),
        Kind(resize="pillow-bilinear"),
        Kind(size=(20, 30), input="planar", resize="pillow-bilinear"),
    ],
    ids=lambda kind: f"{kind.input} to {kind.outputs[0]}, {kind.resize}",
)
def test_labels_are_the_definition_s(program: Path, tmp_path: Path, kind: Kind) -> None:
    """Run, captured, launched, launched; then another size, twice."""
    frames = [*natural_noise(4, (47, 133)), *natural_noise(2, kind.size, seed=7)]
    ran, made = segment(program, write_plan(tmp_path / "x.plan", kind), frames, tmp_path)
    assert ran.code == 0, ran.said
    assert ran.said.count("captured") == 2
    for frame, labels in zip(frames, made, strict=True):
        assert labels.shape == frame.shape[:2]
        if kind.input != "tensor":
            np.testing.assert_array_equal(labels, expected(kind, frame))
        else:  # a normalised value is no whole number: sums may round otherwise where they tie
            assert (labels == expected(kind, frame)).mean() > 0.999
    assert np.bincount(made[0].ravel()).max() < 0.95 * made[0].size


def test_what_it_refuses(program: Path, tmp_path: Path) -> None:
    frame = natural_noise(1, (8, 8))
    plan = write_plan(tmp_path / "x.plan", Kind())
    whole = plan.read_bytes()
    for data, words in (
        (whole[:24] + bytes([10, 9, 0, 1]) + whole[28:], "by TensorRT 10.9.0 and 10.3.0 is here"),
        (whole.replace(b'size":false', b'size":true '), "has a dynamic size"),
        (whole.replace(b"opencv-bilinear", b"opencv-bicubic "), "has frames resized by opencv-bic"),
        (b"vtrt" + whole[4:], "is not a plan of the TensorRT this program is linked with"),
        (whole[:40], "is a plan without a manifest"),
        (whole[:-200], "is cut short"),
        (whole + whole[36:], "holds two manifests"),
        (whole.replace(b'"num_classes"', b'"xum_classes"'), "has no 'num_classes'"),
        (whole + b"REFUSE", "TensorRT refuses"),
    ):
        plan.write_bytes(data)
        ran, _ = segment(program, plan, list(frame), tmp_path)
        assert (ran.code, words in ran.said) == (2, True), ran.said
    plan.write_bytes(whole)
    picture = tmp_path / "0.ppm"
    assert "found none" in run(program, plan, PTX, tmp_path / "no.ppm", "x.pgm").said
    assert "usage: segment" in run(program, plan, PTX).said
    assert "failed (stand-in)" in run(program, plan, plan, picture, "x.pgm").said  # no PTX
    assert "cuInit" in run(program, plan, PTX, picture, "x.pgm", STANDIN_NO_GPU="1").said
    (tmp_path / "text.ppm").write_text("no picture")
    assert "is not a binary PPM" in run(program, plan, PTX, tmp_path / "text.ppm", "x.pgm").said
    (tmp_path / "short.ppm").write_bytes(b"P6 8 8 255\nabc")
    assert "is cut short" in run(program, plan, PTX, tmp_path / "short.ppm", "x.pgm").said


def test_a_plan_from_before_there_were_two_ways(program: Path, tmp_path: Path) -> None:
    """Its manifest names none; the digits before it are its length."""
    frames = list(natural_noise(1, (47, 133)))
    plan = write_plan(tmp_path / "x.plan", Kind())
    whole, name = plan.read_bytes(), b',"resize":"opencv-bilinear"'
    at = whole.index(b"deploy:1:") + 9
    length = b"%04d" % (int(whole[at : at + 4]) - len(name))
    plan.write_bytes(whole[:at] + length + whole[at + 4 :].replace(name, b""))
    ran, (labels,) = segment(program, plan, frames, tmp_path)
    assert ran.code == 0, ran.said
    np.testing.assert_array_equal(labels, expected(Kind(), frames[0]))


def test_normalisation_travels(program: Path, tmp_path: Path) -> None:
    """Mean and standard deviation reach the kernel as the floats that Python hands it."""
    assert make_manifest(Kind()).input.mean == MEAN
    kind = Kind(size=(64, 96), input="tensor")
    frame = np.zeros((64, 96, 3), np.uint8)
    frame[:] = np.rint(np.add(MEAN, STD)).astype(np.uint8)  # about one after normalisation
    ran, (labels,) = segment(program, write_plan(tmp_path / "x.plan", kind), [frame], tmp_path)
    assert ran.code == 0, ran.said
    np.testing.assert_array_equal(labels, expected(kind, frame))


def test_against_tensorrt_s_own_headers() -> None:
    found = [folder for folder in INSTALLED if folder and (Path(folder) / "NvInfer.h").is_file()]
    if not found:
        pytest.skip("needs TensorRT's headers: $TENSORRT_INCLUDE, or libnvinfer-headers-dev")
    compile_cpp("-isystem", found[0], "-fsyntax-only", str(EXAMPLE / "segment.cpp"))
