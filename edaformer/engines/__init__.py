"""ONNX to plan, and the engine at work: a room for each thing that a person comes for."""
