"""A SegFormer through the same way: exported, verified, built, bisected, described."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edaformer.engines.artifact.inspect import describe
from edaformer.engines.artifact.onnx_file import read_onnx_manifest
from edaformer.engines.validate.bisect import bisect
from edaformer.errors import InputError, ISRError, ManifestError
from edaformer.evaluation.protocol import PROTOCOLS
from edaformer.export.exporter import ExportResult, export_model
from edaformer.export.options import ExportOptions
from edaformer.export.rewrites import defaults
from edaformer.export.runtime import OnnxSession
from edaformer.export.verify import natural_noise
from edaformer.families.checkpoint import Checkpoint
from edaformer.families.segformer.sizes import SEGFORMERS
from edaformer.families.table import load_checkpoint
from edaformer.isr import ISR
from edaformer.manifest import network_name, parse_manifest, parse_network_name
from edaformer.preprocess import normalise
from tests.conftest import ROOT
from tests.families.segformer.hugging import CLASSES, hugging_model, save_folder

ODD = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return load_checkpoint(save_folder(tmp_path_factory.mktemp("folder"), ODD))


@pytest.fixture(scope="module")
def exported(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """FP16, with ISR, at 60x90 padded to 64x96."""
    isr = ISR.parse("16,8,4,2", checkpoint.places)
    options = ExportOptions(isr=isr, size=(60, 90), outputs=("labels", "logits"))
    return export_model(checkpoint, options, tmp_path_factory.mktemp("onnx") / "x.onnx")


@pytest.mark.parametrize("size", [(64, 96), (99, 130)])
def test_the_graph_at_base_computes_transformers_logits(
    size: tuple[int, int], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    options = ExportOptions(
        isr=checkpoint.places.base, size=size, precision="fp32", input="tensor",
        outputs=("logits",),
    )  # fmt: skip
    result = export_model(checkpoint, options, tmp_path / "x.onnx")
    assert {"fold-batchnorm", "fuse-per-branch", "project-values"} <= set(
        result.manifest.rewrites or ()
    )
    feed = normalise(natural_noise(1, size), checkpoint.normalisation)
    made = OnnxSession(str(result.path)).run({"tensor": feed})["logits"]
    with torch.inference_mode():
        expected = hugging_model()(torch.from_numpy(feed)).logits.numpy()
    assert made.shape == expected.shape
    assert np.abs(made - expected).max() <= 1e-4


def test_the_manifest_says_what_it_is(exported: ExportResult, checkpoint: Checkpoint) -> None:
    manifest = read_onnx_manifest(exported.path)
    assert manifest == exported.manifest
    assert (manifest.variant, manifest.title, manifest.isr) == (
        "segformer", "SegFormer", "16,8,4,2",
    )  # fmt: skip
    assert manifest.architecture == checkpoint.variant
    assert manifest.isr_value == ISR.parse("16,8,4,2", checkpoint.places)
    assert (manifest.logits_stride, manifest.outputs[1].height, manifest.outputs[1].width) == (
        4, 16, 24,
    )  # fmt: skip
    assert manifest.classes == CLASSES
    assert manifest.input.normalisation == checkpoint.normalisation
    assert manifest.input.mean == pytest.approx((127.5, 102, 76.5))
    carried = parse_network_name(network_name(manifest), "plan")
    assert carried.architecture == checkpoint.variant
    content = json.loads(manifest.to_json())
    for changes, words in (
        ({"isr": "16,8,4,1-1,2,4"}, "its decoder pools nothing"),
        ({"isr": "12,8,4,2"}, "not a multiple of its trained ratio 8"),
    ):
        with pytest.raises(ISRError, match=words):
            parse_manifest(json.dumps(content | changes), "x")


def test_older_manifests_are_of_transformers_networks(exported: ExportResult) -> None:
    content = json.loads(exported.manifest.to_json())
    for name, usual in (("head", "linear"), ("eps", [1e-5, 1e-5]), ("align_corners", "none")):
        assert content["sizes"].pop(name) == usual
    assert parse_manifest(json.dumps(content), "x") == exported.manifest
    content["logits_stride"] = 8
    with pytest.raises(ManifestError, match="contradicts itself: a logit for 8 pixels"):
        parse_manifest(json.dumps(content), "x")


def test_an_edaformer_s_manifest_has_no_sizes(small_export: ExportResult) -> None:
    assert "sizes" not in small_export.manifest.to_json()
    assert "sizes" not in network_name(small_export.manifest)


def test_the_isr_is_in_the_graph(exported: ExportResult) -> None:
    """Every place is pooled twice its trained ratio: by two, after the reduction."""
    nodes = onnx.load(exported.path).graph.node
    pools = [node for node in nodes if node.op_type == "AveragePool"]
    kernels = [list(a.ints) for node in pools for a in node.attribute if a.name == "kernel_shape"]
    assert kernels == [[2, 2]] * 5
    assert {node.name.partition(".blocks")[0] for node in pools} == {
        f"encoder.stage{number}" for number in (1, 2, 3, 4)
    }


def test_resizing_is_recorded_and_never_guessed(
    exported: ExportResult, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    assert exported.manifest.input.resize == "pillow-bilinear"
    facts = dict(describe(str(exported.path), isr=None, size=None, num_classes=None).facts)
    assert facts["frames resized by"] == "pillow-bilinear"
    bicubic = replace(checkpoint, resize="pillow-bicubic")
    options = ExportOptions(isr=checkpoint.places.base, size=(60, 90))
    with pytest.raises(InputError, match="resizes by pillow-bicubic; choose one with --resize"):
        export_model(bicubic, options, tmp_path / "x.onnx")
    chosen = replace(options, resize="opencv-bilinear", precision="fp32")
    made = export_model(bicubic, chosen, tmp_path / "x.onnx")
    assert made.manifest.input.resize == "opencv-bilinear"


def test_every_module_is_compared_when_bisecting(
    exported: ExportResult, checkpoint: Checkpoint
) -> None:
    image = natural_noise(1, (60, 90))[0]
    made = bisect(
        exported.path, checkpoint, image, name="x", protocol=PROTOCOLS["native"], fit=None
    )
    assert made.first is None
    assert made.skipped == ()
    assert len(made.differences) == 4 + 4 + 3 * 5 + 2  # embeddings, norms, blocks, fuse, classify


def test_described_as_it_runs(exported: ExportResult, checkpoint: Checkpoint) -> None:
    made = describe(str(exported.path), isr=None, size=None, num_classes=None)
    assert (made.kind, made.size, str(made.isr)) == ("onnx", (64, 96), "16,8,4,2")
    assert made.cost.gmacs == exported.gmacs
    folder = describe(str(checkpoint.path), isr="16,8,4,2", size=(64, 96), num_classes=None)
    assert folder.kind == "checkpoint"
    assert folder.cost == made.cost
    assert dict(folder.facts)["model"] == "SegFormer, 5 classes"
    assert "127.5" in str(dict(folder.facts)["normalised by"])


def test_a_variant_by_its_name() -> None:
    made = describe("segformer-b0", isr="16,8,4,2", size=None, num_classes=19)
    assert dict(made.facts)["model"] == "SegFormer-B0, 19 classes"
    assert 0 < made.saving < 1
    with pytest.raises(ISRError, match="is a setting of EDAFormer"):
        describe("segformer-b0", isr="paper", size=None, num_classes=None)


@pytest.mark.slow
@pytest.mark.parametrize(("size", "classes"), [((512, 512), 150), ((1024, 1024), 19)])
@pytest.mark.parametrize("isr", ["base", "16,8,4,2"])
def test_every_attention_is_fused_and_nothing_is_padded(
    size: tuple[int, int], classes: int, isr: str
) -> None:
    sizes, names = SEGFORMERS["segformer-b0"], defaults("fp16", "segformer-b0")
    measure = runpy.run_path(str(ROOT / "benchmarks" / "rewrites.py"))["measure"]
    figures = measure(sizes, size, classes, isr, names, run=False)
    assert (figures["unfused"], figures["padding"]) == (0, 0)
    plain = measure(sizes, size, classes, isr, (), run=False)
    assert plain["padding"] > 0
    assert figures["traffic"] < 0.65 * plain["traffic"]
