"""Lines that a page could have and that nobody could type."""

from __future__ import annotations

import pytest

from tests.pages.grammar import objection, unknown_name, unknown_option


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("edaformer-export a.pth --isr 16,8,4,1 --size 512x512", None),
        ("edaformer info T --classes 19", None),
        ("python -m edaformer info T --classes 19", None),
        ("edaformer-run ARTIFACT INPUT... [-o FOLDER] [--show]", None),
        ("edaformer-exprot a.pth", "is no command"),
        ("edaformer-export a.pth --irs 16,8,4,1", "No such option"),
        ("edaformer-export a.pth --isr 16,8", "expected an ISR"),
        ("edaformer-export a.pth --size 512", "expected a size"),
        ("edaformer-export a.pth --precision int4", "--precision"),
        ("edaformer-validate a.onnx --data camvit:CamVid", "no data set"),
        ("edaformer-info T --classes many", "--classes"),
        ("ls shots | edaformer-info --nothing", "No such option"),
        ("make demo SIZE=512x512", None),
        ("make deom", "the Makefile has no deom"),
        ("make demo SICE=512x512", "the Makefile has no SICE"),
        ("pip install '.[export,rtx]' 'numpy<2'", None),
        ("pip install '.[exprot]'", "no extra exprot"),
        ("pip install edaformer", "is not this distribution"),
        ("python benchmarks/gpu.py --prepare plans --checkpoint a.pth", None),
        ("python benchmarks/gpu.py --repair plans", "exit code 2"),
        ("python benchmarks/none.py", "there is no"),
        ("python3 examples/camera.py model.plan 0", None),
    ],
)
def test_a_line(line: str, words: str | None) -> None:
    found = objection(line)
    assert (found is None) == (words is None), found
    assert words is None or words in str(found)


def test_a_command_in_a_sentence() -> None:
    assert unknown_option("edaformer-validate ARTIFACT [--checkpoint … --data …]") is None
    assert unknown_option("edaformer-build MODEL --repaet 3") == (
        "edaformer-build has no option --repaet"
    )
    assert unknown_option("edaformer-biuld MODEL") == "edaformer-biuld is no command"


def test_a_snippet() -> None:
    assert unknown_name("import edaformer\nedaformer.Engine.load('x')") is None
    assert unknown_name("import edaformer\nedaformer.Motor.load('x')") == "edaformer has no Motor"
    assert unknown_name("from edaformer import Motor") == "edaformer has no Motor"
