"""One stage of a PyTorch model, opened: the attention of its last block, and its features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edaformer.errors import InputError
from edaformer.isr import ISR, Places
from edaformer.preprocess import ALIGN, aligned, format_size, network_input

if TYPE_CHECKING:
    from torch import nn

    from edaformer.families.network import Network

Size = tuple[int, int]
Map = NDArray[np.float32]


@dataclass(frozen=True)
class Setting:
    """A stage at one ISR; a key pools ``ratio`` x ``ratio`` tokens of its map."""

    isr: ISR
    ratio: int
    features: Map  # (rows, columns, channels) of tokens
    attention: tuple[Map, ...]  # of each query: (rows, columns) of keys, which add up to 1
    pooled: Size  # rows and columns of the map that keys pool: the features', or another's

    @property
    def keys(self) -> Size:
        """Rows and columns of keys."""
        return self.pooled[0] // self.ratio, self.pooled[1] // self.ratio


def stage_names(places: Places) -> tuple[str, ...]:
    """As the command line calls a model's places, in their order: 1, 2, 3, 4, c4, c3, c2."""
    return tuple(place.name.rpartition(" ")[2] for place in places.all)


class OpenStage:
    """A model with one stage watched; images are padded right and bottom to multiples of 32.

    Args:
        model: in evaluation mode.
        stage: one of the model's stage_names.
        size: (H, W) of the images.

    Raises:
        InputError: for an unknown stage.
    """

    def __init__(self, model: Network, stage: str, size: Size) -> None:
        names = stage_names(model.variant.places)
        if stage not in names:
            raise InputError(f"expected --attention as one of {', '.join(names)}, got '{stage}'")
        self._model, self._place = model, names.index(stage)
        self._part: nn.Module = model.parts[self._place]
        self.size, self.padded = size, aligned(size, ALIGN)

    def look(self, isr: ISR, image: NDArray[np.uint8], points: Sequence[Size]) -> Setting:
        """Run the model at ``isr``.

        Args:
            isr: fits the padded size.
            image: uint8 RGB (H, W, 3).
            points: (y, x) of the queries, in pixels of the image.

        Raises:
            InputError: if PyTorch fails, as it does for want of memory.
        """
        self._model.set_isr(isr)
        with self._watched() as seen:
            self._run(image)
        queries, keys, features = seen["queries"], seen["keys"], seen["features"]
        ratio, stride = isr.ratios[self._place], self._model.variant.places.all[self._place].stride
        pooled = (-(-self.padded[0] // stride), -(-self.padded[1] // stride))
        shape = (pooled[0] // ratio, pooled[1] // ratio)
        by = self._model.attention_places()[self._place][-1].query_pooling
        rows, columns = features.shape[0] // by, features.shape[1] // by
        tokens = [y * rows // self.padded[0] * columns + x * columns // self.padded[1]
                  for y, x in points]  # fmt: skip
        attention = tuple(_attention(queries[:, token], keys).reshape(shape) for token in tokens)
        return Setting(isr, ratio, features, attention, pooled)

    @contextmanager
    def _watched(self) -> Iterator[dict[str, NDArray[Any]]]:
        """What passes through the stage while the model runs, of the first image."""
        from edaformer.families.attention import DotProductAttention

        seen: dict[str, NDArray[Any]] = {}

        def attended(_: nn.Module, inputs: Any, __: Any) -> None:
            seen["queries"], seen["keys"] = inputs[0][0].numpy(), inputs[1][0].numpy()

        def left(_: nn.Module, __: Any, output: Any) -> None:
            seen["features"] = output[0].permute(1, 2, 0).numpy()

        attends = [one for one in self._part.modules() if isinstance(one, DotProductAttention)]
        hooks = [attends[-1].register_forward_hook(attended),
                 self._part.register_forward_hook(left)]  # fmt: skip
        try:
            yield seen
        finally:
            for hook in hooks:
                hook.remove()

    def _run(self, image: NDArray[np.uint8]) -> None:
        import torch

        tensor = network_input(image[None], "tensor", self._model.normalisation, self.padded)
        try:
            with torch.inference_mode():
                self._model(torch.from_numpy(tensor))
        except RuntimeError as error:  # PyTorch's allocator has no other
            reason = str(error).splitlines()[0]
            raise InputError(
                f"PyTorch fails at {format_size(self.size)} ({reason}); use a smaller --size"
            ) from error


def _attention(query: NDArray[np.float32], keys: NDArray[np.float32]) -> Map:
    """softmax(q k^T / sqrt(d)), mean over heads: (h, d), (h, M, d) -> (M,)."""
    scores = np.einsum("hd,hmd->hm", query, keys) * query.shape[-1] ** -0.5
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    mean: Map = (weights / weights.sum(axis=1, keepdims=True)).mean(axis=0)
    return mean
