"""LoRA beside a base model: merged as peft merges it, or refused by name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from edaformer.errors import CheckpointError
from edaformer.families.table import checkpoint_sha256, load_checkpoint
from tests.families.segformer.hugging import hugging_model, save_folder

LINEAR = "segformer.encoder.block.0.0.attention.self.query"
CONV = "decode_head.linear_fuse"
OURS = {LINEAR: "encoder.stage1.blocks.0.attention.q", CONV: "decoder.fuse.conv"}
CONFIG = {"peft_type": "LORA", "r": 3, "lora_alpha": 6, "bias": "none", "target_modules": ["query"],
          "init_lora_weights": True, "base_model_name_or_path": "somewhere/else"}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_folder(tmp_path / "folder")


def write(folder: Path, tensors: dict[str, torch.Tensor], **config: Any) -> Path:
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | config))
    save_file({f"base_model.model.{k}": v for k, v in tensors.items()},
              folder / "adapter_model.safetensors")  # fmt: skip
    return folder


def pairs(folder: Path) -> dict[str, torch.Tensor]:
    """A and B of rank 3, of a linear layer and of a 1x1 convolution."""
    generator, made = torch.Generator().manual_seed(1), {}
    for module in (LINEAR, CONV):
        weight = load_file(folder / "model.safetensors")[f"{module}.weight"]
        down, up = (3, *weight.shape[1:]), (weight.shape[0], 3, *(1,) * (weight.ndim - 2))
        made[f"{module}.lora_A.weight"] = torch.randn(down, generator=generator)
        made[f"{module}.lora_B.weight"] = torch.randn(up, generator=generator)
    return made


@pytest.mark.parametrize(("rslora", "scale"), [(False, 6 / 3), (True, 6 / math.sqrt(3))])
def test_the_formula(rslora: bool, scale: float, folder: Path) -> None:
    before, tensors = load_checkpoint(folder), pairs(folder)
    after = load_checkpoint(write(folder, tensors, use_rslora=rslora))
    for module, ours in OURS.items():
        down, up = (tensors[f"{module}.lora_{part}.weight"].squeeze() for part in "AB")
        expected = before.state[f"{ours}.weight"].squeeze() + scale * (up @ down)
        assert torch.allclose(after.state[f"{ours}.weight"].squeeze(), expected, atol=1e-5)
    changed = {k for k, v in after.state.items() if not torch.equal(v, before.state[k])}
    assert changed == {f"{ours}.weight" for ours in OURS.values()}
    assert after.sha256 == checkpoint_sha256(folder) != before.sha256


def test_a_kernel(folder: Path) -> None:
    """Of a convolution of 7x7, against PyTorch's own two convolutions in a row."""
    module = "segformer.encoder.patch_embeddings.0.proj"
    down, up = torch.randn(3, 3, 7, 7), torch.randn(16, 3, 1, 1)
    before = load_checkpoint(folder).state["encoder.stage1.embed.proj.weight"]
    write(folder, {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up})
    delta = load_checkpoint(folder).state["encoder.stage1.embed.proj.weight"] - before
    image = torch.randn(1, 3, 20, 20)
    conv = torch.nn.functional.conv2d
    assert torch.allclose(conv(image, delta), 2 * conv(conv(image, down), up), atol=1e-3)


def test_what_was_trained_whole_is_replaced(folder: Path) -> None:
    whole = {"decode_head.classifier.weight": torch.ones(5, 24, 1, 1),
             "decode_head.modules_to_save.classifier.bias": torch.ones(5)}  # fmt: skip
    write(folder, pairs(folder) | whole, modules_to_save=["decode_head"])
    state = load_checkpoint(folder).state
    assert torch.equal(state["decoder.classify.weight"], torch.ones(5, 24, 1, 1))
    assert torch.equal(state["decoder.classify.bias"], torch.ones(5))


@pytest.mark.parametrize("kind", ["plain", "rslora", "head"])
def test_as_peft_merges_it(kind: str, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="needs peft, which only this comparison reads")
    folder = save_folder(tmp_path / "folder")
    config = peft.LoraConfig(
        r=4, lora_alpha=10, target_modules=["q_proj", "v_proj", "fc1", "linear_fuse", "query",
                                            "value", "dense1"],
        use_rslora=kind == "rslora", modules_to_save=["classifier"] if kind == "head" else None,
        rank_pattern={"fc1": 2},
    )  # fmt: skip
    model = peft.get_peft_model(hugging_model(), config)
    torch.manual_seed(0)
    for name, value in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            value.data.normal_()
    model.save_pretrained(folder)
    merged = tmp_path / "merged"
    model.merge_and_unload().save_pretrained(merged)
    (merged / "preprocessor_config.json").write_text("{}")
    ours, theirs = load_checkpoint(folder).state, load_checkpoint(merged).state
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        assert torch.allclose(ours[key], value, atol=1e-5), key


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"peft_type": "IA3"}, "of the kind IA3, which is not merged here; merge it where"),
        ({"peft_type": "LOHA"}, "of the kind LOHA"),
        ({"use_dora": True}, "LoRA with use_dora"),
        ({"bias": "all"}, "LoRA with bias"),
        ({"lora_bias": True}, "LoRA with lora_bias"),
        ({"init_lora_weights": "pissa"}, "LoRA with init_lora_weights 'pissa'"),
        ({"alpha_pattern": {"fc1": 3}}, "LoRA with alpha_pattern"),
        ({"fan_in_fan_out": True}, "LoRA with fan_in_fan_out"),
        ({"layer_replication": [[0, 1]]}, "LoRA with layer_replication"),
        ({"something_new": 1}, "LoRA with something_new"),
        ({"r": 8}, "LoRA of rank 8, and .* has weights of"),
        ({"lora_alpha": "x"}, "expected r and lora_alpha in"),
        ({"r": 0}, "expected r and lora_alpha in"),
    ],
)
def test_other_adapters_are_refused_by_name(
    config: dict[str, Any], words: str, folder: Path
) -> None:
    write(folder, pairs(folder), **config)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({f"{LINEAR}.lora_magnitude_vector": torch.ones(16)}, "weights of another form"),
        ({f"{LINEAR}.bias": torch.ones(16)}, r"weights that its configuration does not name"),
        ({"other.lora_A.weight": torch.ones(3, 4), "other.lora_B.weight": torch.ones(4, 3)},
         "is of another model: there is no other here"),
        ({f"{LINEAR}.lora_A.weight": torch.ones(3, 4), f"{LINEAR}.lora_B.weight": torch.ones(4, 3)},
         r"is of another model: .*query is \(4, 4\) there and \(16, 16\) here"),
        ({f"{LINEAR}.lora_A.weight": torch.ones(3, 16)}, "weights of another form"),
        ({f"{LINEAR}.lora_A.weight": torch.ones(3, 16).to(torch.int8)}, "got 1 int8"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit(
    tensors: dict[str, torch.Tensor], words: str, folder: Path
) -> None:
    write(folder, tensors)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(folder)


def test_adapters_elsewhere_are_not_left_out_silently(folder: Path, tmp_path: Path) -> None:
    write(folder, pairs(folder))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"without adapter_model.safetensors; save it again"):
        load_checkpoint(folder)
    (folder / "lora").mkdir()
    (folder / "adapter_config.json").rename(folder / "lora" / "adapter_config.json")
    with pytest.raises(CheckpointError, match=r"has an adapter in lora/; put its"):
        load_checkpoint(folder)
    with pytest.raises(CheckpointError, match=r"is an adapter without its base model"):
        load_checkpoint(folder / "lora")
    torch.save({"a": torch.ones(1)}, folder / "lora" / "x.pth")
    with pytest.raises(CheckpointError, match=r"beside .*x.pth there is an adapter"):
        load_checkpoint(folder / "lora" / "x.pth")
