"""What benchmarks/gpu.py is made of: sections, each a file, and the processes that work them off.

run         what a section is given, and what it is
cases       which shapes and networks
sections    all of them, in their order
record      the JSON, kept up to date while workers work; what a section's end was
worker      a process of its own: how it is started, watched and ended, and what it does inside
timing      the GPU's own seconds, and whole frames side by side
own         our two kernels on PyTorch's tensors
steps       the same two steps in PyTorch
page        docs/performance.md's part

A section's file imports torch, TensorRT and the like in its functions: the process that watches
never loads them.
"""
