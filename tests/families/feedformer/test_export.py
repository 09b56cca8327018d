"""A FeedFormer through the same way: exported, verified, built, bisected, described, opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edaformer.engines.artifact.inspect import describe
from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.engines.inside.stage import OpenStage, stage_names
from edaformer.engines.validate.bisect import bisect
from edaformer.evaluation.protocol import PROTOCOLS
from edaformer.export.exporter import ExportResult, export_model
from edaformer.export.options import ExportOptions
from edaformer.export.runtime import OnnxSession
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.feedformer.sizes import FeedFormerSizes
from edaformer.families.given import Given
from edaformer.families.table import load_checkpoint
from edaformer.isr import ISR
from edaformer.manifest import network_name, parse_network_name
from edaformer.preprocess import network_input
from tests.families.feedformer.published import save, tiny_state
from tests.tiny import FEEDFORMER, FEEDFORMER_CITY

HEADS = Given(heads=(1, 2, 5, 8))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Of the city head, which has all that the plain one has."""
    path = tmp_path_factory.mktemp("file") / "x.pth"
    return load_checkpoint(save(path, tiny_state(FEEDFORMER_CITY)), HEADS)


@pytest.fixture(scope="module")
def exported(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """FP32 for ONNX Runtime, with ISR, at 120x130 padded to 128x160; FP16 is test_commands.py's."""
    isr = ISR.parse("16,8,4,2-32,16,8", checkpoint.places)
    options = ExportOptions(
        isr=isr, size=(120, 130), precision="fp32", outputs=("labels", "logits")
    )
    return export_model(checkpoint, options, tmp_path_factory.mktemp("onnx") / "x.onnx")


def test_the_graph_computes_the_network_s_logits(
    exported: ExportResult, checkpoint: Checkpoint
) -> None:
    image = natural_noise(1, (120, 130))
    made = OnnxSession(str(exported.path)).run({"image": image})["logits"]
    pixels = network_input(image, "tensor", checkpoint.normalisation, (128, 160))
    model = checkpoint.model(exported.manifest.isr_value)
    with torch.inference_mode():
        expected = model(torch.from_numpy(pixels)).numpy()
    assert made.shape == expected.shape
    assert np.abs(made - expected).max() <= 1e-4


def test_the_manifest_says_what_it_is(exported: ExportResult, checkpoint: Checkpoint) -> None:
    manifest = read_onnx_manifest(exported.path)
    assert manifest == exported.manifest
    assert manifest.architecture == checkpoint.variant
    assert parse_network_name(network_name(manifest), "plan").architecture == checkpoint.variant
    assert manifest.isr_value.decoder[0] == 2 * checkpoint.places.base.decoder[0]
    facts = describe(str(exported.path), isr=None, size=None, num_classes=None)
    assert (str(facts.isr), facts.cost.gmacs) == (manifest.isr, exported.gmacs)


def test_the_isr_is_in_the_graph(exported: ExportResult, checkpoint: Checkpoint) -> None:
    """c1 is pooled by the whole ratio, a stage's reduced map by what is more than the trained."""
    nodes = onnx.load(exported.path).graph.node
    kernels = {
        node.name.partition(".blocks")[0] + node.name.partition("attention")[2].split("/")[0]: list(
            attribute.ints
        )
        for node in nodes if node.op_type == "AveragePool"
        for attribute in node.attribute if attribute.name == "kernel_shape"
    }  # fmt: skip
    assert {name: kernel for name, kernel in kernels.items() if name.startswith("encoder")} == {
        f"encoder.stage{number}": [2, 2] for number in range(1, 5)
    }
    decoder = exported.manifest.isr_value.decoder
    for branch, ratio in zip(("c4", "c3", "c2"), decoder, strict=True):
        assert kernels[f"decoder.{branch}.source"] == [ratio, ratio]


def test_every_module_is_compared_when_bisecting(
    exported: ExportResult, checkpoint: Checkpoint
) -> None:
    image = natural_noise(1, (120, 130))[0]
    made = bisect(
        exported.path, checkpoint, image, name="x", protocol=PROTOCOLS["native"], fit=None
    )
    assert (made.first, made.skipped) == (None, ())
    assert len(made.differences) == 4 + 4 + 3 * 5 + 3 * 3 + 2  # as encoder.*, decoder.c*, the head


@pytest.mark.parametrize("sizes", [FEEDFORMER, FEEDFORMER_CITY])
@pytest.mark.parametrize("stage", ["3", "c4", "c2"])
def test_attention_is_looked_into(stage: str, sizes: FeedFormerSizes, tmp_path: Path) -> None:
    """Of a cross attention keys lie on c1, queries on the deep map or its pooled one."""
    checkpoint = load_checkpoint(save(tmp_path / "x.pth", tiny_state(sizes)), HEADS)
    opened = OpenStage(checkpoint.model(), stage, (128, 160))
    image = natural_noise(1, (128, 160))[0]
    place = stage_names(checkpoint.places).index(stage)
    seen = opened.look(checkpoint.places.base, image, [(0, 0), (127, 159)])
    ratio, stride = checkpoint.places.base.ratios[place], checkpoint.places.all[place].stride
    assert seen.keys == (128 // stride // ratio, 160 // stride // ratio)
    assert seen.features.shape[:2] == {"3": (8, 10), "c4": (4, 5), "c2": (16, 20)}[stage]
    assert all(one.shape == seen.keys for one in seen.attention)
    assert [float(one.sum()) for one in seen.attention] == pytest.approx([1, 1], abs=1e-5)
