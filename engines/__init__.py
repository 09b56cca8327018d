"""ONNX to plan: build, inspect, run, validate."""
