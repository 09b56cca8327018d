"""Inputs rebuilt from public bug reports, one module a subject; tests use them."""
