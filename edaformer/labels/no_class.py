"""Where the network's answer is no number, the label is 255, and whoever takes labels looks for it.

NumPy's labels, the runtime's kernels and the fused label head of an FP16 export all give it. An
argmax inside a graph or an engine (an export without fuse-argmax: FP32, or of a dynamic size)
answers NaN with some class; there the logits tell, where they can be had. Of 256 classes 255 is
one, and nothing can be told.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edaformer.errors import NaNError

NO_CLASS = 255


def check_labels(labels: NDArray[np.uint8], classes: int, *, what: str = "a frame") -> None:
    """Refuse labels that are no class; a maximum, 40 microseconds of 1024x2048.

    Args:
        labels: of any shape.
        classes: how many there are.
        what: was labelled, as the message names it.

    Raises:
        NaNError: if there are any.
    """
    if labels.size == 0 or int(labels.max()) < classes:
        return
    share = np.count_nonzero(labels >= classes) / labels.size
    raise NaNError(
        f"the network gives NaN on {share:.2%} of the pixels of {what}, so they have no label; "
        "edaformer-validate ARTIFACT --checkpoint CHECKPOINT names the block it comes from"
    )
