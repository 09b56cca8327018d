"""The engine at work: ``Engine.load(plan)``, and what it is made of. No torch, no onnx."""

from edaformer.engines.runtime.engine import Engine
from edaformer.engines.runtime.frame_times import FrameTimes

__all__ = ["Engine", "FrameTimes"]
