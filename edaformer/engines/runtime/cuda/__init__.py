"""The CUDA driver as the runtime uses it: PyCUDA, and cuda.bindings for graphs."""
