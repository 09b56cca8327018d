"""Tests that run in a process in which ``import tensorrt`` is NVIDIA's module of one release."""
