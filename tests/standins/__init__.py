"""Stand-ins for a GPU, its driver and nvcc, which the machines that run the tests do not have.

TensorRT is none of them: its builder is TensorRT-RTX's, and classic TensorRT's bindings are
NVIDIA's own (tests/classic).
"""
