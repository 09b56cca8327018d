from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edaformer.engines.validate import reference_cache
from edaformer.engines.validate.reference_cache import (
    CacheKey,
    ReferenceCache,
    decode,
    default_folder,
    encode,
)
from edaformer.errors import InputError
from edaformer.evaluation.protocol import PROTOCOLS, plan_passes
from edaformer.labels.decide import Decision

KEY = CacheKey(
    checkpoint_sha256="a" * 64,
    prepared="mean 1,2,3 std 4,5,6, RGB",
    network={"heads": "(1, 2, 5, 8)"},
    isr="8,4,2,1-1,2,4",
    align=32,
    passes=plan_passes(PROTOCOLS["ade20k"], (300, 400)),
    image_sha256="b" * 64,
    size=(30, 41),
    classes=255,
    torch_version="2.13.0",
)


def decision(seed: int = 0) -> Decision:
    generator = np.random.default_rng(seed)
    margin = generator.exponential(3, (30, 41)).astype(np.float16)
    margin[0, :3] = np.inf, 0, 65504
    return Decision(generator.integers(0, 255, (30, 41)).astype(np.uint8), margin)


def refuse() -> Decision:
    raise AssertionError("it was in the cache")


def test_entries_are_lossless() -> None:
    made = decode(encode(decision(), KEY), KEY)
    assert (made.labels == decision().labels).all()
    assert (made.margin == decision().margin).all()
    assert (made.labels.dtype, made.margin.dtype) == (np.uint8, np.float16)


def test_what_was_made_is_found_by_another(tmp_path: Path) -> None:
    first = ReferenceCache(tmp_path)
    first.get_or_make(KEY, decision)
    second = ReferenceCache(tmp_path)
    assert (second.get_or_make(KEY, refuse).labels == decision().labels).all()
    assert (first.made, second.found, second.made) == (1, 1, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"checkpoint_sha256": "c" * 64},
        {"prepared": "mean 1,2,3 std 4,5,6, BGR"},
        {"isr": "16,8,4,1-1,2,4"},
        {"align": None},
        {"passes": plan_passes(PROTOCOLS["ade20k"], (300, 401))},
        {"passes": plan_passes(PROTOCOLS["ade20k"], (300, 400), (512, 512), "pad")},
        {"image_sha256": "d" * 64},
        {"size": (41, 30)},
        {"classes": 11},
        {"network": {"heads": "(1, 1, 5, 8)"}},
        {"torch_version": "2.14.0"},
    ],
)
def test_everything_that_decides_is_in_the_name(change: dict[str, object]) -> None:
    assert replace(KEY, **change).name != KEY.name  # type: ignore[arg-type]


def of_another_image() -> bytes:
    return encode(decision(2), replace(KEY, image_sha256="c" * 64))


def of_another_size() -> bytes:
    """Sealed for this key: only its size gives it away."""
    made = decision()
    return encode(Decision(made.labels[:, :-1], made.margin[:, :-1]), KEY)


def of_more_classes() -> bytes:
    made = decision()
    made.labels[3, 4] = 255
    return encode(made, KEY)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: data[: len(data) // 2], "its hash does not fit"),
        (lambda data: data + b" ", "its hash does not fit"),
        (lambda _: b"", "its hash does not fit"),
        (lambda _: b"not an entry", "its hash does not fit"),
        (lambda _: of_another_image(), "its hash does not fit"),
        (lambda _: of_another_size(), "it is not of 30x41 pixels"),
        (lambda _: of_more_classes(), "it holds class 255 of 255"),
    ],
)
def test_a_damaged_entry_is_made_again_and_said(
    damage: Callable[[bytes], bytes], told: str, tmp_path: Path
) -> None:
    ReferenceCache(tmp_path).get_or_make(KEY, decision)
    (entry,) = tmp_path.rglob("*.reference")
    entry.write_bytes(damage(entry.read_bytes()))
    notes: list[str] = []
    cache = ReferenceCache(tmp_path, on_note=notes.append)
    assert (cache.get_or_make(KEY, lambda: decision(1)).labels == decision(1).labels).all()
    assert (cache.made, cache.found) == (1, 0)
    assert f"is damaged ({told}); computing it again" in notes[0]
    assert (ReferenceCache(tmp_path).get_or_make(KEY, refuse).labels == decision(1).labels).all()


def test_no_flipped_bit_is_believed() -> None:
    data, generator = encode(decision(), KEY), np.random.default_rng(0)
    for _ in range(500):
        damaged = bytearray(data)
        damaged[generator.integers(len(data))] ^= 1 << int(generator.integers(8))
        with pytest.raises(ValueError, match="its hash does not fit"):
            decode(bytes(damaged), KEY)


def test_an_entry_is_not_read_beyond_what_it_can_be(tmp_path: Path) -> None:
    """Sealed, and inflating to 16 MB."""
    content = zlib.compress(bytes(1 << 24), 9)
    with pytest.raises(ValueError, match="it is not of 30x41 pixels"):
        decode(content + reference_cache._seal(content, KEY), KEY)
    ReferenceCache(tmp_path).get_or_make(KEY, decision)
    (entry,) = tmp_path.rglob("*.reference")
    with entry.open("r+b") as file:
        file.truncate(1 << 40)  # a hole, not a terabyte
    notes: list[str] = []
    ReferenceCache(tmp_path, on_note=notes.append).get_or_make(KEY, decision)
    assert "its hash does not fit" in notes[0]


def test_what_cannot_be_made_smaller_fits() -> None:
    size = (700, 900)
    generator = np.random.default_rng(0)
    noise = generator.integers(0, 2**16, size, np.uint16).view(np.float16)
    made = Decision(generator.integers(0, 255, size).astype(np.uint8), noise)
    key = replace(KEY, size=size)
    data = encode(made, key)
    assert len(data) <= reference_cache._most_bytes(key)
    assert decode(data, key).margin.tobytes() == noise.tobytes()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="name another with --cache, or leave it out"):
        ReferenceCache(tmp_path / "file").get_or_make(KEY, decision)


def test_the_default_is_the_person_s_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/edaformer")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")  # the specification: ignore it
    assert default_folder() == Path.home() / ".cache/edaformer"
