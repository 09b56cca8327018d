from __future__ import annotations

from dataclasses import replace

import pytest

from edaformer.errors import InputError, ISRError
from edaformer.families.segformer.sizes import SEGFORMERS
from edaformer.isr import BASE, EDAFORMER, ISR

B0 = SEGFORMERS["segformer-b0"]


def test_names_and_titles() -> None:
    assert [sizes.name for sizes in SEGFORMERS.values()] == list(SEGFORMERS)
    assert B0.title == "SegFormer-B0"
    other = replace(B0, ratios=(4, 4, 2, 1))
    assert (other.name, other.title) == ("segformer", "SegFormer")


def test_how_it_is_computed_is_no_other_variant() -> None:
    other = replace(B0, head="convolutions", eps=(1e-6, 1e-6), align_corners="all")
    assert (other.name, other.logits_stride, B0.logits_stride) == ("segformer-b0", 1, 4)


def test_places_follow_the_configuration() -> None:
    places = replace(B0, ratios=(4, 2, 1, 1), strides=(2, 2, 2, 1)).places
    assert [(p.name, p.base, p.stride) for p in places.all] == [
        ("encoder stage 1", 4, 2), ("encoder stage 2", 2, 4),
        ("encoder stage 3", 1, 8), ("encoder stage 4", 1, 8),
    ]  # fmt: skip
    assert places.base.ratios == (4, 2, 1, 1)


def test_every_attention_has_a_name() -> None:
    names = SEGFORMERS["segformer-b2"].attention_names
    assert len(set(names)) == 3 + 4 + 6 + 3
    assert names[0] == "encoder.stage1.blocks.0.attention"
    assert names[-1] == "encoder.stage4.blocks.2.attention"


@pytest.mark.parametrize("text", ["16,8,4,2", "base", "8,4,2,1", " 24, 4, 2, 1 "])
def test_isr_text_reads_back(text: str) -> None:
    isr = ISR.parse(text, B0.places)
    assert ISR.parse(str(isr), B0.places) == isr
    assert "-" not in str(isr)


def test_isr_names_and_slugs() -> None:
    base = ISR.parse("8,4,2,1", B0.places)
    assert (base.name, base.slug, base) == ("base", "base", B0.places.base)
    assert ISR.parse("16,8,4,2", B0.places).slug == "16-8-4-2"
    assert base != BASE
    assert base.places != EDAFORMER


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("paper", r"'paper' is a setting of EDAFormer.*; use an ISR like 16,8,4,2 \(or base\)"),
        (
            "16,8,4,2-1,2,4",
            r"expected an ISR like 16,8,4,2 \(or base\), got .*decoder pools nothing",
        ),
        ("16,8,4", "is not 4 numbers"),
        ("12,4,2,1", "encoder stage 1 is not a multiple of its trained ratio 8; use one of 8, 16"),
        ("4,4,2,1", "not a multiple of its trained ratio 8"),
    ],
)
def test_isr_text_is_refused(text: str, words: str) -> None:
    with pytest.raises(ISRError, match=words):
        ISR.parse(text, B0.places)


def test_ratios_of_the_wrong_number() -> None:
    with pytest.raises(ISRError, match="got 4 encoder and 3 decoder ratios"):
        ISR((8, 4, 2, 1), (1, 2, 4), B0.places)


def test_a_ratio_has_to_fit_its_map() -> None:
    with pytest.raises(ISRError, match="encoder stage 4 is larger than its 1x1 map"):
        ISR.parse("8,4,2,2", B0.places).check_fits(32, 32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"heads": (1, 2, 7, 8)}, "expected heads that divide"),
        ({"patches": (8, 3, 3, 3)}, "expected odd patch sizes"),
        ({"strides": (4, 4, 2, 2)}, "expected strides whose product divides 32"),
        ({"eps": (1e-6, 0.0)}, "expected LayerNorm's eps between 0 and 1"),
        ({"depths": (2, 0, 2, 2)}, "expected a SegFormer's sizes between 1 and 65536"),
        ({"depths": (2, 2, 10**9, 2)}, "expected a SegFormer's sizes between 1 and 65536"),
    ],
)
def test_sizes_no_network_has(changes: dict[str, tuple[float, ...]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(B0, **changes)
