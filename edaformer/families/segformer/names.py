"""The weights of a SegFormer under three names: ours, transformers' current and its published.

``{s}`` counts stages from 1, ``{i}`` from 0, ``{b}`` blocks from 0.
"""

from __future__ import annotations

from edaformer.families.segformer.sizes import SegFormerSizes

ANCHORS = (
    "segformer.stages.0.patch_embeddings.proj.weight",
    "segformer.encoder.patch_embeddings.0.proj.weight",
)
_STAGE = (
    ("embed.proj", "patch_embeddings.proj", "patch_embeddings.{i}.proj"),
    ("embed.norm", "patch_embeddings.layer_norm", "patch_embeddings.{i}.layer_norm"),
    ("norm", "layer_norm", "layer_norm.{i}"),
)
_BLOCK = (
    ("norm1", "layernorm_before", "layer_norm_1"),
    ("norm2", "layernorm_after", "layer_norm_2"),
    ("attention.q", "attention.q_proj", "attention.self.query"),
    ("attention.k", "attention.k_proj", "attention.self.key"),
    ("attention.v", "attention.v_proj", "attention.self.value"),
    ("attention.proj", "attention.o_proj", "attention.output.dense"),
    ("attention.reduction.conv", "attention.sequence_reduction.sequence_reduction",
     "attention.self.sr"),
    ("attention.reduction.norm", "attention.sequence_reduction.layer_norm",
     "attention.self.layer_norm"),
    ("mlp.fc1", "mlp.fc1", "mlp.dense1"),
    ("mlp.fc2", "mlp.fc2", "mlp.dense2"),
    ("mlp.dwconv", "mlp.dwconv.dwconv", "mlp.dwconv.dwconv"),
)  # fmt: skip
_HEAD = (("fuse.conv", "linear_fuse"), ("fuse.norm", "batch_norm"), ("classify", "classifier"))


class Names:
    """Of one model's modules, both ways."""

    def __init__(self, sizes: SegFormerSizes) -> None:
        self._ours: dict[str, str] = {}  # by either of theirs
        self._current: dict[str, str] = {}  # by ours
        for stage, depth in enumerate(sizes.depths):
            self._add_stage(stage, depth)
            # our decoder begins with c4
            self._add(f"decoder.fuse.embed.{3 - stage}",
                      f"decode_head.linear_projections.{stage}.proj",
                      f"decode_head.linear_c.{stage}.proj")  # fmt: skip
        for ours, theirs in _HEAD:
            self._add(f"decoder.{ours}", f"decode_head.{theirs}", f"decode_head.{theirs}")

    def ours(self, key: str) -> str:
        """Our name of a weight under either of theirs; any other as it is, to be refused by it."""
        module, _, leaf = key.rpartition(".")
        return f"{self._ours[module]}.{leaf}" if module in self._ours else key

    def current(self, key: str) -> str:
        """Transformers' name of a weight under ours; any other as it is."""
        module, _, leaf = key.rpartition(".")
        return f"{self._current[module]}.{leaf}" if module in self._current else key

    def _add_stage(self, stage: int, depth: int) -> None:
        for ours, current, published in _STAGE:
            self._add(f"encoder.stage{stage + 1}.{ours}", f"segformer.stages.{stage}.{current}",
                      f"segformer.encoder.{published.format(i=stage)}")  # fmt: skip
        for block in range(depth):
            for ours, current, published in _BLOCK:
                self._add(f"encoder.stage{stage + 1}.blocks.{block}.{ours}",
                          f"segformer.stages.{stage}.blocks.{block}.{current}",
                          f"segformer.encoder.block.{stage}.{block}.{published}")  # fmt: skip

    def _add(self, ours: str, current: str, published: str) -> None:
        self._ours[current] = self._ours[published] = ours
        self._current[ours] = current
