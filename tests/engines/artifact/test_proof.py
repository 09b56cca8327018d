"""The layer table of TensorRT-RTX 1.7.1, cut to the lines that matter, and what is read from it."""

from __future__ import annotations

import json

import pytest

from edaformer.engines.artifact.proof import (
    bytes_say,
    facts_of,
    failures,
    float_kernels,
    fp16_share,
    padding_kernels,
    prove_from_inspector,
    prove_from_log,
    summarise,
    table_differences,
    traffic_bytes,
)
from edaformer.families.edaformer.sizes import VARIANTS
from edaformer.manifest import KeptFP32, Manifest, Proof

FACTS = ["Max Scratch Memory: 100 bytes", "Total Activation Memory: 90 bytes",
         "Total Weights Memory: 80 bytes", "Total Host Persistent Memory: 70 bytes"]  # fmt: skip


def tensor(kind: str, dimensions: str = "1,4,8") -> str:
    return (
        f"{{ Name: x, Dimensions: [{dimensions}], Strides: [32,8,1], StrideOrder: [2,1,0], "
        f"Datatype: {kind}, Format: (Linear) Row major linear format }}"
    )


def line(name: str, layer: str, nodes: list[str], kind: str = "Half", shape: str = "1,4,8") -> str:
    metadata = "".join(f"[ONNX Layer: {node}]" for node in nodes)
    return (
        f"Name: {name}, LayerType: {layer}, Inputs: [ {tensor('Half')}], Constants: [], "
        f"Outputs: [ {tensor(kind, shape)}], TacticName: t_0x12ab, StreamId: 0, "
        f"Metadata: {metadata}"
    )


def mha(block: str, number: int = 1) -> str:
    return line(f"_gemm_mha_v2_myl0_{number}", "kgen", [f"{block}.attend/MatMul_1"])


BLOCKS = VARIANTS["T"].attention_names
ALL_FUSED = [mha(block, number) for number, block in enumerate(BLOCKS)]


def prove(lines: list[str], variant: str = "T", **fields: object) -> Proof:
    made = Manifest.model_construct(variant=variant, precision="fp16", **fields)
    return prove_from_log("\n".join(["Layers:", *lines, "", "I/O Tensors:"]), FACTS, made)


def fp16(kept: tuple[KeptFP32, ...] = ()) -> Manifest:
    return Manifest.model_construct(variant="T", precision="fp16", kept_fp32=kept)


@pytest.mark.parametrize(("name", "count"), [("T", 22), ("B", 37)])
def test_every_attention_block_has_a_name(name: str, count: int) -> None:
    blocks = VARIANTS[name].attention_names
    assert len(set(blocks)) == len(blocks) == count
    assert blocks[0] == "encoder.stage1.blocks.0.attention"
    assert blocks[-1] == "decoder.c2.blocks.0.attention"


def test_unfused_blocks_are_named() -> None:
    proof = prove(ALL_FUSED[1:])
    assert proof.attention_unfused == ("encoder.stage1.blocks.0.attention",)
    assert failures(proof, fp16()) == [
        "attention is not fused in encoder.stage1.blocks.0.attention"
    ]
    assert failures(prove(ALL_FUSED), fp16()) == []


def test_what_was_kept_in_fp32_or_is_fp32_need_not_be_fused() -> None:
    proof = prove(ALL_FUSED[1:])
    kept = KeptFP32(reason="range", why="large", modules=(f"{BLOCKS[0]}.attend",))
    assert failures(proof, fp16((kept,))) == []
    assert failures(proof, Manifest.model_construct(precision="fp32", kept_fp32=())) == []


def test_kept_block_1_is_not_block_11() -> None:
    lines = [
        line("x/MatMul_U1_myl0_2", "gemm", ["encoder.stage3.blocks.11.mlp.fc1/MatMul"], "Float")
    ]
    kept = KeptFP32(reason="range", why="large", modules=("encoder.stage3.blocks.1.mlp",))
    assert failures(prove([*ALL_FUSED, *lines]), fp16((kept,))) != []


def test_a_grouped_attention_is_the_same_block() -> None:
    grouped = line("_gemm_mha_v2_myl0_1", "kgen", [f"{BLOCKS[0]}.attend.attend/MatMul_1"])
    assert prove([grouped, *ALL_FUSED[1:]]).attention_unfused == ()


@pytest.mark.parametrize(
    ("name", "layer", "kind"),
    [
        ("_gemm_mha_v2_myl0_3", "kgen", "attention"),
        ("encoder.stage1.embed.proj/Conv_U18_myl0_3", "correlation", "convolution"),
        ("__myl_CorrMulCastErfCastAddMulMul_myl0_14", "runtime_fusion", "convolution"),
        ("encoder.stage1.blocks.0.mlp.fc1/MatMul_U40_myl0_14", "gemm", "matmul"),
        ("__myl_FcAddAdd_myl0_12", "runtime_fusion", "matmul"),
        ("a/AveragePool_U26_myl0_6", "avgpool", "pooling"),
        ("__myl_CastMeanSubMulMeanAddSqrtDivMulCastMulAdd_myl0_13", "kgen", "normalisation"),
        ("__myl_ReluGnor_myl0_9", "kgen", "normalisation"),
        ("__myl_MaxrSubExpSumDiv_myl0_10", "kgen", "softmax"),
        ("__myl_SlicTran_myl0_10", "kgen", "padding"),
        ("__myl_Move_myl0_8", "kgen", "copy"),
        ("__myl_Topk_myl0_8", "kgen", "reduction"),
        ("__myl_TranResi_myl0_8", "kgen", "resize"),
        ("__myl_MulCastErfCastAddMulMul_myl0_8", "kgen", "pointwise"),
        ("a/Slice", "Slice", "padding"),
        ("a/Conv", "CaskConvolution", "convolution"),
        ("a/MatMul", "CaskGemmMatrixMultiply", "matmul"),
    ],
)
def test_kinds(name: str, layer: str, kind: str) -> None:
    (kernel,) = prove([line(name, layer, ["a/b"])]).kernels
    assert kernel.kind == kind
    assert "myl0" not in kernel.name


def test_events_between_streams_are_no_kernels() -> None:
    signal = ("Name: s_myl0_0, LayerType: signal, Inputs: [], Constants: [], Outputs: [], "
              "TacticName: , StreamId: 0, EventId: 6, Metadata: ")  # fmt: skip
    assert prove([signal]).kernels == ()


def test_padding_is_told_from_alignment() -> None:
    proof = prove([
        line("__myl_AddReluSlicTran_myl0_1", "kgen", ["encoder.stage1.blocks.0.mlp.fc1/Add"]),
        line("__myl_MoveConcMul_myl0_2", "kgen", ["encoder.stage1.blocks.0.mlp/Mul"]),
        line("__myl_PadCast_myl0_3", "kgen", ["graph/Pad", "normalise/Mul"]),
        line("__myl_SlicCast_myl0_4", "kgen", ["labels/Slice"]),
        line("__myl_Cast_myl0_5", "kgen", ["labels/Cast"]),
    ])  # fmt: skip
    padding, alignment = padding_kernels(proof)
    assert [kernel.name for kernel in padding] == ["__myl_AddReluSlicTran", "__myl_MoveConcMul"]
    assert [kernel.name for kernel in alignment] == ["__myl_PadCast", "__myl_SlicCast"]


def test_precision_is_read_back_kernel_by_kernel() -> None:
    proof = prove([
        *ALL_FUSED,
        line("__myl_CastMeanSubMul_myl0_1", "kgen", ["encoder.stage1.norm/LayerNormalization"],
             "Float"),
        line("x/MatMul_U1_myl0_2", "gemm", ["encoder.stage2.blocks.0.mlp.fc1/MatMul"], "Float"),
        line("y/Cast_myl0_3", "kgen", ["labels/Cast"], "UInt8"),
    ])  # fmt: skip
    assert fp16_share(proof) == 22 / 24
    assert float_kernels(proof) == [
        "encoder.stage1.norm/LayerNormalization (__myl_CastMeanSubMul)",
        "encoder.stage2.blocks.0.mlp.fc1/MatMul (x/MatMul)",
    ]
    problem = "FP16 was asked for, but FP32 came out in encoder.stage2.blocks.0.mlp.fc1"
    assert failures(proof, fp16()) == [problem]
    kept = KeptFP32(reason="range", why="large", modules=("encoder.stage2.blocks.0.mlp",))
    assert failures(proof, fp16((kept,))) == []
    for outside in ("encoder.stage2", "encoder.stage2.blocks.0", "encoder.stage2.blocks.0.norm1"):
        other = KeptFP32(reason="range", why="large", modules=(outside,))  # not the whole module
        assert failures(proof, fp16((other,))) == [problem]
    fp32 = Manifest.model_construct(variant="T", precision="fp32", kept_fp32=())
    assert failures(proof, fp32) == []


def test_memory_and_traffic() -> None:
    proof = prove([line("a/Conv_U1_myl0_1", "correlation", ["a/Conv"])])
    assert (proof.scratch_bytes, proof.activation_bytes, proof.weights_bytes) == (100, 90, 80)
    assert traffic_bytes(proof) == 2 * 4 * 8 * 2
    dynamic = prove([line("a/Conv_U1_myl0_1", "correlation", ["a/Conv"], shape="-1,4,8")])
    assert traffic_bytes(dynamic) is None


def test_what_is_not_known_is_null() -> None:
    figures = summarise(None, VARIANTS["T"])
    assert figures["attention"] == {"total": 22, "fused": None, "unfused": None}
    assert set(figures["kernels"].values()) == {None}
    assert set(figures["memory"].values()) == {None}
    assert "unknown" in str(facts_of(None))


def test_two_builds_are_compared_kernel_by_kernel() -> None:
    first, second = prove(ALL_FUSED), prove([*ALL_FUSED[1:], line("__myl_Move_myl0_1", "kgen", [])])
    assert table_differences(first, first) == []
    assert table_differences(first, second) == [
        "only in build 1: 1 x _gemm_mha_v2 -> Half",
        "only in build 2: 1 x __myl_Move -> Half",
    ]


@pytest.mark.parametrize(
    "kind",
    [{"Format/Datatype": "Row major linear FP16 format"}, {"Datatype": "Half", "Format": "x"}],
)
def test_the_inspector_of_10_and_11(kind: dict[str, str]) -> None:
    layers = [
        {"Name": f"_gemm_mha_v2_myl0_{n}", "LayerType": "kgen",
         "Inputs": [{"Name": "q", "Dimensions": [1, 4], **kind}],
         "Outputs": [{"Name": "y", "Dimensions": [1, 4], **kind}],
         "Metadata": f"[ONNX Layer: {block}.attend/Softmax]\x1e[ONNX Layer: x]"}
        for n, block in enumerate(BLOCKS)
    ]  # fmt: skip
    proof = prove_from_inspector(json.dumps({"Layers": layers}), FACTS, fp16())
    assert proof.attention_unfused == ()
    assert fp16_share(proof) == 1
    assert proof.kernels[0].traffic_bytes == 16


def test_a_region_that_is_not_shown_is_not_taken_for_unfused() -> None:
    layers = {"Layers": [{"Name": "{ForeignNode[a...b]}", "LayerType": "Myelin", "Inputs": [],
                          "Outputs": []}]}  # fmt: skip
    proof = prove_from_inspector(json.dumps(layers), [], fp16())
    assert proof.attention_unfused is None
    assert failures(proof, fp16()) == []
    figures = summarise(proof, VARIANTS["T"])
    assert figures["attention"]["unfused"] is None
    assert set(figures["kernels"].values()) == {None}
    assert figures["precision"]["fp16_share"] is None
    assert "hides" in str(facts_of(proof))


@pytest.mark.parametrize("layers", [["conv1", "attention"], []], ids=["names", "nothing"])
def test_layers_that_are_not_described_are_not_taken_for_unfused(layers: list[str]) -> None:
    """The inspector lists bare names where a plan was not built with DETAILED verbosity."""
    proof = prove_from_inspector(json.dumps({"Layers": layers}), [], fp16())
    assert proof.attention_unfused is None
    assert failures(proof, fp16()) == []


def test_plan_bytes_count_distinct_kernels() -> None:
    plan = (b"..__myl_MaxrSubExpSumDiv_0x12ab.._gemm_mha_v2_0x1.._gemm_mha_v2_0x2"
            b".._gemm_mha_v2_0x1..")  # fmt: skip
    assert bytes_say(plan) == {"fused_attention_kernels": 2, "standalone_softmax_kernels": 1}


def apart(block: str, kind: str = "Half") -> list[str]:
    """A block's two products and what stands between them."""
    nodes = [f"{block}.attend/MatMul", f"{block}.attend.softmax/Exp", f"{block}.attend/MatMul_1"]
    names = ("__myl_Fc_myl0_0", "__myl_CastMaxrSubExpSumDivMulSumCast_myl0_1", "__myl_Fc_myl0_2")
    types = (kind, "Float", "Half")
    return [
        line(name, "kgen", [node], t) for name, node, t in zip(names, nodes, types, strict=True)
    ]


ALL_APART = [text for block in BLOCKS for text in apart(block)]
SOFTMAX = KeptFP32(
    reason="softmax", why="sums", modules=tuple(f"{block}.attend.softmax" for block in BLOCKS)
)


def unfused_form(precision: str = "fp16") -> Manifest:
    return Manifest.model_construct(
        variant="T", precision=precision, attention="unfused", kept_fp32=(SOFTMAX,)
    )


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize(
    "first",
    [
        pytest.param([mha(BLOCKS[0])], id="fused"),
        pytest.param(
            [
                line(
                    "new_flash", "kgen", [f"{BLOCKS[0]}.attend/{n}" for n in ("MatMul", "MatMul_1")]
                )
            ],
            id="fused, by a name that nobody knows",
        ),
        pytest.param(apart(BLOCKS[0])[:2], id="a product is not seen"),
    ],
)
def test_the_unfused_form_has_to_be_seen_apart(first: list[str], precision: str) -> None:
    manifest = unfused_form(precision)
    assert failures(prove(ALL_APART), manifest) == []
    proof = prove([*first, *ALL_APART[3:]])
    problem = f"attention is fused, or not seen apart, in {BLOCKS[0]}"
    assert failures(proof, manifest) == [problem]
    hidden = proof.model_copy(update={"attention_unfused": None})  # as with the fused form
    assert failures(hidden, manifest) == []


def test_a_softmax_kept_in_fp32_excuses_no_product() -> None:
    wrong = prove([*apart(BLOCKS[0], "Float"), *ALL_APART[3:]])
    problem = f"FP16 was asked for, but FP32 came out in {BLOCKS[0]}.attend"
    assert failures(wrong, unfused_form()) == [problem]


def test_only_some_unfused_blocks_are_listed() -> None:
    assert ("attention", "0 of 22 blocks fused") in facts_of(prove(ALL_APART))
    some = str(facts_of(prove(ALL_FUSED[1:])))
    assert f"21 of 22 blocks fused; NOT fused: {BLOCKS[0]}" in some
