from __future__ import annotations

import pytest

from edaformer.errors import ISRError
from edaformer.isr import BASE, ISR, PAPER


@pytest.mark.parametrize(
    ("text", "encoder", "decoder"),
    [
        ("16,8,4,1", (16, 8, 4, 1), (1, 2, 4)),
        ("16,8,4,1-2,4,8", (16, 8, 4, 1), (2, 4, 8)),
        (" 8, 4, 2, 1 - 1, 2, 4 ", (8, 4, 2, 1), (1, 2, 4)),
        ("base", (8, 4, 2, 1), (1, 2, 4)),
        ("paper", (16, 8, 2, 1), (2, 4, 8)),
        ("24,12,6,3", (24, 12, 6, 3), (1, 2, 4)),
    ],
)
def test_parses(text: str, encoder: tuple[int, ...], decoder: tuple[int, ...]) -> None:
    isr = ISR.parse(text)
    assert (isr.encoder, isr.decoder) == (encoder, decoder)
    assert ISR.parse(str(isr)) == isr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sixteen", "expected an ISR like"),
        ("16,8,4", "is not 4 numbers"),
        ("16,8,4,1,1", "is not 4 numbers"),
        ("16,8,4,1-2,4", "is not 3 numbers"),
        ("16,8,4,1-", "is not 3 numbers"),
        ("16,8,4,-1", "is not 4 numbers"),
        ("16,8,4,1.5", "is not 4 numbers"),
        ("", "is not 4 numbers"),
        ("4,4,2,1", "encoder stage 1 is not a multiple of its trained ratio 8"),
        ("12,4,2,1", "use one of 8, 16, 32, 64"),
        ("8,4,2,0", "encoder stage 4"),
        ("8,4,2,1-1,2,6", "decoder c2 is not a multiple of its trained ratio 4"),
        ("80000,4,2,1", "encoder stage 1"),
        ("9" * 5000 + ",4,2,1", "is not 4 numbers"),
        ("١٦,8,4,1", "is not 4 numbers"),
    ],
)
def test_refuses(text: str, words: str) -> None:
    with pytest.raises(ISRError, match=words):
        ISR.parse(text)


def test_names_and_slugs() -> None:
    assert (BASE.name, PAPER.name, ISR.parse("16,8,4,1").name) == ("base", "paper", None)
    assert BASE.slug == "base"
    assert ISR.parse("16,8,4,1").slug == "16-8-4-1"
    assert ISR.parse("16,8,4,1-2,4,8").slug == "16-8-4-1_2-4-8"


def test_smallest_input_at_base_is_29() -> None:
    BASE.check_fits(29, 29)
    with pytest.raises(ISRError, match="7x7 map at input 28x28; use an input of at least 29x29"):
        BASE.check_fits(28, 28)
    with pytest.raises(ISRError, match="encoder stage 1 is larger than its 7x16 map"):
        BASE.check_fits(28, 64)


def test_a_ratio_larger_than_its_map_names_the_place() -> None:
    isr = ISR.parse("16,4,2,1")
    isr.check_fits(61, 61)
    with pytest.raises(ISRError, match="encoder stage 1 is larger than its 8x8 map at input 31x31"):
        isr.check_fits(31, 31)
    with pytest.raises(ISRError, match="decoder c4 is larger than its 3x3 map"):
        ISR.parse("8,4,2,1-4,2,4").check_fits(96, 96)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2211-222", "16,8,2,1-2,4,8"),
        ("2211", "16,8,2,1-1,2,4"),
        (" 2222-123 ", "16,8,4,2-3,4,4"),  # its decoder is c2, c3, c4
    ],
)
def test_the_release_s_multipliers_are_translated(text: str, meant: str) -> None:
    words = rf"'{text.strip()}' is in multipliers, .* ratios are effective here: --isr {meant}$"
    with pytest.raises(ISRError, match=words):
        ISR.parse(text)


@pytest.mark.parametrize("text", ["22111-222", "2211-22", "2011", "221", "2211-"])
def test_other_digits_are_no_multipliers(text: str) -> None:
    with pytest.raises(ISRError, match="expected an ISR like"):
        ISR.parse(text)
