"""One input at many ISR settings, with everything shared that settings share.

What a place computes depends on its own ratio and on those before it, and EDAFormer's decoder's
branches see only their stage: c2 knows nothing of stages 3 and 4. So the 2187 settings of {1, 2, 4}
times the trained ratios need 3 + 9 + 27 + 81 runs of the stages and 243 + 81 + 27 of the branches;
only fusing and classifying is done for each. The parts are the model's own, run as its ``forward``
runs them, so the logits are those of the whole model to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edaformer.isr import ISR

if TYPE_CHECKING:
    from torch import Tensor

    from edaformer.families.network import Network


@dataclass
class Prefixes:
    """What has been computed of one input.

    Memory stays flat as long as settings come in ascending order of their ratios: then a place
    keeps the outputs of its own ratios alone.
    """

    model: Network  # its ratios are changed in place
    pixels: NDArray[np.float32]  # (1, 3, H, W), normalised
    _made: tuple[dict[tuple[int, ...], Tensor], ...] = field(init=False)

    def __post_init__(self) -> None:
        self._made = tuple({} for _ in self.model.reads)

    def logits(self, isr: ISR) -> NDArray[np.float32]:
        """(classes, h, w) at ``isr``."""
        import torch

        with torch.inference_mode():
            branches = (self._output(at, isr.ratios) for at in self.model.fused)
            made: NDArray[np.float32] = self.model.decoder.decide(*branches).numpy()[0]
        return made

    def _output(self, place: int, ratios: tuple[int, ...]) -> Tensor:
        """Of a place, remembered as long as the ratios before it stay."""
        import torch

        reads, made = self.model.reads[place], self._made[place]
        key = tuple(ratios[at] for at in self._behind(place))
        if key not in made:
            before = [self._output(at, ratios) for at in reads] or [torch.from_numpy(self.pixels)]
            if made and next(iter(made))[1:] != key[1:]:
                made.clear()
            self.model.set_ratio(place, ratios[place])
            made[key] = self.model.parts[place](*before)
        return made[key]

    def _behind(self, place: int) -> tuple[int, ...]:
        """The place and all that its output depends on, back to the image, from the last on."""
        before = {at for read in self.model.reads[place] for at in self._behind(read)}
        return (place, *sorted(before, reverse=True))
