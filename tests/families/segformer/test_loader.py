from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from edaformer.errors import CheckpointError, EdaformerError
from edaformer.families.table import checkpoint_sha256, load_checkpoint
from edaformer.preprocess import RELEASE, Normalisation
from tests.families.segformer.hugging import CLASSES, change_config, hugging_model, save_folder

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_folder(tmp_path / "segformer")


def test_a_folder_is_read_whole(folder: Path) -> None:
    loaded = load_checkpoint(folder)
    assert (loaded.variant.name, loaded.variant.family) == ("segformer", "segformer")
    assert (loaded.num_classes, loaded.classes) == (5, CLASSES)
    assert loaded.coverage.left_over == ()
    assert loaded.coverage.used == len(loaded.model().state_dict())
    assert (loaded.normalisation, loaded.input_size) == (RELEASE, None)


def test_published_and_current_names(folder: Path) -> None:
    """save_pretrained writes the published ones; the network itself has the current ones."""
    published = load_checkpoint(folder)
    assert any("encoder.block.0.0.attention.self" in name for name in load_file(folder / WEIGHTS))
    state = hugging_model().state_dict()
    assert any("stages.0.blocks.0.attention.q_proj" in name for name in state)
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    current = load_checkpoint(folder)
    assert current.state.keys() == published.state.keys()
    assert all(torch.equal(value, published.state[name]) for name, value in current.state.items())


def test_half_weights_become_float32(folder: Path) -> None:
    hugging_model().half().save_pretrained(folder)
    loaded = load_checkpoint(folder)
    assert {v.dtype for v in loaded.state.values() if v.is_floating_point()} == {torch.float32}


def test_the_hash_is_of_what_sha256sum_prints(folder: Path) -> None:
    (folder / "README.md").write_text("does not matter")
    lines = "".join(
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in ("config.json", WEIGHTS)
    )
    assert checkpoint_sha256(folder) == hashlib.sha256(lines.encode()).hexdigest()
    before = checkpoint_sha256(folder)
    (folder / "preprocessor_config.json").write_text("{}")
    assert checkpoint_sha256(folder) != before


def test_classes_that_nobody_named_have_no_names(tmp_path: Path) -> None:
    labels = {index: f"LABEL_{index}" for index in range(3)}
    loaded = load_checkpoint(save_folder(tmp_path / "x", id2label=labels))
    assert (loaded.num_classes, loaded.classes) == (3, None)


HALVES = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.5, 1.0]}


@pytest.mark.parametrize(
    ("content", "normalisation", "size"),
    [
        ({}, RELEASE, None),
        (
            {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
             "do_rescale": True, "rescale_factor": 0.00392156862745098, "size": 512},
            RELEASE, (512, 512),
        ),
        (
            {**HALVES, "size": {"height": 480, "width": 640}, "do_reduce_labels": True},
            Normalisation((127.5, 127.5, 127.5), (63.75, 127.5, 255.0)), (480, 640),
        ),
        ({**HALVES, "do_rescale": False}, Normalisation((0.5, 0.5, 0.5), (0.25, 0.5, 1.0)), None),
        ({"do_normalize": False}, Normalisation((0, 0, 0), (255.0, 255.0, 255.0)), None),
        ({"do_resize": False, "size": 512}, RELEASE, None),
        ({"size": {"shortest_edge": 512}}, RELEASE, None),
    ],
)  # fmt: skip
def test_preprocessing_is_the_folder_s(
    content: dict[str, Any],
    normalisation: Normalisation,
    size: tuple[int, int] | None,
    folder: Path,
) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(content))
    loaded = load_checkpoint(folder)
    assert (loaded.normalisation, loaded.input_size) == (normalisation, size)
    assert loaded.model().normalisation == normalisation


@pytest.mark.parametrize(
    ("content", "resize"),
    [
        (None, "pillow-bilinear"), ({}, "pillow-bilinear"), ({"resample": 2}, "pillow-bilinear"),
        ({"do_resize": False}, "pillow-bilinear"), ({"resample": 3}, "pillow-bicubic"),
        ({"resample": 0, "do_resize": True}, "pillow-nearest"),
    ],
)  # fmt: skip
def test_resizing_is_the_folder_s(
    content: dict[str, Any] | None, resize: str, folder: Path
) -> None:
    if content is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(content))
    assert load_checkpoint(folder).resize == resize


@pytest.mark.parametrize("resample", [6, -1, True, "bilinear", None])
def test_no_filter_of_pillow_s_is_refused(resample: object, folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps({"resample": resample}))
    with pytest.raises(CheckpointError, match=r"expected resample in .* as 0 to 5, got"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "resnet"}, "says model_type 'resnet'"),
        ({"hidden_act": "relu"}, "expected hidden_act 'gelu' in .*, got 'relu'"),
        ({"reshape_last_stage": False}, "expected reshape_last_stage True"),
        ({"num_channels": 4}, "expected num_channels 3"),
        ({"depths": [1, 2, 1]}, "expected 4 depths in .*, got 3"),
        ({"depths": "deep"}, "is no configuration of a SegFormer"),
        ({"patch_sizes": [8, 3, 3, 3]}, "expected odd patch sizes"),
        ({"num_attention_heads": [3, 2, 5, 2]}, "expected heads that divide"),
        ({"hidden_sizes": [16, 32, 80, 128]}, "do not fit its config.json.*wrongly shaped|cannot"),
        ({"depths": [1, 2, 2, 1]}, r"22 missing \(.*blocks.1"),
        ({"depths": [1, 1, 1, 1]}, r"22 unknown \(.*block.1.1"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    changes: dict[str, Any], words: str, folder: Path
) -> None:
    change_config(folder, **changes)
    with pytest.raises(EdaformerError, match=words):
        load_checkpoint(folder)


def test_weights_that_compute_nonsense_are_refused(folder: Path) -> None:
    state = load_file(folder / WEIGHTS)
    state["decode_head.classifier.bias"][2] = float("nan")
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 not finite \(decode_head.classifier.bias\)"):
        load_checkpoint(folder)


def test_an_image_classifier_has_no_decoder(tmp_path: Path) -> None:
    from transformers import SegformerConfig, SegformerForImageClassification

    config = SegformerConfig(depths=[1, 1, 1, 1])
    SegformerForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"missing \(decode_head.*2 unknown \(classifier"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"image_mean": "grey"}',
                                     '{"image_mean": [1, 2]}', '{"image_std": [1, 0, 1]}',
                                     '{"image_std": [1, 1, 1], "rescale_factor": 0}'])  # fmt: skip
def test_a_damaged_preprocessor_is_refused(content: str, folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json"):
        load_checkpoint(folder)


def test_damaged_and_missing_weights_are_refused(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=r"as model.safetensors, found none"):
        load_checkpoint(folder)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected a checkpoint file at .*, found a folder"):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="found nothing there"):
        load_checkpoint(tmp_path / "x")


def test_the_weights_alone_point_to_their_folder(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is not an EDAFormer.*; of a Hugging Face folder"):
        load_checkpoint(folder / WEIGHTS)


def test_transformers_is_not_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert load_checkpoint(folder).num_classes == 5


def test_defaults_are_those_of_transformers(folder: Path) -> None:
    """A configuration that says nothing but what it is."""
    from transformers import SegformerConfig

    from edaformer.families.segformer.config import read_config

    (folder / "config.json").write_text('{"model_type": "segformer"}')
    read, theirs = read_config(folder), SegformerConfig()
    sizes = read.sizes
    assert sizes.decoder_width == theirs.decoder_hidden_size
    ours = (sizes.widths, sizes.depths, sizes.heads, sizes.ratios, sizes.mlp_ratios, sizes.patches,
            sizes.strides)  # fmt: skip
    assert ours == tuple(
        tuple(getattr(theirs, name))
        for name in ("hidden_sizes", "depths", "num_attention_heads", "sr_ratios", "mlp_ratios",
                     "patch_sizes", "strides")
    )  # fmt: skip
    assert (read.num_classes, read.classes) == (theirs.num_labels, None)


def test_loading_says_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_checkpoint(folder)
    assert capfd.readouterr() == ("", "")
