from __future__ import annotations

from dataclasses import replace

import pytest

from edaformer.errors import InputError, ISRError
from edaformer.families.feedformer.sizes import FEEDFORMERS, FeedFormerSizes
from edaformer.families.mit.sizes import VARIANTS
from edaformer.isr import ISR

B0, CITY = FEEDFORMERS["feedformer-b0"], FEEDFORMERS["feedformer-b0-city"]


def test_names_and_titles() -> None:
    assert [sizes.name for sizes in FEEDFORMERS.values()] == list(FEEDFORMERS)
    assert (B0.title, CITY.title) == ("FeedFormer-B0", "FeedFormer-B0-City")
    other = replace(CITY, ratios=(4, 4, 2, 1))
    assert (other.name, other.title) == ("feedformer-city", "FeedFormer-City")


@pytest.mark.parametrize("name", VARIANTS)
def test_any_mit_has_a_name(name: str) -> None:
    """Whatever the width of the decoder, which is published for B0 and B2."""
    assert FeedFormerSizes(*VARIANTS[name], 256).title == f"FeedFormer-{name.upper()}"


@pytest.mark.parametrize(
    ("sizes", "base", "doubled"),
    [(B0, "8,4,2,1-8,4,2", "16,8,4,2-16,8,4"), (CITY, "8,4,2,1-16,8,4", "16,8,4,2-32,16,8")],
)
def test_seven_places(sizes: FeedFormerSizes, base: str, doubled: str) -> None:
    places = sizes.places
    assert str(places.base) == base
    assert doubled in places.examples
    assert [place.name for place in places.decoder] == ["decoder c4", "decoder c3", "decoder c2"]
    assert [place.stride for place in places.all] == [4, 8, 16, 32, 4, 4, 4]  # decoder: all of c1
    assert ISR.parse(doubled.partition("-")[0], places).decoder == places.base.decoder
    assert ISR.parse(doubled, places).slug == doubled.replace(",", "-").replace("2-", "2_", 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("8,4,2,1-8,4", "'8,4' is not 3 numbers"),
        ("8,4,2,1-1,2,4", "decoder c4 is not a multiple of its trained ratio 8; use one of 8, 16"),
        ("2111-111", r"is in multipliers.*: --isr 16,4,2,1-8,4,2"),
        ("paper", "is a setting of EDAFormer"),
    ],
)
def test_isr_text_is_refused(text: str, words: str) -> None:
    with pytest.raises(ISRError, match=words):
        ISR.parse(text, B0.places)


def test_a_ratio_has_to_fit_c1() -> None:
    with pytest.raises(ISRError, match="ratio 16 of decoder c4 is larger than its 8x8 map"):
        CITY.places.base.check_fits(32, 32)
    CITY.places.base.check_fits(61, 64)


@pytest.mark.parametrize(
    ("widths", "words"),
    [
        ((32, 64, 160, 0), "expected a FeedFormer's sizes between 1 and 65536"),
        ((32, 64, 161, 256), "expected heads that divide"),
        ((32, 64, 160, 260), "expected heads that divide"),
    ],
)
def test_sizes_no_network_has(widths: tuple[int, int, int, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(B0, widths=widths, heads=(1, 1, 1, 1))
