"""What a file is: ONNX and plan, their manifest and proof, and whether they run here."""
