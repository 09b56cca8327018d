from __future__ import annotations

import json

import pytest

from edaformer.errors import ManifestError
from edaformer.families.identity import Hub
from edaformer.manifest import (
    MARKER,
    NAME_LIMIT,
    InputSpec,
    Manifest,
    OutputSpec,
    find_in_plan,
    network_name,
    parse_manifest,
    parse_network_name,
)

SHA = "ab" * 32


def make(classes: tuple[str, ...] | None = ("road", "sky"), **changes: object) -> Manifest:
    fields: dict[str, object] = {
        "tool_version": "0.1.0",
        "variant": "T",
        "isr": "16,8,4,1-1,2,4",
        "num_classes": len(classes) if classes else 2,
        "ignore_label": 255,
        "checkpoint_sha256": SHA,
        "onnx_sha256": SHA,
        "precision": "fp16",
        "opset": 18,
        "input": InputSpec(
            name="image", layout="NHWC", dtype="uint8", batch=1, height=360, width=480,
            mean=(1, 2, 3), std=(4, 5, 6), align=32, padded_height=384, padded_width=480,
        ),
        "outputs": (
            OutputSpec(name="labels", layout="NHW", dtype="uint8", height=360, width=480),
        ),
        "logits_stride": 8,
        "classes": classes,
    }  # fmt: skip
    return Manifest.model_validate(fields | changes)


def test_json_reads_back() -> None:
    manifest = make(palette=((1, 2, 3), (4, 5, 6)), rewrites=("a",))
    assert parse_manifest(manifest.to_json(), "x") == manifest


def test_the_name_carries_all_but_the_sidecar_s_part() -> None:
    manifest = make(palette=((1, 2, 3), (4, 5, 6)), rewrites=("a",))
    read = parse_network_name(network_name(manifest), "x")
    assert read == manifest.model_copy(update={"palette": None, "rewrites": None})


def test_the_way_of_resizing_travels() -> None:
    spec = make().input.model_copy(update={"resize": "pillow-bilinear"})
    manifest = make(input=spec)
    assert parse_network_name(network_name(manifest), "x") == manifest


def test_manifests_from_before_there_were_two_ways() -> None:
    """Frames were not antialiased then."""
    content = json.loads(make().to_json())
    del content["input"]["resize"]
    assert parse_manifest(json.dumps(content), "x").input.resize == "opencv-bilinear"
    content["input"]["resize"] = "bicubic"
    with pytest.raises(ManifestError, match=r"input\.resize"):
        parse_manifest(json.dumps(content), "x")


def test_where_it_was_fetched_from_travels_in_the_plan() -> None:
    hub = Hub("nvidia/segformer-b0", "main", "1" * 40)
    fetched = make(hub=hub)
    assert parse_network_name(network_name(fetched), "x").hub == hub
    assert fetched.came_from == f"nvidia/segformer-b0@{'1' * 40}, SHA-256 {SHA[:12]}..."
    assert "hub" not in make().to_json() + network_name(make())
    content = json.loads(fetched.to_json())
    for wrong in ({"commit": "1"}, {"id": "a b/c"}, {"more": 1}):
        damaged = content | {"hub": content["hub"] | wrong}
        with pytest.raises(ManifestError, match="the manifest in x is damaged: hub"):
            parse_manifest(json.dumps(damaged), "x")


def test_unfused_attention_travels_and_fused_leaves_no_trace() -> None:
    """Manifests from before there was a choice are of the fused form, and are written alike."""
    unfused = make(attention="unfused")
    assert parse_network_name(network_name(unfused), "x") == unfused
    assert parse_manifest(unfused.to_json(), "x").attention == "unfused"
    assert "attention" not in make().to_json() + network_name(make())
    assert parse_manifest(make().to_json(), "x").attention == "fused"


def test_none_survives_the_name() -> None:
    """A dynamic batch and an unaligned input are None, which the name leaves out."""
    spec = make().input.model_copy(update={"batch": None, "align": None})
    manifest = make(input=spec)
    assert parse_network_name(network_name(manifest), "x") == manifest


def test_many_long_names_are_compressed_and_fit() -> None:
    classes = tuple(f"class number {i} with a rather long name" for i in range(171))
    name = network_name(make(classes))
    assert len(name) <= NAME_LIMIT
    assert "classes_z" in name
    assert parse_network_name(name, "x").classes == classes


def test_names_beyond_ascii_survive() -> None:
    classes = ("Straße", "空")
    name = network_name(make(classes))
    assert name.isascii()
    assert parse_network_name(name, "x").classes == classes


def test_names_that_cannot_fit_are_refused() -> None:
    import secrets

    with pytest.raises(ManifestError, match="too long to travel in the plan"):
        network_name(make(tuple(secrets.token_hex(40) for _ in range(150))))


def test_found_between_other_bytes() -> None:
    name = network_name(make()).encode()
    assert find_in_plan(b"\0" * 999 + name + b"\0" + b"rest" * 99, "x") == make()
    assert find_in_plan(b"ftrt" + b"\0" * 999, "x") is None


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda n: n + n, "holds two manifests"),
        (lambda n: n[:200], "cut short or damaged"),
        (lambda n: n[:200] + b"\0" + n[201:], "cut short or damaged"),
        (lambda n: n.replace(MARKER.encode(), MARKER.encode() + b"x"), "cut short or damaged"),
        (lambda n: n.replace(b":0", b":9", 1), "cut short or damaged"),
        (lambda n: n.replace(b'"isr":', b'"isr";'), "is not JSON"),
        (lambda n: n.replace(b'"variant"', b'"vari\xffnt"'), "damaged"),
        (lambda n: n.replace(b'"num_classes":2', b'"num_classes":0'), "num_classes"),
        (lambda n: n.replace(b"16,8,4,1", b"17,8,4,1"), "multiple of its trained ratio"),
        (lambda n: n.replace(b'"schema_version":1', b'"schema_version":2'), "manifest schema 2"),
    ],
)
def test_damage_is_an_error(damage, words: str) -> None:  # type: ignore[no-untyped-def]
    name = network_name(make()).encode()
    damaged = damage(name)
    assert damaged != name
    with pytest.raises(Exception, match=words) as caught:
        find_in_plan(b"ftrt" + damaged + b"\0", "x")
    assert caught.type.__module__ == "edaformer.errors"


def test_a_bomb_of_class_names_does_not_inflate() -> None:
    import base64
    import zlib

    bomb = base64.b64encode(zlib.compress(b"a" * 1_000_000, 9)).decode()
    content = json.loads(network_name(make()).partition("{")[2].join(["{", ""]))
    content.pop("classes")
    content["classes_z"], content["num_classes"] = bomb, 1
    body = json.dumps(content)
    read = parse_network_name(f"{MARKER}{len(body):04d}:{body}", "x")
    assert read.classes is not None
    assert len(read.classes[0]) == 1 << 16


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"schema_version": 1}', "null"])
def test_other_json(text: str) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(text, "x")


def test_unknown_fields_are_refused() -> None:
    content = json.loads(make().to_json()) | {"surprise": 1}
    with pytest.raises(ManifestError, match="surprise"):
        parse_manifest(json.dumps(content), "x")
