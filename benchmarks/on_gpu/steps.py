"""Our two kernels' steps in PyTorch, for comparison; and torch.compile for one shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edaformer.preprocess import Resize
    from on_gpu.run import Run


def constants(device: Any) -> tuple[Any, Any]:
    """Mean and standard deviation as ``preprocess`` takes them."""
    import torch

    from edaformer.preprocess import MEAN, STD

    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return mean, std


def preprocess(
    frame: Any, network: tuple[int, int], mean: Any, std: Any, rule: Resize = "opencv-bilinear"
) -> Any:
    """Resize (half-pixel bilinear), round to a byte, normalise.

    The kernel rounds its weights and each row, too: it differs by one level at most.
    """
    import torch

    pixels = frame.permute(2, 0, 1)[None].float()
    if tuple(frame.shape[:2]) != tuple(network):
        resized = torch.nn.functional.interpolate(
            pixels, network, mode="bilinear", antialias=rule == "pillow-bilinear"
        )
        pixels = resized.round()
    return (pixels - mean) / std


def labels(logits: Any, network: tuple[int, int], source: tuple[int, int]) -> Any:
    """Straight to the source's size, argmax; one map, as the kernel has it.

    ``network`` has no padding here, so the composed half-pixel map is one resize of the logits.
    """
    import torch

    del network
    made = torch.nn.functional.interpolate(logits.float(), source, mode="bilinear")
    return made.argmax(1)[0].to(torch.uint8)


def compiled(run: Run, step: Any, mode: str) -> Any:
    """torch.compile for the one shape that comes; in a dry run the step itself.

    Dynamo would make a second shape of the same code dynamic, hence the reset.
    """
    if run.dry:
        return step
    import torch

    torch.compiler.reset()
    return torch.compile(step, mode=mode, dynamic=False)
