"""What the commands rely on, of every family and every variant with a name."""

from __future__ import annotations

import pytest
import torch

from edaformer.families.architecture import Architecture
from edaformer.families.attention import Attention
from edaformer.families.network import Network
from edaformer.families.table import FAMILIES, count, named, names

ALL = [variant for family in FAMILIES.values() for variant in family.variants.values()]


@pytest.fixture(params=ALL, ids=lambda variant: variant.name)
def variant(request: pytest.FixtureRequest) -> Architecture:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def network(variant: Architecture) -> Network:
    with torch.device("meta"):
        return FAMILIES[variant.family].network(variant, 3, variant.places.base)


def test_names_say_which() -> None:
    listed = names()
    assert all(variant.name in listed for variant in ALL if variant.family != "convolutional")
    assert all(part in listed for part in ("upernet-ENCODER", "mit-b5", "pvt-v2-b4"))
    assert [named(variant.name) for variant in ALL] == ALL
    assert named("segformer-b6") is None
    assert len({variant.title for variant in ALL}) == len(ALL)


def test_attention_is_where_the_architecture_says(variant: Architecture, network: Network) -> None:
    found = tuple(n for n, m in network.named_modules() if isinstance(m, Attention))
    assert found == variant.attention_names


def test_every_place_pools_by_its_own_ratio(variant: Architecture, network: Network) -> None:
    assert network.isr == variant.places.base
    doubled = variant.places.isr(tuple(2 * place.base for place in variant.places.all))
    network.set_isr(doubled)
    assert network.isr == doubled
    assert len(network.attention_places()) == len(variant.places.all)


def test_logits_are_where_the_architecture_says(variant: Architecture, network: Network) -> None:
    logits = network.eval()(torch.zeros(1, 3, 256, 192, device="meta"))
    stride = variant.logits_stride
    assert logits.shape == (1, 3, 256 // stride, 192 // stride)


def test_parameters_are_counted(variant: Architecture, network: Network) -> None:
    counted = count(variant, 3, (256, 256)).params
    assert counted == sum(p.numel() for p in network.parameters())
