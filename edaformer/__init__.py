"""EDAFormer deploy: a trained EDAFormer checkpoint in, a proven TensorRT engine out.

Importing this package costs nothing heavy: torch, onnx and TensorRT are imported where they are
used, so that a device which only runs engines needs none of the export side.
"""

from edaformer.errors import EdaformerError
from edaformer.isr import ISR
from edaformer.version import __version__

__all__ = ["ISR", "EdaformerError", "__version__"]
