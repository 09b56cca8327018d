"""ONNX to plan."""
