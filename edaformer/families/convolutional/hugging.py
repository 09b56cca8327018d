"""A UperNetForSemanticSegmentation of transformers': config.json, safetensors, preprocessing.

Supported is the backbone of PVTv2 that transformers has, as PvtV2Config saves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edaformer.errors import CheckpointError
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.convolutional.sizes import ConvolutionalSizes
from edaformer.families.convolutional.upernet import SCALES, UPerNet
from edaformer.families.formats.file import Reader, loaded
from edaformer.families.formats.images import read_preprocessing
from edaformer.families.formats.labels import read_classes
from edaformer.families.formats.numbers import USUAL, read_encoder, read_number
from edaformer.families.given import Given
from edaformer.families.reading import folder
from edaformer.families.reading.json_file import read_object
from edaformer.families.reading.training import adapted_record
from edaformer.families.reading.weights import Weights

CONFIG = "config.json"
_BACKBONE = "pvt_v2"
_USUAL = {**USUAL, "mlp_ratios": [8, 8, 4, 4]}
_BACKBONE_SUPPORTED = {
    "num_encoder_blocks": 4, "num_channels": 3, "hidden_act": "gelu", "linear_attention": False,
    "qkv_bias": True,
}  # fmt: skip
_WHY_NOT = {"linear_attention": "it pools keys to 7x7, whatever the image, so ISR has no ratio"}
_WIDTH, _EPS = 512, 1e-6  # UperNetConfig's and PvtV2Config's defaults


def is_upernet(path: Path) -> bool:
    """Whether a folder's configuration is one."""
    file = path / CONFIG
    return file.is_file() and read_object(file).get("model_type") == "upernet"


def load(path: Path, given: Given, reader: Reader, digest: str) -> Checkpoint:
    """Read and check a folder.

    Raises:
        CheckpointError: if it holds another model, or its configuration is not the weights'.
        InputError: for sizes that no network has.
        MissingError: without torch or safetensors.
    """
    file = path / CONFIG
    given.refuse_said(str(path), f"its {CONFIG} says it")
    content = read_object(file)
    sizes, images, notes = _sizes(file, content), read_preprocessing(path), list[str]()
    number, classes = read_classes(file, content, notes)
    adapted = adapted_record(content, notes)
    read = Weights(folder.read_folder(path, reader.anchors), {})
    made = loaded(path, read, Given(sizes=sizes, origin=CONFIG), reader, digest)
    for what, said, found in (
        ("classes", number, made.num_classes),
        ("sizes", sizes, made.variant),
    ):
        if said != found:
            raise CheckpointError(
                f"{file} says {what} {said}, and the weights beside it have {found}; copy the "
                "folder again"
            )
    return replace(
        made,
        classes=classes,
        input_size=images.size,
        normalisation=images.normalisation,
        resize=images.resize,
        reduced_labels=images.reduced_labels,
        origins=images.origins(f"id2label of {CONFIG}"),
        notes=(*notes, *made.notes),
        adapted=adapted,
        assumed=(),
    )


def _sizes(file: Path, content: Mapping[str, Any]) -> ConvolutionalSizes:
    backbone = content.get("backbone_config")
    if not isinstance(backbone, dict):
        raise CheckpointError(
            f"expected a backbone_config in {file}, got {backbone!a:.60}; save the model again"
        )
    kind = backbone.get("model_type")
    if kind != _BACKBONE:
        raise CheckpointError(
            f"expected the backbone {_BACKBONE} in {file}, got {kind!a:.60}: its keys and values "
            "are not pooled, or it is not built yet; use a model with one of these"
        )
    for where, name, wanted in (
        *((backbone, name, wanted) for name, wanted in _BACKBONE_SUPPORTED.items()),
        (content, "pool_scales", [*SCALES]),
    ):
        if (got := where.get(name, wanted)) != wanted:
            why = _WHY_NOT.get(name, "no other is supported")
            raise CheckpointError(f"expected {name} {wanted!r} in {file}, got {got!a:.60}: {why}")
    width = read_number(file, "UPerNet", "hidden_size", content.get("hidden_size", _WIDTH))
    widths, depths, heads, ratios, mlp_ratios, patches, strides = read_encoder(
        file, "UPerNet", backbone, _USUAL
    )
    eps = backbone.get("layer_norm_eps", _EPS)
    if not isinstance(eps, float):
        raise CheckpointError(f"expected layer_norm_eps in {file} as a number, got {eps!a:.60}")
    return ConvolutionalSizes(
        widths, depths, UPerNet(width), heads, ratios, mlp_ratios, patches, strides, (eps, eps)
    )
