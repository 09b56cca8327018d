"""PyTorch to ONNX: the deployment wrapper, exact rewrites, FP16 typing, verification."""
