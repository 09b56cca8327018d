from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

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
    isr="8,4,2,1-1,2,4",
    align=32,
    passes=plan_passes(PROTOCOLS["ade20k"], (300, 400)),
    image_sha256="b" * 64,
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
    made = decode(encode(decision()))
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
        {"torch_version": "2.14.0"},
    ],
)
def test_everything_that_decides_is_in_the_name(change: dict[str, object]) -> None:
    assert replace(KEY, **change).name != KEY.name  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text", "other"])
def test_a_damaged_entry_is_made_again_and_said(damage: str, tmp_path: Path) -> None:
    ReferenceCache(tmp_path).get_or_make(KEY, decision)
    (entry,) = tmp_path.rglob("*.npz")
    data = bytearray(entry.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 0xFF
    entry.write_bytes(
        {"cut": bytes(data[: len(data) // 2]), "flipped": bytes(data), "empty": b"",
         "text": b"not an archive", "other": encode(decision())[:-30]}[damage]
    )  # fmt: skip
    notes: list[str] = []
    cache = ReferenceCache(tmp_path, on_note=notes.append)
    assert (cache.get_or_make(KEY, lambda: decision(1)).labels == decision(1).labels).all()
    assert (cache.made, cache.found) == (1, 0)
    assert "is damaged" in notes[0]
    assert (ReferenceCache(tmp_path).get_or_make(KEY, refuse).labels == decision(1).labels).all()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="name another with --cache, or leave it out"):
        ReferenceCache(tmp_path / "file").get_or_make(KEY, decision)


def test_the_default_is_the_person_s_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == Path("/somewhere/edaformer")
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")  # the specification: ignore it
    assert default_folder() == Path.home() / ".cache/edaformer"
